"""An extension API server on loopback for tests, and the objects that lead to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import orjson

from hooks import beside
from served import Served
from steersman.api.keys import key_of
from steersman.model.kinds.apiservice import APISERVICE
from steersman.model.ref import Resource
from steersman.store.interface import Write
from steersman.wire.message import Request, Response

Document = dict[str, Any]
Case = Callable[[Served, "Extension"], Coroutine[Any, Any, None]]

SERVICES_PATH = "/apis/apiregistration.k8s.io/v1/apiservices"
NAME = "v1.metrics.example.com"
ROOT = "/apis/metrics.example.com/v1"
RESOURCES: list[Document] = [
    {
        "name": "gauges",
        "singularName": "gauge",
        "namespaced": True,
        "kind": "Gauge",
        "verbs": ["get", "list"],
        "shortNames": ["gg"],
    },
    {"name": "gauges/status", "namespaced": True, "kind": "Gauge", "verbs": ["get"]},
]


class Extension:
    """Serves one group and version; keeps what it was asked and answers what the test wants."""

    def __init__(self) -> None:
        self.port = 0
        self.bundle = ""
        self.asked: list[Request] = []
        self.status = 200
        self.answers: dict[str, Callable[[Request], Response]] = {}

    def handle(self, request: Request) -> Response:
        """Answers discovery, its index of documents, and what the test wants."""
        self.asked.append(request)
        if (answer := self.answers.get(request.path)) is not None:
            return answer(request)
        if request.path == ROOT:
            listed = {"kind": "APIResourceList", "resources": RESOURCES}
            return Response(orjson.dumps(listed), self.status)
        if request.path == "/openapi/v3":
            url = f"/openapi/v3{ROOT}?hash=1"
            return Response(orjson.dumps({"paths": {ROOT[1:]: {"serverRelativeURL": url}}}))
        return Response(b"{}", 404)

    def heard(self, path: str) -> list[Request]:
        """Returns the requests for a path, in order."""
        return [request for request in self.asked if request.path == path]

    def apiservice(self, **spec: Any) -> Document:
        """Returns an APIService for it."""
        whole = {
            "group": "metrics.example.com",
            "version": "v1",
            "groupPriorityMinimum": 100,
            "versionPriority": 10,
            "service": {"namespace": "default", "name": "metrics", "port": 443},
            "insecureSkipTLSVerify": True,
            **spec,
        }
        return {"metadata": {"name": NAME}, "spec": whole}

    async def expose(self, api: Served) -> None:
        """Creates the Service and the endpoints that lead to it."""
        ports = [{"port": 443, "name": "https"}]
        service = {"metadata": {"name": "metrics"}, "spec": {"ports": ports}}
        (await api.post("/api/v1/namespaces/default/services", service)).ok()
        await self.endpoints(api)

    async def endpoints(self, api: Served) -> None:
        """Stores endpoints as their controllers would; past the API, which knows that no endpoint
        of a cluster lies on loopback."""
        meta = {"name": "metrics", "namespace": "default", "uid": "u"}
        port = {"name": "https", "port": self.port}
        labels = {"kubernetes.io/service-name": "metrics"}
        await _store(
            api,
            Resource("discovery.k8s.io", "endpointslices"),
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {**meta, "labels": labels},
                "addressType": "IPv4",
                "endpoints": [{"addresses": [HOST]}],
                "ports": [port],
            },
        )
        head = {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta}
        subset = {"addresses": [{"ip": HOST}], "ports": [port]}
        await _store(api, Resource("", "endpoints"), {**head, "subsets": [subset]})


async def _store(api: Served, resource: Resource, document: Document) -> None:
    key = key_of(resource, "default", document["metadata"]["name"])
    await api.store.commit(Write(key, orjson.dumps(document)))


HOST = "127.0.0.1"


async def condition(api: Served, reason: str, name: str = NAME) -> Document:
    """Waits until an APIService says why it is as it is; returns its condition."""
    changed = asyncio.Event()
    table = api.assembly.cache.table(APISERVICE.resource)
    leave = table.watch("", lambda _event: changed.set())
    try:
        async with asyncio.timeout(10):
            while True:
                found = (await api.get(f"{SERVICES_PATH}/{name}")).document
                for one in _conditions(found):
                    if one["reason"] == reason:
                        return {key: one[key] for key in ("type", "status", "reason", "message")}
                await changed.wait()
                changed.clear()
    finally:
        leave()


def _conditions(found: Document) -> list[Document]:
    """Returns the conditions of an APIService; of a Status that says there is none, none."""
    status = found.get("status")
    return status.get("conditions") or [] if isinstance(status, dict) else []


def extended(tmp_path: Path, case: Case) -> None:
    """Runs a case with a server and another that serves behind it."""
    beside(tmp_path, Extension(), case)
