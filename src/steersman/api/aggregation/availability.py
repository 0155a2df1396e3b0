"""Checks whether the servers behind APIServices are there, and says so in their status.

A change of the APIService, its Service or the endpoints, or a request that failed, has one checked;
a failure is checked again with a growing delay. Nothing is checked because time goes by.
"""

from __future__ import annotations

from typing import Final

from steersman.api.access.front_proxy import GROUP, USER
from steersman.api.aggregation import said
from steersman.api.aggregation.registration import PATH
from steersman.api.aggregation.remote import Remote
from steersman.api.aggregation.remotes import Remotes
from steersman.api.aggregation.verdict import PASSED, Verdict, decide, told
from steersman.api.bootstrap.keeping import Keeping
from steersman.api.bootstrap.writing import send
from steersman.api.cache import Cache, Entry, Event
from steersman.api.hooks.client import Unanswered, whole
from steersman.api.server import Api
from steersman.api.subresources.kubelets import explain
from steersman.client.errors import Unreachable
from steersman.client.http import HTTPTransport
from steersman.model.ref import Resource
from steersman.model.times import rfc3339
from steersman.wire.message import Request
from steersman.world.interface import Tasks, World

SERVICES: Final = Resource("", "services")
ENDPOINTS: Final = Resource("", "endpoints")
SLICES: Final = Resource("discovery.k8s.io", "endpointslices")
OWNER: Final = "kubernetes.io/service-name"
# Endpoints that are tried before a server counts as gone, the time for one of them and for all
ATTEMPTS: Final = 5
ATTEMPT_SECONDS: Final = 5.0
CHECK_SECONDS: Final = 6.0
# As whom it is asked: somebody whom every server lets see what it serves
_ASKS: Final = {
    "accept": "application/json",
    USER: "system:kube-aggregator",
    GROUP: "system:masters",
}


class Bad(Exception):
    """Why a server does not pass, in upstream's words."""


