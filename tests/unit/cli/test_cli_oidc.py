"""The older options of one issuer of tokens, and whether requests may be anonymous."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from steersman.api.tokens.jwt_settings import JWT, Anonymous, Issuer, Mapping, Mappings, Rule
from steersman.cli.apiserver import access
from steersman.cli.failure import Failure

URL = "--oidc-issuer-url=https://id.example.com"
CLIENT = "--oidc-client-id=cluster"
FILE = """
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
"""


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    access.add_options(parser)
    return parser.parse_args(words)


def issuer(*words: str) -> JWT:
    found = access.settings(parsed(URL, CLIENT, *words)).authentication
    assert found is not None
    assert found.anonymous is None
    (one,) = found.jwt
    return one


def why(*words: str) -> str:
    with pytest.raises(Failure) as raised:
        access.check(parsed(*words))
    return str(raised.value)


def test_an_issuer_is_what_a_file_would_say() -> None:
    prefix = "https://id.example.com#"
    assert issuer() == JWT(
        Issuer("https://id.example.com", ("cluster",)),
        claim_mappings=Mappings(Mapping("sub", prefix)),
    )
    whole = issuer(
        "--oidc-username-claim=name",
        "--oidc-username-prefix=oidc:",
        "--oidc-groups-claim=roles",
        "--oidc-groups-prefix=g:",
        "--oidc-required-claim=a=b",
        "--oidc-required-claim=c=d=e",
    )
    assert whole.claim_mappings == Mappings(Mapping("name", "oidc:"), Mapping("roles", "g:"))
    assert whole.claim_validation_rules == (Rule("a", "b"), Rule("c", "d=e"))


@pytest.mark.parametrize(
    ("words", "username"),
    [
        (["--oidc-username-claim=email"], Mapping("email", "")),
        (["--oidc-username-claim=email", "--oidc-username-prefix=x"], Mapping("email", "x")),
        (["--oidc-username-prefix=-"], Mapping("sub", "")),
    ],
)
def test_names_have_the_issuer_before_them_unless_it_is_said(
    words: list[str], username: Mapping
) -> None:
    assert issuer(*words).claim_mappings.username == username


def test_options_are_given_on_to_another_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = parsed(
        URL,
        CLIENT,
        "--oidc-ca-file=ca.pem",
        "--oidc-signing-algs=ES256,RS256",
        "--oidc-required-claim=a=b",
        "--anonymous-auth=false",
    )
    assert access.words(given) == [
        URL,
        CLIENT,
        f"--oidc-ca-file={tmp_path / 'ca.pem'}",
        "--oidc-signing-algs=ES256,RS256",
        "--oidc-required-claim=a=b",
        "--anonymous-auth=false",
    ]
    assert why(*access.words(given)) == (
        f"--oidc-ca-file {tmp_path / 'ca.pem'}: No such file or directory"
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([URL], "oidc-issuer-url and oidc-client-id must be specified together when any oidc-*"
         " flags are set"),
        (["--oidc-groups-claim=g"], "oidc-issuer-url and oidc-client-id must be specified together"
         " when any oidc-* flags are set"),
        (["--oidc-required-claim=a=b"], "oidc-issuer-url and oidc-client-id must be specified"
         " together when any oidc-* flags are set"),
        (["--oidc-signing-algs=RS256"], "oidc-issuer-url and oidc-client-id must be specified"
         " together when any oidc-* flags are set"),
        ([URL, CLIENT, "--oidc-signing-algs=RS256,HS256"],
         'oidc: unsupported signing alg: "HS256"'),
        (["--oidc-issuer-url=http://x", CLIENT], "--oidc-issuer-url: jwt[0].issuer.url: Invalid"
         ' value: "http://x": URL scheme must be https'),
        ([URL, CLIENT, "--oidc-required-claim=a"],
         "--oidc-required-claim: a must be formatted as key=value"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(words: list[str], expected: str) -> None:
    assert why(*words) == expected


def test_an_issuer_signs_as_is_said_and_else_by_the_one_that_all_know(tmp_path: Path) -> None:
    def of(*words: str) -> tuple[str, ...]:
        found = access.settings(parsed(*words)).authentication
        assert found is not None
        return found.algorithms

    assert of(URL, CLIENT) == ("RS256",)
    given = ("--oidc-signing-algs=ES384,PS512", "--oidc-signing-algs=RS256")
    assert of(URL, CLIENT, *given) == ("ES384", "PS512", "RS256")
    file = tmp_path / "file"
    file.write_text(FILE)
    every = {f"{family}{size}" for family in ("RS", "ES", "PS") for size in (256, 384, 512)}
    assert set(of(f"--authentication-config={file}")) == every


def test_anonymous_requests_may_be_refused(tmp_path: Path) -> None:
    assert access.settings(parsed()).anonymous_paths() is None
    assert access.settings(parsed("--anonymous-auth")).anonymous_paths() is None
    assert access.settings(parsed("--anonymous-auth=false")).anonymous_paths() == frozenset()
    file = tmp_path / "file"
    file.write_text(FILE)
    option = f"--authentication-config={file}"
    found = access.settings(parsed(option, "--anonymous-auth=false")).authentication
    assert found is not None
    assert found.anonymous == Anonymous(False)
    assert why(option, URL, CLIENT) == (
        "authentication-config file and oidc-* flags are mutually exclusive"
    )
    file.write_text(FILE + "anonymous: {enabled: true}")
    assert why(option, "--anonymous-auth=false") == (
        "--anonymous-auth flag cannot be set when anonymous field is configured in authentication "
        "configuration file"
    )
