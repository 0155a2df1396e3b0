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
    assert why(*both[:2]).endswith(
        "nothing is noted without --audit-log-path or --audit-webhook-config-file"
    )
    assert why(*both, str(tmp_path)) == f"--audit-log-path {tmp_path}: Is a directory"
    none = ("--audit-policy-file", "none.yaml", "--audit-log-path", "-")
    assert why(*none) == "--audit-policy-file none.yaml: No such file or directory"
    Path("policy.yaml").write_text("kind: Policy\napiVersion: audit.k8s.io/v1\nrules: [{}]\n")
    assert why(*both, "-") == "--audit-policy-file policy.yaml: rules[0].level: Required value"


HOOK = """
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1/audit"}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
users: [{name: u, user: {}}]
"""


@pytest.fixture
def hook(policy: str) -> tuple[str, ...]:
    Path("hook.yaml").write_text(HOOK)
    return ("--audit-policy-file", policy, "--audit-webhook-config-file", "hook.yaml")


def test_a_webhook_has_upstreams_defaults(hook: tuple[str, ...]) -> None:
    found = audit.settings(parsed(*hook))
    assert found is not None and found.webhook is not None
    assert found.path == ""
    told = found.webhook.batching
    assert (told.buffer, told.size, told.wait_seconds) == (10_000, 400, 30.0)
    assert (told.rate, told.burst) == (10.0, 15)
    assert found.webhook.truncation is None
    assert found.webhook.backoff_seconds == 10.0
    assert str(found.webhook.target) == "http://127.0.0.1:1"


def test_batches_and_bounds_are_given_on(hook: tuple[str, ...]) -> None:
    given = parsed(
        *hook,
        *("--audit-log-path", "a.log", "--audit-log-mode", "batch"),
        *("--audit-log-batch-buffer-size", "7", "--audit-log-batch-max-size", "3"),
        *("--audit-log-batch-max-wait", "1m", "--audit-log-truncate-enabled"),
        *("--audit-log-truncate-max-event-size", "512"),
        *("--audit-webhook-batch-throttle-enable=false", "--audit-webhook-initial-backoff", "2s"),
        *("--audit-webhook-truncate-enabled", "--audit-webhook-truncate-max-batch-size=200000"),
    )
    audit.check(given)
    found = audit.settings(parsed(*audit.words(given)))
    assert found is not None and found.webhook is not None
    assert found.batching is not None and found.truncation is not None
    assert (found.batching.buffer, found.batching.size) == (7, 3)
    assert (found.batching.wait_seconds, found.batching.rate) == (60.0, 0.0)
    assert found.truncation.event_bytes == 512
    assert found.webhook.batching.rate == 0.0
    assert found.webhook.backoff_seconds == 2.0
    assert found.webhook.truncation is not None
    assert found.webhook.truncation.batch_bytes == 200_000


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ("--audit-webhook-batch-buffer-size=0",),
            "invalid audit batch webhook buffer size 0, must be a positive number",
        ),
        (
            ("--audit-webhook-batch-max-size=-1",),
            "invalid audit batch webhook max batch size -1, must be a positive number",
        ),
        (
            ("--audit-webhook-batch-throttle-qps=0",),
            "invalid audit batch webhook throttle QPS 0.0, must be a positive number",
        ),
        (
            ("--audit-webhook-truncate-enabled", "--audit-webhook-truncate-max-event-size=0"),
            "invalid audit truncate webhook max event size 0, must be a positive number",
        ),
        (
            ("--audit-webhook-truncate-enabled", "--audit-webhook-truncate-max-batch-size=9"),
            "invalid audit truncate webhook max event size (102400), max batch size (9) should be "
            "bigger",
        ),
        (
            ("--audit-webhook-initial-backoff=soon",),
            "--audit-webhook-initial-backoff soon: ",
        ),
    ],
)
def test_bad_bounds_are_told_in_one_line(
    hook: tuple[str, ...], words: tuple[str, ...], told: str
) -> None:
    assert why(*hook, *words).startswith(told)


def test_a_webhook_alone_needs_a_policy_and_a_file_that_says_where_it_is(policy: str) -> None:
    words = ("--audit-webhook-config-file", "none.yaml")
    assert why(*words).startswith("--audit-webhook-config-file: ")
    assert "none.yaml" in why("--audit-policy-file", policy, *words)