class Availability:
    """See the module."""

    def __init__(self, cache: Cache, remotes: Remotes, api: Api, world: World) -> None:
        self._services = cache.table(SERVICES)
        self._slices = cache.table(SLICES)
        self._endpoints = cache.table(ENDPOINTS)
        self._remotes = remotes
        self._api = api
        self._world = world
        self._keeping = Keeping(world, self._keep)
        self._checking: set[str] = set()
        self._found: dict[str, tuple[Remote, Verdict]] = {}
        self._tasks: Tasks | None = None

    async def run(self, tasks: Tasks) -> None:
        """Checks what is there, and then what changes, for ever."""
        self._tasks = tasks
        self._remotes.doubt = self._keeping.note
        for name in self._remotes.names():
            self._keeping.note(name)
        self._services.watch("", self._hear)
        self._endpoints.watch("", self._hear)
        self._slices.watch("", self._hear_slice)
        await self._keeping.run(tasks)

    def _hear(self, event: Event) -> None:
        entry = event.new or event.old
        assert entry is not None
        self._note_service(entry.namespace, entry.name)

    def _hear_slice(self, event: Event) -> None:
        if self._remotes.names():
            entry = event.new or event.old
            assert entry is not None
            self._note_service(entry.namespace, _owner(entry))

    def _note_service(self, namespace: str, name: str) -> None:
        for one in self._remotes.of_service(namespace, name):
            self._keeping.note(one)

    async def _keep(self, name: str) -> None:
        remote = self._remotes.get(name)
        if remote is None:
            self._found.pop(name, None)
            self._keeping.settle(name)
            return
        asked = self._found.pop(name, None)
        if asked is not None and asked[0] is remote:
            await self._tell(remote, asked[1])
            return
        verdict = self._decide(remote)
        if verdict is not None:
            await self._tell(remote, verdict)
        elif name not in self._checking:
            self._checking.add(name)
            assert self._tasks is not None
            self._tasks.start(self._check(remote), name=f"availability of {name}")

    def _decide(self, remote: Remote) -> Verdict | None:
        wanted = remote.spec["service"]
        service = self._services.get(wanted["namespace"], wanted["name"])
        slices = [
            entry.document()
            for entry in self._slices.ordered(wanted["namespace"])
            if _owner(entry) == wanted["name"]
        ]
        return decide(wanted, service.document() if service else None, slices)

    async def _tell(self, remote: Remote, verdict: Verdict) -> None:
        made = told(remote.document, verdict, rfc3339(self._world.now()))
        if made is not None:
            made["metadata"] = {**made["metadata"], "resourceVersion": str(remote.revision)}
            await send(self._api, "PUT", f"{PATH}/{remote.name}/status", made)
        if verdict.reason == "FailedDiscoveryCheck":
            self._keeping.again(remote.name)
        else:
            self._keeping.settle(remote.name)

    async def _check(self, remote: Remote) -> None:
        verdict = PASSED
        try:
            async with self._world.wire_timeout(CHECK_SECONDS):
                await self._attempt(remote)
            remote.openapi = await self._document(remote)
        except TimeoutError:
            message = f"timed out waiting for https://{_host(remote)}{remote.root}"
            verdict = Verdict("False", "FailedDiscoveryCheck", message)
        except Bad as error:
            verdict = Verdict("False", "FailedDiscoveryCheck", str(error))
        finally:
            self._checking.discard(remote.name)
        remote.asked = self._world.monotonic()
        self._found[remote.name] = (remote, verdict)
        self._keeping.note(remote.name)
        self._remotes.changed()

    async def _attempt(self, remote: Remote) -> None:
        """Asks one endpoint after the other until one answers; raises Bad with the last error."""
        last = Bad("no attempt was made")
        for _ in range(ATTEMPTS):
            try:
                transport = remote.transport(checked=False)
            except Unanswered as error:
                raise Bad(str(error)) from error
            try:
                await self._ask(remote, transport)
                return
            except Bad as error:
                last = error
            finally:
                await transport.close()
        raise last

    async def _ask(self, remote: Remote, transport: HTTPTransport) -> None:
        url = f"{transport.target}{remote.root}"
        try:
            async with self._world.wire_timeout(ATTEMPT_SECONDS):
                status, body = await _get(transport, remote.root)
        except TimeoutError:
            late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
            raise Bad(_missing(url, f'Get "{url}": {late}')) from None
        except Unreachable as error:
            why = explain(str(transport.target).removeprefix("https://"), error)
            raise Bad(_missing(url, f'Get "{url}": {why}')) from error
        if not 200 <= status < 300:
            raise Bad(_missing(url, f"bad status from {url}: {status}"))
        try:
            remote.resources = said.resources(body, remote.spec["group"], remote.spec["version"])
        except ValueError:
            remote.resources = []  # what it does not say it does not serve

    async def _document(self, remote: Remote) -> str:
        """Returns where a server has its document; it need not have one."""
        try:
            transport = remote.transport(checked=False)
        except Unanswered:
            return ""
        try:
            async with self._world.wire_timeout(ATTEMPT_SECONDS):
                status, index = await _get(transport, "/openapi/v3")
            return said.document_url(index, remote.root[1:]) if status == 200 else ""
        except (TimeoutError, Unreachable, Bad, ValueError):
            return ""
        finally:
            await transport.close()


def _owner(entry: Entry) -> str:
    labels = entry.document()["metadata"].get("labels") or {}
    return str(labels.get(OWNER) or "")


def _host(remote: Remote) -> str:
    service = remote.spec["service"]
    return f"{service['name']}.{service['namespace']}.svc:{service.get('port', 443)}"


def _missing(url: str, why: str) -> str:
    return f"failing or missing response from {url}: {why}"


async def _get(transport: HTTPTransport, path: str) -> tuple[int, bytes]:
    answer = await transport.send(Request("GET", path, "", _ASKS))
    try:
        return answer.status, await whole(answer.body)
    except Unanswered as error:
        raise Bad(str(error)) from error
