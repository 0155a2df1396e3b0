"""The options of who is asked who may: modes, a file of authorizers, a webhook."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from steersman.cli.apiserver import authorizing
from steersman.cli.failure import Failure

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://localhost:1234/authorize"}}]
users: [{name: u, user: {}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
"""
FILE = """
apiVersion: apiserver.config.k8s.io/v1
kind: AuthorizationConfiguration
authorizers:
- type: Webhook
  name: first
  webhook:
    timeout: 3s
    subjectAccessReviewVersion: v1
    failurePolicy: Deny
    connectionInfo: {type: KubeConfigFile, kubeConfigFile: KUBECONFIG}
- {type: Node, name: node}
- {type: RBAC, name: rbac}
"""


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    authorizing.add_options(parser)
    return parser.parse_args(words)


def why(*words: str) -> str:
    with pytest.raises(Failure) as raised:
        authorizing.settings(parsed(*words))
    return str(raised.value)


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG)
    return path


def test_a_webhook_is_one_of_the_modes(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(kubeconfig.parent)
    words = ["--authorization-mode", "Webhook,RBAC", "--authorization-webhook-config-file"]
    given = parsed(*words, "kubeconfig")
    modes, (one,) = authorizing.settings(given)
    assert modes == ("Webhook", "RBAC")
    assert (one.target.host, one.target.port, one.target.prefix) == (
        "localhost",
        1234,
        "/authorize",
    )
    assert (one.version, one.timeout_seconds, one.denies) == ("v1beta1", 30.0, False)
    assert (one.authorized_seconds, one.unauthorized_seconds) == (300.0, 30.0)
    assert str(kubeconfig) in authorizing.words(given)
    more = ["--authorization-webhook-version", "v1"]
    more += ["--authorization-webhook-cache-authorized-ttl", "1m"]
    more += ["--authorization-webhook-cache-unauthorized-ttl", "0s"]
    given = parsed(*words, "kubeconfig", *more)
    _, (one,) = authorizing.settings(given)
    assert (one.version, one.authorized_seconds, one.unauthorized_seconds) == ("v1", 60.0, 0.0)
    assert authorizing.settings(parsed(*authorizing.words(given))) == (modes, (one,))


def test_a_file_names_them_all(tmp_path: Path, kubeconfig: Path) -> None:
    path = tmp_path / "authorizers"
    path.write_text(FILE.replace("KUBECONFIG", str(kubeconfig)))
    given = parsed("--authorization-config", str(path))
    modes, (one,) = authorizing.settings(given)
    assert modes == ("Webhook", "Node", "RBAC")
    assert (one.version, one.timeout_seconds, one.denies) == ("v1", 3.0, True)
    assert authorizing.words(given) == ["--authorization-config", str(path)]


def test_what_contradicts_itself_is_refused_in_upstreams_words(
    tmp_path: Path, kubeconfig: Path
) -> None:
    file = "--authorization-webhook-config-file"
    assert why("--authorization-mode", "Webhook") == (
        "authorization-mode Webhook's authorization config file not passed"
    )
    assert why("--authorization-mode", "RBAC", file, str(kubeconfig)) == (
        "cannot specify --authorization-webhook-config-file without mode Webhook"
    )
    expected = (
        "--authorization-config can not be specified when --authorization-mode or "
        "--authorization-webhook-* flags are defined"
    )
    for option in ("--authorization-mode", "--authorization-webhook-cache-authorized-ttl"):
        assert why("--authorization-config", "x", option, "RBAC") == expected


def test_bad_files_and_durations_are_named(tmp_path: Path, kubeconfig: Path) -> None:
    path = tmp_path / "authorizers"
    option = "--authorization-config"
    assert why(option, str(path)) == f"{option} {path}: No such file or directory"
    path.write_text(FILE.replace("KUBECONFIG", "here"))
    assert why(option, str(path)) == (
        f"{option} {path}: authorizers[0].connectionInfo.kubeConfigFile: Invalid value: "
        '"here": must be an absolute path'
    )
    kubeconfig.write_text("[]")
    path.write_text(FILE.replace("KUBECONFIG", str(kubeconfig)))
    assert why(option, str(path)).startswith(f"{option} {path}: {kubeconfig} is not a kubeconfig")
    kubeconfig.write_text(KUBECONFIG)
    words = ["--authorization-mode", "Webhook", "--authorization-webhook-config-file"]
    ttl = "--authorization-webhook-cache-unauthorized-ttl"
    assert why(*words, str(kubeconfig), ttl, "soon") == (
        f'{ttl} soon: time: invalid duration "soon"'
    )
