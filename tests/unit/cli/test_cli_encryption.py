"""The option of encryption at rest: read, checked, given on."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from steersman.cli.apiserver import encryption
from steersman.cli.failure import Failure
from steersman.model.ref import Resource

FILE = """kind: EncryptionConfiguration
apiVersion: apiserver.config.k8s.io/v1
resources:
- resources: [secrets]
  providers:
  - aesgcm: {keys: [{name: one, secret: %s}]}
  - identity: {}
"""
GOOD = "MDEyMzQ1Njc4OWFiY2RlZg=="
OPTION = "--encryption-provider-config"


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    encryption.add_options(parser)
    return parser.parse_args(words)


def why(path: Path) -> str:
    with pytest.raises(Failure) as raised:
        encryption.check(parsed(OPTION, str(path)))
    return str(raised.value)


def test_without_the_option_nothing_is_encrypted() -> None:
    encryption.check(parsed())
    assert encryption.settings(parsed()) is None
    assert encryption.words(parsed()) == []


def test_the_file_is_read_and_given_on_to_another_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("keys.yaml").write_text(FILE % GOOD)
    given = parsed(OPTION, "keys.yaml")
    encryption.check(given)
    assert encryption.words(given) == [OPTION, str(tmp_path / "keys.yaml")]
    found = encryption.settings(given)
    assert found is not None
    assert found.of(Resource("", "secrets")).seals
    assert not found.of(Resource("", "configmaps")).seals


def test_a_bad_file_is_told_in_one_line_without_its_keys(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    assert why(file) == f"{OPTION} {file}: No such file or directory"
    file.write_text(FILE % "c2VjcmV0")
    told = why(file)
    assert told.startswith(f"{OPTION} {file}: resources[0].providers[0].aesgcm.keys[0].secret: ")
    assert told.endswith("secret is not of the expected length, got 6, expected one of [16 24 32]")
    assert "c2VjcmV0" not in told


def test_the_file_is_read_again_where_that_is_asked_for(tmp_path: Path) -> None:
    again = f"{OPTION}-automatic-reload"
    with pytest.raises(Failure) as raised:
        encryption.check(parsed(again))
    assert str(raised.value) == f"{OPTION} must be set when {again} is set"
    file = tmp_path / "keys.yaml"
    file.write_text(FILE % GOOD)
    given = parsed(OPTION, str(file), again)
    encryption.check(given)
    assert encryption.words(given) == [OPTION, str(file), f"{again}=true"]
    assert encryption.is_read_again(parsed(*encryption.words(given)))
