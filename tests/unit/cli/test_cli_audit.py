"""The options of the audit log: read, checked, given on."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from steersman.cli.apiserver import audit
from steersman.cli.failure import Failure

POLICY = "kind: Policy\napiVersion: audit.k8s.io/v1\nrules: [{level: Metadata}]\n"


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    audit.add_options(parser)
    return parser.parse_args(words)


def why(*words: str) -> str:
    with pytest.raises(Failure) as raised:
        audit.check(parsed(*words))
    return str(raised.value)


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("policy.yaml").write_text(POLICY)
    return "policy.yaml"


def test_without_options_nothing_is_noted() -> None:
    assert audit.settings(parsed()) is None
    assert audit.words(parsed()) == []


def test_options_have_upstreams_defaults(policy: str) -> None:
    found = audit.settings(parsed("--audit-policy-file", policy, "--audit-log-path", "-"))
    assert found is not None
    assert (found.size_megabytes, found.backups, found.age_days) == (100, 100, 366)
    assert not found.strict
    assert found.path == "-"


def test_options_are_given_on_to_another_directory(policy: str, tmp_path: Path) -> None:
    given = parsed(
        *("--audit-policy-file", policy, "--audit-log-path", "logs/a.log"),
        *("--audit-log-maxsize", "1", "--audit-log-maxbackup", "2", "--audit-log-maxage", "0"),
        *("--audit-log-mode", "blocking-strict"),
    )
    audit.check(given)
    found = audit.settings(parsed(*audit.words(given)))
    assert found is not None
    assert found.path == str(tmp_path / "logs" / "a.log")
    assert (found.size_megabytes, found.backups, found.age_days) == (1, 2, 0)
    assert found.strict
    assert found.policy.rules[0].level == "Metadata"
    assert (tmp_path / "logs" / "a.log").stat().st_mode & 0o777 == 0o600


def test_bad_options_are_told_in_one_line(policy: str, tmp_path: Path) -> None:
    both = ("--audit-policy-file", policy, "--audit-log-path")
    assert why(*both, "-", "--audit-log-maxage", "-1") == (
        "--audit-log-maxage -1 can't be a negative number"
    )
    assert why("--audit-log-path", "-").endswith("nothing is noted without --audit-policy-file")
    assert why(*both[:2]).endswith("nothing is noted without --audit-log-path")
    assert why(*both, str(tmp_path)) == f"--audit-log-path {tmp_path}: Is a directory"
    none = ("--audit-policy-file", "none.yaml", "--audit-log-path", "-")
    assert why(*none) == "--audit-policy-file none.yaml: No such file or directory"
    Path("policy.yaml").write_text("kind: Policy\napiVersion: audit.k8s.io/v1\nrules: [{}]\n")
    assert why(*both, "-") == "--audit-policy-file policy.yaml: rules[0].level: Required value"
