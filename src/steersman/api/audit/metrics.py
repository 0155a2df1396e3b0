"""What the audit log counted, under upstream's names (audit/metrics.go)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from steersman.api.audit.auditor import Auditor
from steersman.api.audit.policy import LEVELS
from steersman.model.figures import Family, Labels, Sample


def families(auditor: Auditor) -> Iterator[Family]:
    """Yields what was counted."""
    sent = "audit events generated and sent to the audit backend."
    yield _counter("event_total", sent, {(): auditor.events})
    lost = "audit events that failed to be audited properly. Plugin identifies the plugin affected"
    errors: dict[Labels, int] = {
        (("plugin", name),): count for name, count in auditor.errors.items()
    }
    yield _counter("error_total", f"{lost} by the error.", errors)
    levels: dict[Labels, int] = {
        (("level", LEVELS[one]),): count for one, count in sorted(auditor.levels.items())
    }
    yield _counter("level_total", "policy levels for audit events (1 per request).", levels)
    refused = "apiserver requests rejected due to an error in audit logging backend."
    yield _counter("requests_rejected_total", refused, {(): auditor.rejected})


def _counter(name: str, text: str, counts: Mapping[Labels, int]) -> Family:
    samples = [Sample(labels, count) for labels, count in counts.items()]
    return Family(f"apiserver_audit_{name}", f"Counter of {text}", "counter", samples, "ALPHA")
