"""What the audit log counted, under upstream's names (audit/metrics.go)."""

from __future__ import annotations

from collections.abc import Iterator

from steersman.api.access.authorization import quoted
from steersman.api.audit.auditor import Auditor
from steersman.api.audit.policy import LEVELS


def render(auditor: Auditor) -> str:
    """Returns what was counted."""
    return "".join(f"{line}\n" for line in _metrics(auditor))


def _metrics(auditor: Auditor) -> Iterator[str]:
    sent = "audit events generated and sent to the audit backend."
    yield from _counter("event_total", sent, {"": auditor.events})
    lost = "audit events that failed to be audited properly. Plugin identifies the plugin affected"
    errors = {f"{{plugin={quoted(name)}}}": count for name, count in auditor.errors.items()}
    yield from _counter("error_total", f"{lost} by the error.", errors)
    levels = {f"{{level={quoted(LEVELS[one])}}}": n for one, n in sorted(auditor.levels.items())}
    yield from _counter("level_total", "policy levels for audit events (1 per request).", levels)
    refused = "apiserver requests rejected due to an error in audit logging backend."
    yield from _counter("requests_rejected_total", refused, {"": auditor.rejected})


def _counter(name: str, text: str, samples: dict[str, int]) -> Iterator[str]:
    whole = f"apiserver_audit_{name}"
    yield f"# HELP {whole} [ALPHA] Counter of {text}"
    yield f"# TYPE {whole} counter"
    yield from (f"{whole}{labels} {value}" for labels, value in samples.items())
