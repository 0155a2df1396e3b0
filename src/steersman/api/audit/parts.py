"""The parts of the audit log, put together; loaded where there is a policy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from steersman.api.audit.auditor import Auditor, Log
from steersman.api.audit.buffered import Buffered
from steersman.api.audit.log_file import MEGABYTE, Limits, LogFile
from steersman.api.audit.settings import AuditSettings
from steersman.api.audit.truncated import Truncated
from steersman.api.audit.webhook import Webhook
from steersman.api.route import Kinds
from steersman.world.interface import World


def assemble(settings: AuditSettings, kinds: Kinds, world: World) -> Auditor:
    """Returns what follows requests; raises OSError where the file cannot be opened."""
    errors: Counter[str] = Counter()
    logs: list[Log] = []
    work: list[Callable[[], Coroutine[Any, Any, None]]] = []
    if settings.path:
        log = _file(settings, errors, world, work)
        cut = settings.truncation
        logs.append(Truncated(log, cut.event_bytes, errors) if cut else log)
    if (hook := settings.webhook) is not None:
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
    file = LogFile(settings.path, limits, world.wire_now, strict=settings.strict)
    if settings.batching is None:
        return file

    async def write(lines: Sequence[bytes]) -> None:
        errors[file.name] += sum(not file.write(line) for line in lines)

    buffered = Buffered(settings.batching, write, world)
    work.append(buffered.run)
    return buffered
