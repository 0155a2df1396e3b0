"""Answers metrics.k8s.io: joins what nodes say with the nodes and pods that there are.

A node is believed about itself and about the pods that are bound to it, and about nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from steersman.api.access.authorization import Attributes
from steersman.api.cache import Cache, Entry
from steersman.api.metrics import documents, simulated
from steersman.api.metrics.documents import GROUP, NODE_METRICS, POD_METRICS, VERSION
from steersman.api.metrics.scrape import Usage, container_usage, node_usage
from steersman.api.metrics.windows import Window, Windows
from steersman.api.present import Presentation, parse_accept
from steersman.model import selectors
from steersman.model.errors import MethodNotAllowed, NotAcceptable, UnknownPath, not_found
from steersman.model.kind import Document
from steersman.model.kinds.apiservice import APISERVICE
from steersman.model.local_path import SIMULATED
from steersman.model.ref import Resource
from steersman.model.view import Object, View, decoder
from steersman.wire.media import written
from steersman.wire.message import JSON, Request, Response
from steersman.world.interface import World

NODES: Final = Resource("", "nodes")
PODS: Final = Resource("", "pods")
# What simulated containers are said to use is so at any moment
SIMULATED_WINDOW_SECONDS: Final = 30.0


class _Container(View, frozen=True):
    name: str = ""
    restart_policy: str = ""


class _Spec(View, frozen=True):
    node_name: str = ""
    containers: tuple[_Container, ...] = ()
    init_containers: tuple[_Container, ...] = ()


class _Status(View, frozen=True):
    phase: str = ""


class _Pod(Object, frozen=True):
    """What of a pod matters here."""

    spec: _Spec = _Spec()
    status: _Status = _Status()

    @property
    def containers(self) -> list[str]:
        """The names of its containers that run beside each other."""
        sidecars = [one for one in self.spec.init_containers if one.restart_policy == "Always"]
        return [one.name for one in (*self.spec.containers, *sidecars)]


_pod = decoder(_Pod)
_service = decoder(APISERVICE.view or Object)


class ResourceMetrics:
    """See the module."""

    def __init__(self, cache: Cache, windows: Windows, world: World) -> None:
        self._cache = cache
        self._nodes = cache.table(NODES)
        self._pods = cache.table(PODS)
        self._windows = windows
        self._world = world

    def is_local(self) -> bool:
        """Says whether this server answers, and not a Service that an APIService names."""
        entry = self._cache.table(APISERVICE.resource).get("", f"{VERSION}.{GROUP}")
        return entry is None or _service.decode(entry.value).spec.service is None

    async def handle(self, request: Request, asked: Attributes) -> Response:
        """Answers one request; raises UnknownPath, MethodNotAllowed, BadRequest."""
        kind = POD_METRICS if asked.resource == "pods" else NODE_METRICS
        if asked.version != VERSION or asked.resource != kind.plural or asked.subresource:
            raise UnknownPath(is_routed=True)
        if asked.namespace and not kind.namespaced:
            raise UnknownPath(is_routed=True)
        if asked.verb not in kind.verbs or (kind.namespaced and asked.name and not asked.namespace):
            raise MethodNotAllowed(
                "the server does not allow this method on the requested resource"
            )
        shape = parse_accept(request.headers.get("accept", ""), builtin=False)
        if shape.shape == "metadata":
            raise NotAcceptable("only the following media types are accepted: application/json")
        entries = self._selected(request, asked)
        items = await (self._of_pods(entries) if kind is POD_METRICS else self._of_nodes(entries))
        if asked.verb == "get" and not items:
            raise not_found(GROUP, kind.plural, asked.name)
        response = Response(orjson.dumps(_shown(asked, items, shape)))
        return response if shape.media == JSON else written(response, shape.media)

    def _selected(self, request: Request, asked: Attributes) -> list[Entry]:
        """Returns the nodes or pods that are asked about."""
        table = self._pods if asked.resource == "pods" else self._nodes
        if asked.verb == "get":
            found = table.get(asked.namespace, asked.name)
            return [found] if found is not None else []
        labels = selectors.parse(request.param("labelSelector"))
        fields = selectors.parse_fields(request.param("fieldSelector"))
        return [
            entry
            for entry in table.ordered(asked.namespace)
            if labels(entry.labels)
            and fields({"metadata.name": entry.name, "metadata.namespace": entry.namespace})
        ]

    async def _of_nodes(self, entries: Iterable[Entry]) -> list[Document]:
        now = self._world.now()
        known = list(entries)
        windows = await self._ask(entry.name for entry in known if not _is_simulated(entry))
        used = self._simulated() if len(windows) < len(known) else {}
        found = []
        for entry in known:
            window = windows.get(entry.name)
            usage = node_usage(window.before, window.now) if window is not None else None
            if _is_simulated(entry):
                usage = Usage(*used.get(entry.name, (0, 0)), now, SIMULATED_WINDOW_SECONDS)
            if usage is not None:
                found.append(documents.node_metrics(_meta(entry), usage, now))
        return found

    def _simulated(self) -> dict[str, tuple[int, int]]:
        """Returns what the pods of each node are said to use."""
        total: dict[str, tuple[int, int]] = {}
        for entry in self._pods.ordered():
            pod: _Pod = _pod.decode(entry.value)
            if pod.status.phase == "Running":
                for name in pod.containers:
                    cpu, memory = simulated.use(pod.metadata.annotations, name)
                    before = total.get(pod.spec.node_name, (0, 0))
                    total[pod.spec.node_name] = (before[0] + cpu, before[1] + memory)
        return total

    async def _of_pods(self, entries: Iterable[Entry]) -> list[Document]:
        now = self._world.now()
        pods: list[tuple[Entry, _Pod]] = [(entry, _pod.decode(entry.value)) for entry in entries]
        running = [one for one in pods if one[1].status.phase == "Running"]
        names = {pod.spec.node_name for _, pod in running}
        nodes = {name: self._nodes.get("", name) for name in sorted(names)}
        real = [name for name, node in nodes.items() if node and not _is_simulated(node)]
        windows = await self._ask(real)
        found = []
        for entry, pod in running:
            node = nodes.get(pod.spec.node_name)
            if node is None:
                continue
            window = windows.get(pod.spec.node_name)
            used = _said(pod, now) if _is_simulated(node) else _measured(pod, window)
            if used:
                found.append(documents.pod_metrics(_meta(entry), used, now))
        return found

    async def _ask(self, names: Iterable[str]) -> dict[str, Window]:
        wanted = list(names)
        windows = await asyncio.gather(*(self._windows.of(name) for name in wanted))
        return {
            name: window for name, window in zip(wanted, windows, strict=True) if window is not None
        }


def _is_simulated(node: Entry) -> bool:
    return node.labels.get(SIMULATED) == "true"


def _meta(entry: Entry) -> Mapping[str, Any]:
    return {"name": entry.name, "namespace": entry.namespace, "labels": dict(entry.labels)}


def _said(pod: _Pod, now: float) -> dict[str, Usage]:
    uses = {name: simulated.use(pod.metadata.annotations, name) for name in pod.containers}
    return {name: Usage(*used, now, SIMULATED_WINDOW_SECONDS) for name, used in uses.items()}


def _measured(pod: _Pod, window: Window | None) -> dict[str, Usage]:
    """Returns what the containers of a pod used; nothing where one of them does not say."""
    if window is None:
        return {}
    place = pod.key
    found = {}
    for name in pod.containers:
        usage = container_usage(window.before, window.now, (*place, name))
        if usage is None:
            return {}
        found[name] = usage
    return found


def _shown(asked: Attributes, items: list[Document], shape: Presentation) -> Document:
    if shape.shape == "table":
        return documents.table(items, shape.meta_version)
    if asked.verb == "get":
        return items[0]
    return documents.listed(POD_METRICS if asked.resource == "pods" else NODE_METRICS, items)
