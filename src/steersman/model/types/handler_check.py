"""What is checked of probes and life-cycle hooks (validateHandler in pkg/apis/core/validation)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from steersman.model import names
from steersman.model.causes import each, forbidden, invalid, not_negative, not_supported, required
from steersman.model.errors import Cause
from steersman.model.kind import Document

ActionCheck = Callable[[Document, str], Iterator[Cause]]

_SCHEMES: Final = ("HTTP", "HTTPS")
_PROBE_COUNTS: Final = (
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
)


def check_port(port: Any, path: str) -> Iterator[Cause]:
    """Checks a port that is a number or a name (ValidatePortNumOrName)."""
    problems = names.port_name(port) if isinstance(port, str) else names.port_number(port)
    yield from each(path, port, problems)


def _check_exec(action: Document, path: str) -> Iterator[Cause]:
    if not action.get("command"):
        yield required(f"{path}.command")


def _check_http(action: Document, path: str) -> Iterator[Cause]:
    if not action.get("path"):
        yield required(f"{path}.path")
    yield from check_port(action.get("port", 0), f"{path}.port")
    scheme = action.get("scheme", "")
    if scheme not in _SCHEMES:
        yield not_supported(f"{path}.scheme", scheme, _SCHEMES)
    for header in action.get("httpHeaders") or ():
        name = header.get("name", "")
        yield from each(f"{path}.httpHeaders", name, names.http_header_name(name))


def _check_open(action: Document, path: str) -> Iterator[Cause]:
    yield from check_port(action.get("port", 0), f"{path}.port")


_ACTIONS: dict[str, ActionCheck] = {
    "exec": _check_exec,
    "httpGet": _check_http,
    "tcpSocket": _check_open,
    "grpc": _check_open,
}


_ACTION_NAMES: Final = (*_ACTIONS, "sleep")


def check_handler(handler: Document, path: str, grace_seconds: int | None) -> Iterator[Cause]:
    """Yields what is wrong with the one action of a probe or hook."""
    found = [name for name in _ACTION_NAMES if name in handler]
    for position, name in enumerate(found):
        if position:
            yield forbidden(f"{path}.{name}", "may not specify more than 1 handler type")
        elif name == "sleep":
            yield from _check_sleep(handler["sleep"], f"{path}.sleep", grace_seconds)
        else:
            yield from _ACTIONS[name](handler[name], f"{path}.{name}")
    if not found:
        yield required(path, "must specify a handler type")


def _check_sleep(action: Document, path: str, grace_seconds: int | None) -> Iterator[Cause]:
    seconds = action.get("seconds", 0)
    if grace_seconds is not None and not 0 <= seconds <= grace_seconds:
        limit = f"terminationGracePeriodSeconds ({grace_seconds})"
        yield invalid(path, seconds, f"must be non-negative and less than {limit}")


def check_lifecycle(lifecycle: Document, path: str, grace_seconds: int | None) -> Iterator[Cause]:
    """Yields what is wrong with the hooks of a container."""
    for name in ("postStart", "preStop"):
        if (handler := lifecycle.get(name)) is not None:
            yield from check_handler(handler, f"{path}.{name}", grace_seconds)


def check_probes(container: Document, path: str, grace_seconds: int | None) -> Iterator[Cause]:
    """Yields what is wrong with the hooks and probes of a container that stays."""
    if (lifecycle := container.get("lifecycle")) is not None:
        yield from check_lifecycle(lifecycle, f"{path}.lifecycle", grace_seconds)
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if (probe := container.get(name)) is None:
            continue
        where = f"{path}.{name}"
        yield from _check_probe(probe, where, grace_seconds)
        if name != "readinessProbe":
            successes = probe.get("successThreshold", 0)
            if successes != 1:
                yield invalid(f"{where}.successThreshold", successes, "must be 1")
        elif (seconds := probe.get("terminationGracePeriodSeconds")) is not None:
            detail = "must not be set for readinessProbes"
            yield invalid(f"{where}.terminationGracePeriodSeconds", seconds, detail)


def _check_probe(probe: Document, path: str, grace_seconds: int | None) -> Iterator[Cause]:
    yield from check_handler(probe, path, grace_seconds)
    for name in _PROBE_COUNTS:
        yield from not_negative(f"{path}.{name}", probe.get(name))
    seconds = probe.get("terminationGracePeriodSeconds")
    if seconds is not None and seconds <= 0:
        where = f"{path}.terminationGracePeriodSeconds"
        yield invalid(where, seconds, "must be greater than 0")
