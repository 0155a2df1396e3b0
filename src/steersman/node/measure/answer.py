"""The paths of kubelet's port on which it tells of itself and of its pods."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec
import orjson

from steersman.model.errors import InternalError, MethodNotAllowed
from steersman.model.figures import Sources
from steersman.model.kind import Document
from steersman.node.measure import families, summary
from steersman.node.measure.files import Files
from steersman.node.measure.measuring import Measuring
from steersman.node.measure.reading import Reading
from steersman.wire import prometheus
from steersman.wire.message import Request, Response

TEXT: Final = "text/plain; charset=utf-8"
HEALTH: Final = ("/healthz", "/healthz/ping", "/healthz/log", "/healthz/syncloop")


class Telling(msgspec.Struct):
    """What the answers are made of.

    files:         looks at what pods have on disks
    own:           what the agent counts of its own work
    pods:          gives the pods of this node as the API server has them
    configuration: the KubeletConfiguration that this agent keeps to
    before:        what was read the last time, for rates
    """

    node: str
    root: str
    measuring: Measuring
    files: Files
    own: Sources
    pods: Callable[[], Awaitable[Document]]
    configuration: Mapping[str, object]
    before: Mapping[str, Reading] = {}

    def knows(self, path: str) -> bool:
        """Says whether a path is one of these."""
        return path in _ANSWERS or path in HEALTH

    async def answer(self, request: Request) -> Response:
        """Answers one request to a path that it knows; raises MethodNotAllowed."""
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed("405: Method Not Allowed")
        if request.path in HEALTH:
            return Response(b"ok", content_type=TEXT)
        try:
            await self.measuring.look()
            return await _ANSWERS[request.path](self, request)
        except OSError as error:
            raise InternalError(str(error)) from error


async def _summary(telling: Telling, request: Request) -> Response:
    short = request.flag("only_cpu_and_memory")
    files = {} if short else await telling.files.look()
    machine, pods = telling.measuring.machine(), telling.measuring.pods()
    told = summary.summary(telling.node, machine, pods, telling.before, files)
    telling.before = summary.readings(machine, pods)
    if short:
        told = summary.only_cpu_and_memory(told)
    return Response(orjson.dumps(told))


async def _resource(telling: Telling, _request: Request) -> Response:
    machine, pods = telling.measuring.machine(), telling.measuring.pods()
    text = prometheus.render(families.resource_metrics(machine, pods))
    return Response(text, content_type=prometheus.CONTENT_TYPE)


async def _cadvisor(telling: Telling, _request: Request) -> Response:
    found = families.container_metrics(telling.root, telling.measuring.pods())
    return Response(prometheus.render(found), content_type=prometheus.CONTENT_TYPE)


async def _metrics(telling: Telling, _request: Request) -> Response:
    now = families.agent_metrics(
        telling.node, telling.measuring.states(), await telling.files.look()
    )
    text = prometheus.render([*now, *telling.own.families()])
    return Response(text, content_type=prometheus.CONTENT_TYPE)


async def _pods(telling: Telling, _request: Request) -> Response:
    return Response(orjson.dumps(await telling.pods()))


async def _configuration(telling: Telling, _request: Request) -> Response:
    return Response(orjson.dumps({"kubeletconfig": telling.configuration}))


_ANSWERS: Final[Mapping[str, Callable[[Telling, Request], Awaitable[Response]]]] = {
    "/stats/summary": _summary,
    "/metrics": _metrics,
    "/metrics/resource": _resource,
    "/metrics/cadvisor": _cadvisor,
    "/pods": _pods,
    "/configz": _configuration,
}
