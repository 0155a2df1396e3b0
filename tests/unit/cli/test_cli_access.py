"""The options of who asks and who may: read, checked, given on."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from steersman.api.access.tokens import ISSUER as ISSUER_OF_TOKENS
from steersman.cli.apiserver import access
from steersman.cli.failure import Failure
from steersman.wire.message import User


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    access.add_options(parser)
    return parser.parse_args(words)


def why(*words: str) -> str:
    with pytest.raises(Failure) as raised:
        access.check(parsed(*words))
    return str(raised.value)


def test_without_options_upstreams_authorizers_of_a_cluster_answer() -> None:
    found = access.settings(parsed())
    assert found.modes == ("Node", "RBAC")
    assert found.tokens == {}
    assert access.words(parsed()) == []


def test_options_are_read_and_given_on_to_another_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tokens.csv").write_text("one,jane,u-1\n")
    given = parsed("--token-auth-file", "tokens.csv", "--authorization-mode", "RBAC,AlwaysAllow")
    access.check(given)
    found = access.settings(given)
    assert list(found.tokens.values()) == [User("jane", (), "u-1")]
    assert found.modes == ("RBAC", "AlwaysAllow")
    on = access.words(given)
    assert on[:2] == ["--token-auth-file", str(tmp_path / "tokens.csv")]
    assert access.settings(parsed(*on)) == found


def test_a_bad_token_file_is_told_in_one_line_without_its_tokens(tmp_path: Path) -> None:
    file = tmp_path / "tokens.csv"
    assert why("--token-auth-file", str(file)) == (
        f"--token-auth-file {file}: No such file or directory"
    )
    file.write_text("secret,jane")
    wanted = "line 1: must have at least 3 columns (token, user name, user uid), found 2"
    assert why("--token-auth-file", str(file)) == f"--token-auth-file {file}: {wanted}"
    file.write_bytes(b"\xff")
    assert why("--token-auth-file", str(file)).endswith("it is no text in UTF-8")


@pytest.mark.parametrize(
    ("modes", "problem"),
    [
        (
            "RBAC,Magic",
            '"Magic" is not a valid mode: use ABAC, AlwaysAllow, AlwaysDeny, Node, RBAC, Webhook',
        ),
        ("", '"" is not a valid mode: use ABAC, AlwaysAllow, AlwaysDeny, Node, RBAC, Webhook'),
        ("RBAC,Node,RBAC", '"RBAC" is there more than once'),
    ],
)
def test_modes_that_cannot_be_are_refused(modes: str, problem: str) -> None:
    assert why("--authorization-mode", modes) == f"--authorization-mode {modes}: {problem}"


def test_policies_come_with_their_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("policies").write_text('{"user": "jane"}')
    words = ["--authorization-mode", "RBAC,ABAC", "--authorization-policy-file", "policies"]
    found = access.settings(parsed(*words))
    assert [one.user for one in found.policies] == ["jane"]
    on = access.words(parsed(*words))
    assert on == [*words[:3], str(tmp_path / "policies")]
    missing = "authorization-mode ABAC's authorization policy file not passed"
    assert why("--authorization-mode", "ABAC") == missing
    alone = "cannot specify --authorization-policy-file without mode ABAC"
    assert why("--authorization-policy-file", "policies") == alone
    Path("policies").write_text("jane")
    assert why(*words) == "--authorization-policy-file policies: line 1: JSON is malformed: " + (
        "invalid character (byte 0)"
    )


ISSUER = """apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer:
    url: https://issuer.example.com
    audiences: [kubernetes]
  claimMappings:
    username: {expression: "claims.sub"}
"""


def test_an_authentication_configuration_is_read_and_given_on(tmp_path: Path) -> None:
    chosen = tmp_path / "authentication.yaml"
    chosen.write_text(ISSUER)
    given = parsed("--authentication-config", str(chosen))
    found = access.settings(given).authentication
    assert found is not None
    assert found.jwt[0].issuer.url == "https://issuer.example.com"
    assert access.words(given) == ["--authentication-config", str(chosen)]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "claims.sub",
            "claim.sub",
            'jwt[0].claimMappings.username.expression: Invalid value: "claim.sub": '
            "compilation failed: ERROR: <input>:1:1: undeclared",
        ),
        ("https://issuer.example.com", ISSUER_OF_TOKENS, "jwt[0].issuer.url: Invalid value"),
        ("https", "http", "jwt[0].issuer.url: Invalid value"),
        ("jwt:", "jwts:", "Object contains unknown field `jwts`"),
    ],
)
def test_a_bad_authentication_configuration_is_refused(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    chosen = tmp_path / "authentication.yaml"
    chosen.write_text(ISSUER.replace(old, new))
    said = why("--authentication-config", str(chosen))
    assert said.startswith(f"--authentication-config {chosen}: {told}")


HOOK = """apiVersion: v1
kind: Config
clusters: [{name: hook, cluster: {server: "https://hook.example.com/ask"}}]
contexts: [{name: hook, context: {cluster: hook}}]
current-context: hook
"""


def test_a_token_webhook_is_read_and_given_on(tmp_path: Path) -> None:
    chosen = tmp_path / "hook.yaml"
    chosen.write_text(HOOK)
    option = "--authentication-token-webhook-config-file"
    given = parsed(option, str(chosen), "--authentication-token-webhook-version", "v1")
    found = access.settings(given).webhook
    assert found is not None
    assert (found[0].host, found[0].prefix, found[1]) == ("hook.example.com", "/ask", "v1")
    assert access.words(given) == [
        *(option, str(chosen)),
        *("--authentication-token-webhook-version", "v1"),
    ]
    chosen.write_text(HOOK.replace("https", "http"))
    assert why(option, str(chosen)) == f"{option}: {chosen}: tokens are sent over https alone"
    chosen.write_text("x: 1")
    assert why(option, str(chosen)) == f"{option}: {chosen} names no current-context"


def test_a_configuration_of_authorizers_may_name_abac_beside_the_file_of_policies(
    tmp_path: Path,
) -> None:
    chosen, policies = tmp_path / "authorization.yaml", tmp_path / "policies"
    chosen.write_text(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\n"
        "authorizers: [{type: ABAC, name: abac}, {type: RBAC, name: rbac}]\n"
    )
    policies.write_text('{"user": "jane"}')
    words = ("--authorization-config", str(chosen))
    missing = "authorization-mode ABAC's authorization policy file not passed"
    assert why(*words) == f"--authorization-config {chosen}: {missing}"
    found = access.settings(parsed(*words, "--authorization-policy-file", str(policies)))
    assert (found.modes, found.policies[0].user) == (("ABAC", "RBAC"), "jane")
    assert "can not be specified" in why(*words, "--authorization-mode", "RBAC")
