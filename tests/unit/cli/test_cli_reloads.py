"""Which files are read again when they change, and how."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from steersman.cli.apiserver import options, reloads

AUTHORIZATION = """kind: AuthorizationConfiguration
apiVersion: apiserver.config.k8s.io/v1
authorizers: [{type: %s, name: a}]
"""
ENCRYPTION = """kind: EncryptionConfiguration
apiVersion: apiserver.config.k8s.io/v1
resources: [{resources: [secrets], providers: [{identity: {}}]}]
"""


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    options.add_options(parser)
    return parser.parse_args(words)


def test_without_files_nothing_is_followed() -> None:
    assert reloads.settings(parsed()) == ()


def test_the_structured_configurations_are_followed_and_the_keys_where_that_is_asked_for(
    tmp_path: Path,
) -> None:
    file, keys = tmp_path / "authorization.yaml", tmp_path / "keys.yaml"
    file.write_text(AUTHORIZATION % "AlwaysAllow")
    keys.write_text(ENCRYPTION)
    words = ("--authorization-config", str(file), "--encryption-provider-config", str(keys))
    assert [one.what for one in reloads.settings(parsed(*words))] == ["authorization"]
    again = ("--encryption-provider-config-automatic-reload",)
    found = reloads.settings(parsed(*words, *again))
    assert [(one.what, one.path) for one in found] == [
        ("authorization", file),
        ("encryption", keys),
    ]
    assert found[0].read().modes == ("AlwaysAllow",)
    file.write_text(AUTHORIZATION % "RBAC")
    assert found[0].read().modes == ("RBAC",)
    file.write_text(AUTHORIZATION % "Magic")
    with pytest.raises(ValueError, match="Magic"):
        found[0].read()
