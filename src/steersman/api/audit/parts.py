"""The parts of the audit log, put together; without a policy there are none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from steersman.api.access.authentication import Authenticator
from steersman.api.access.authorization import quoted
from steersman.api.audit.auditor import Auditor, Log
from steersman.api.audit.log_file import MEGABYTE, Limits, LogFile
from steersman.api.audit.policy import LEVELS
from steersman.api.audit.settings import AuditSettings
from steersman.api.route import Kinds
from steersman.model.errors import Unauthorized
from steersman.wire.message import Request, User
from steersman.world.interface import World


def assemble(settings: AuditSettings | None, kinds: Kinds, world: World) -> Auditor | None:
    """Returns what follows requests; raises OSError where the file cannot be opened."""
    if settings is None:
        return None
    from steersman.api.audit.truncated import Truncated  # with the first event

    errors: Counter[str] = Counter()
    logs: list[Log] = []
    work: list[Callable[[], Coroutine[Any, Any, None]]] = []
    if settings.path:
        log = _file(settings, errors, world, work)
        cut = settings.truncation
        logs.append(Truncated(log, cut.event_bytes, errors) if cut else log)
    if (hook := settings.webhook) is not None:
        from steersman.api.audit.buffered import Buffered
        from steersman.api.audit.webhook import Webhook

        buffered = Buffered(hook.batching, Webhook(hook, errors, world).send, world)
        work.append(buffered.run)
        cut = hook.truncation
        logs.append(Truncated(buffered, cut.event_bytes, errors) if cut else buffered)
    return Auditor(settings.policy, logs, kinds, world, errors, work)


def _file(
    settings: AuditSettings,
    errors: Counter[str],
    world: World,
    work: list[Callable[[], Coroutine[Any, Any, None]]],
) -> Log:
    limits = Limits(settings.size_megabytes * MEGABYTE, settings.backups, settings.age_days)
    file = LogFile(settings.path, limits, world.now, strict=settings.strict)
    if settings.batching is None:
        return file
    from steersman.api.audit.buffered import Buffered

    async def write(lines: Sequence[bytes]) -> None:
        errors[file.name] += sum(not file.write(line) for line in lines)

    buffered = Buffered(settings.batching, write, world)
    work.append(buffered.run)
    return buffered


def identify(auditor: Auditor, authenticator: Authenticator, request: Request) -> User:
    """Returns the user a request acts as, after noting who sends it; raises what
    `Authenticator.identify` raises."""
    try:
        sender = authenticator.authenticate(request)
    except Unauthorized as error:
        auditor.refused(request, error)
        raise
    record = auditor.begin(request, sender)
    user = authenticator.acting(request, sender)
    if record is not None and user is not sender:
        record.impersonated = user
    return user


def render_metrics(auditor: Auditor) -> str:
    """Returns what was counted, under upstream's names (audit/metrics.go)."""
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
