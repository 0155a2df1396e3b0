"""What probes and hooks do: run a command in a container, ask over HTTP, open a connection.

The texts are Go's, because clients see them in events.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Sequence

import msgspec

from steersman.model.gotext import quote
from steersman.model.kinds.pod import Pod
from steersman.model.types.container import (
    Container,
    HTTPGetAction,
    LifecycleHandler,
    TCPSocketAction,
)
from steersman.node.observed import Run, engine_name
from steersman.node.tools import Tools
from steersman.runtime.engine import EngineError

USER_AGENT = "kube-probe/1.37"
_HEADER_BYTES = 64 * 1024


class HookFailed(Exception):
    """A hook did not succeed; the text says why."""


class Answer(msgspec.Struct, frozen=True):
    """What came of it; `unknown` where it could not even be asked."""

    good: bool
    text: str
    unknown: bool = False


class NoSuchPort(Exception):
    """A container gives no port the name that is asked for; the text is Go's."""


async def run_command(
    tools: Tools, pod: Pod, container: str, run: Run, command: Sequence[str], seconds: float | None
) -> Answer:
    """Runs a command in a container to its end; good where it exits with 0."""
    name = engine_name(container, run.attempt)
    try:
        code, output = await tools.engine.run(pod.metadata.uid, name, command, seconds)
    except EngineError as error:
        return Answer(False, str(error), unknown=True)
    except TimeoutError:
        return Answer(
            False, f'command timed out: "{" ".join(command)}" timed out after {seconds:g}s'
        )
    return Answer(code == 0, output.decode("utf-8", "replace"))


def port_of(container: Container, port: int | str) -> int:
    """Returns a port by number or by the name that the container gives it; raises NoSuchPort."""
    if isinstance(port, int):
        return port
    if port.isdecimal():
        return int(port)
    for found in container.ports:
        if found.name == port:
            return found.container_port
    raise NoSuchPort(f"strconv.Atoi: parsing {quote(port)}: invalid syntax")


async def open_tcp(
    tools: Tools, container: Container, action: TCPSocketAction, address: str, seconds: float
) -> Answer:
    """Opens a connection and closes it."""
    host, port = action.host or address, port_of(container, action.port)
    try:
        async with tools.world.timeout(seconds):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Answer(False, f"dial tcp {host}:{port}: i/o timeout")
    except OSError as error:
        return Answer(False, _refused(host, port, error))
    except UnicodeError:  # no name at all: a label of more than 63 characters
        return Answer(False, f"dial tcp: lookup {host}: no such host")
    writer.transport.abort()
    return Answer(True, "")


async def get_http(
    tools: Tools, container: Container, action: HTTPGetAction, address: str, seconds: float
) -> Answer:
    """Asks over HTTP; good is a status from 200 to 399. Certificates are not checked."""
    host, port = action.host or address, port_of(container, action.port)
    secure = action.scheme.upper() == "HTTPS"
    path = action.path if action.path.startswith("/") else f"/{action.path}"
    url = f"{'https' if secure else 'http'}://{host}:{port}{path}"
    try:
        async with tools.world.timeout(seconds):
            status = await _ask(host, port, path, action, secure)
    except TimeoutError:
        late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        return Answer(False, f'Get "{url}": {late}')
    except asyncio.IncompleteReadError:
        return Answer(False, f'Get "{url}": EOF')
    except OSError as error:
        return Answer(False, f'Get "{url}": {_refused(host, port, error)}')
    except (ValueError, asyncio.LimitOverrunError):
        return Answer(False, f'Get "{url}": net/http: HTTP/1.x transport connection broken')
    if 200 <= status < 400:
        return Answer(True, "")
    return Answer(False, f"HTTP probe failed with statuscode: {status}")


def _refused(host: str, port: int, error: OSError) -> str:
    reasons = {
        errno.ECONNREFUSED: "connect: connection refused",
        errno.EHOSTUNREACH: "connect: no route to host",
        errno.ENETUNREACH: "connect: network is unreachable",
        errno.ECONNRESET: "read: connection reset by peer",
    }
    reason = reasons.get(error.errno or 0, error.strerror or str(error))
    return f"dial tcp {host}:{port}: {reason}"


async def _ask(host: str, port: int, path: str, action: HTTPGetAction, secure: bool) -> int:
    """Sends the request and returns the status of the answer."""
    context = None
    if secure:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(host, port, ssl=context, limit=_HEADER_BYTES)
    try:
        headers = {"Host": f"{host}:{port}", "User-Agent": USER_AGENT, "Accept": "*/*"}
        for header in action.http_headers:
            headers[header.name] = header.value
        lines = [f"GET {path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode())
        line = await reader.readuntil(b"\r\n")
        return int(line.split()[1])
    except IndexError:
        raise ValueError("malformed HTTP response") from None
    finally:
        writer.transport.abort()


async def run_hook(
    tools: Tools, pod: Pod, container: Container, run: Run, hook: LifecycleHandler
) -> None:
    """Does what a hook says; raises HookFailed. The caller bounds its time."""
    address = pod.status.pod_ip or tools.place.address
    if hook.exec is not None:
        answer = await run_command(tools, pod, container.name, run, hook.exec.command, None)
    elif hook.http_get is not None:
        try:
            answer = await get_http(tools, container, hook.http_get, address, HOOK_SECONDS)
        except NoSuchPort as error:
            raise HookFailed(str(error)) from error
    elif hook.sleep is not None:
        await tools.world.sleep(hook.sleep.seconds)
        return
    else:
        return
    if not answer.good:
        raise HookFailed(answer.text or "the command failed")


# An HTTP hook has no time of its own upstream either; the grace period bounds it too
HOOK_SECONDS = 60.0
