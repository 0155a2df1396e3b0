"""Ends a run: the preStop hook, the signal, the wait, and what the run says of its end."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import msgspec

from steersman.model.kinds.pod import Pod
from steersman.model.types.container import Container
from steersman.node.acting import handlers
from steersman.node.observed import UNKNOWN, Observed, Run, engine_name
from steersman.node.tools import Tools
from steersman.runtime.engine import EngineError, ExitStatus

MIN_GRACE_SECONDS = 2.0  # kubelet's minimumGracePeriodInSeconds
MAX_MESSAGE_BYTES = 4096  # kubelet's MaxContainerTerminationMessageLength
FALLBACK_LINES, FALLBACK_BYTES = 80, 2048  # ...LogLines, ...LogLength
NANO = 1e9
# A signal by its number, or by its distance from one of those for real time
_COUNTED = re.compile(r"(?:(?P<from>SIGRTMIN|SIGRTMAX)|SIG(?=\d))(?P<count>[+-]?\d{1,2})", re.A)
_UNKNOWN_TEXT = "The container could not be located when the pod was terminated"


async def kill(
    tools: Tools, pod: Pod, container: Container, run: Run, seconds: float
) -> ExitStatus | None:
    """Ends a run; returns how it ended, None where the runtime does not know it any more."""
    uid, name = pod.metadata.uid, engine_name(container.name, run.attempt)
    began = tools.world.now()
    hook = container.lifecycle.pre_stop if container.lifecycle is not None else None
    if hook is not None and seconds > 0:
        try:
            async with tools.world.timeout(seconds):
                await handlers.run_hook(tools, pod, container, run, hook)
        except (TimeoutError, handlers.HookFailed) as error:
            # Not what the hook has said: who reads events may not be who may read secrets.
            late = isinstance(error, TimeoutError)
            text = "PreStopHook timed out" if late else "PreStopHook failed"
            tools.say(pod, "Warning", "FailedPreStopHook", text, container.name)
    left = max(seconds - (tools.world.now() - began), MIN_GRACE_SECONDS)
    try:
        return await tools.engine.stop(uid, name, signal_number(run.stop_signal), left)
    except EngineError as error:
        if error.kind in ("not-found", "lost"):
            return None
        raise


def signal_number(name: str) -> int:
    """Returns a signal by its name (SIGTERM, TERM, RTMIN+3) or number; SIGTERM for what is none."""
    full = name if name.startswith("SIG") else f"SIG{name}"
    found = getattr(signal, full, None)
    number = int(found) if isinstance(found, signal.Signals) else 0
    if (counted := _COUNTED.fullmatch(full)) is not None:
        start = getattr(signal, counted["from"]) if counted["from"] else 0
        number = start + int(counted["count"])
    return number if number in signal.valid_signals() else int(signal.SIGTERM)


def read_end(tools: Tools, container: Container, seen: Observed, exit: ExitStatus) -> Run:
    """Returns the run as it ended, with the message that it left."""
    run = seen.of(container.name).run
    assert run is not None
    return Run(
        run.attempt,
        "exited",
        run.started_at,
        exit.finished_at / NANO,
        exit.code,
        exit.signal if exit.signal and not exit.code else 0,
        "OOMKilled" if exit.oom_killed else "",
        _message(tools, container, seen, run, exit.code),
        run.stop_signal,
        run.again,
        id=run.id,
        user=run.user,
    )


def read_loss(run: Run, now: float) -> Run:
    """Returns a run of which the runtime knows nothing any more."""
    lost = Run(run.attempt, "exited", 0.0, now, 137, 0, UNKNOWN, _UNKNOWN_TEXT, run.stop_signal)
    return msgspec.structs.replace(lost, id=run.id)


def _message(tools: Tools, container: Container, seen: Observed, run: Run, code: int) -> str:
    path = tools.paths.termination_log(seen.uid, container.name, run.attempt)
    text = _tail(path, MAX_MESSAGE_BYTES)
    fallback = container.termination_message_policy == "FallbackToLogsOnError"
    if text or not fallback or code == 0:
        return text
    log = _tail(tools.paths.log(seen, container.name, run.attempt), 8 * FALLBACK_BYTES)
    lines = [line.split(" ", 3)[-1] for line in log.splitlines()[-FALLBACK_LINES:]]
    return "\n".join(lines)[-FALLBACK_BYTES:]


def _tail(path: Path, size: int) -> str:
    """Returns the end of a file that a container may have replaced by anything."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        length = os.fstat(descriptor).st_size
        file.seek(max(0, length - size))
        return file.read(size).decode("utf-8", "replace")
