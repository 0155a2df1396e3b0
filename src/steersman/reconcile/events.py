"""Tells people what a part did: Event objects, equal ones counted, floods held back.

Best effort as upstream's: an event that finds no room or cannot be written after some tries is
dropped, nothing waits for one. Controllers write the form of client-go tools/record (count, first
and last time), the scheduler that of tools/events (series), because clients read both.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any, Final, Literal

import msgspec

from steersman.client.errors import Unreachable
from steersman.client.interface import Client
from steersman.model import builtin
from steersman.model.errors import APIError, NotFound
from steersman.model.kind import Document, Kind
from steersman.model.kinds.event import EVENT
from steersman.model.ref import Ref
from steersman.model.times import rfc3339, rfc3339_micro
from steersman.world.interface import World

Form = Literal["count", "series"]

MAX_WAITING = 1000  # client-go maxQueuedEvents
MAX_KNOWN = 4096  # client-go maxLruCacheEntries
MAX_TRIES = 12  # client-go maxTriesPerEvent
RETRY_SECONDS = 10.0  # client-go defaultSleepDuration
BURST = 25  # client-go defaultSpamBurst: events of one source about one object
REFILL_PER_SECOND = 1 / 300  # client-go defaultSpamQPS
MAX_NOTE = 1024  # validation's bound on a note; longer ones are cut
# What upstream's controllers call themselves in events, where that is not their account's name
_SOURCES: Final[Mapping[str, str]] = {
    "daemon-set-controller": "daemonset-controller",
    "disruption-controller": "controllermanager",
    "endpointslice-controller": "endpoint-slice-controller",
    "endpointslicemirroring-controller": "endpoint-slice-mirroring-controller",
    "ephemeral-volume-controller": "ephemeral_volume",
    "expand-controller": "volume_expand",
    "generic-garbage-collector": "garbage-collector-controller",
    "node-ipam-controller": "cidrAllocator",
    "persistent-volume-binder": "persistentvolume-controller",
    "resource-claim-controller": "resource_claim",
}


def source_of(controller: str) -> str:
    """Returns what a controller calls itself in events."""
    return _SOURCES.get(controller, controller)


class Said(msgspec.Struct, frozen=True):
    """One thing that was said, without its time: what makes two events equal."""

    about: tuple[str, str, str, str, str, str]  # apiVersion, kind, namespace, name, uid, fieldPath
    type: str
    reason: str
    note: str
    action: str = ""
    host: str = ""  # the node that says it; empty: the component's own
    related: tuple[str, str, str] | None = None  # apiVersion, kind, name of who else had a part
    component: str = ""  # who says it; empty: the recorder's own


class _Known(msgspec.Struct):
    ref: Ref
    first: float
    count: int = 1


class _Bucket(msgspec.Struct):
    tokens: float
    at: float


def about(found: Any, field_path: str = "") -> tuple[str, str, str, str, str, str]:
    """Returns the identity of the object that an event is about, from its view.

    Items of a list do not say their kind; then the type of the view does.
    """
    metadata = found.metadata
    named = (metadata.namespace, metadata.name, metadata.uid)
    if found.kind:
        return (found.api_version, found.kind, *named, field_path)
    kind = _kinds()[type(found)]
    return (kind.api_version(), kind.name, *named, field_path)


def about_ref(kind: Kind, ref: Ref, uid: str) -> tuple[str, str, str, str, str, str]:
    """Returns the identity of an object that an event is about, where no view of it is at hand."""
    return (kind.api_version(), kind.name, ref.namespace, ref.name, uid, "")


@cache
def _kinds() -> dict[type[Any], Kind]:
    return {kind.view: kind for kind in builtin.all() if kind.view is not None}


class Recorder:
    """The events of one component (`deployment-controller`)."""

    def __init__(
        self, client: Client, world: World, component: str, *, form: Form = "count", host: str = ""
    ) -> None:
        self._client = client
        self._world = world
        self._component = component
        self._form = form
        self._host = host
        self._waiting: asyncio.Queue[tuple[Said, float]] = asyncio.Queue(MAX_WAITING)
        self._known: OrderedDict[Said, _Known] = OrderedDict()
        self._buckets: OrderedDict[tuple[str, ...], _Bucket] = OrderedDict()
        self.dropped = 0

    def normal(
        self, found: Any, reason: str, note: str, action: str = "", component: str = ""
    ) -> None:
        """Tells that something went as it should; `found` is the view it is about."""
        self.say(Said(about(found), "Normal", reason, note, action, component=component))

    def warning(
        self,
        found: Any,
        reason: str,
        note: str,
        action: str = "",
        related: tuple[str, str, str] | None = None,
        component: str = "",
    ) -> None:
        """Tells that something went wrong."""
        said = Said(about(found), "Warning", reason, note, action, "", related, component)
        self.say(said)

    def say(self, said: Said) -> None:
        """Takes an event to be written soon; dropped where too many wait or one source floods."""
        if self._waiting.full() or not self._admit(said):
            self.dropped += 1
            return
        self._waiting.put_nowait((said, self._world.now()))

    def _admit(self, said: Said) -> bool:
        now = self._world.now()
        bucket = self._buckets.setdefault(said.about, _Bucket(BURST, now))
        self._buckets.move_to_end(said.about)
        if len(self._buckets) > MAX_KNOWN:
            self._buckets.popitem(last=False)
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.at) * REFILL_PER_SECOND)
        bucket.at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    async def run(self, after: Callable[[], Awaitable[None]] | None = None) -> None:
        """Writes events for ever, from when `after` returns: whoever knows when the server answers
        says so, as an event that finds none holds up those behind it until it is tried again."""
        if after is not None:
            await after()
        while True:
            said, now = await self._waiting.get()
            await self._write(said, now)

    async def _write(self, said: Said, now: float) -> None:
        for attempt in range(MAX_TRIES):
            if attempt:
                await self._world.pause(RETRY_SECONDS)
            try:
                await self._once(said, now)
                return
            except APIError as error:
                if error.code < 500 and error.code != 429:
                    break  # refused: asking again changes nothing
            except Unreachable:
                continue
        self.dropped += 1

    async def _once(self, said: Said, now: float) -> None:
        known = self._known.get(said)
        if known is not None:
            try:
                await self._client.patch(known.ref, self._again(known, now))
            except NotFound:  # it was removed after its hour: begin anew
                del self._known[said]
            else:
                known.count += 1
                self._known.move_to_end(said)
                return
        namespace = said.about[2] or "default"
        document = self._document(said, namespace, now)
        made = await self._client.create(EVENT, document, namespace=namespace)
        self._known[said] = _Known(EVENT.ref(namespace, made.metadata.name), now)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def _again(self, known: _Known, now: float) -> Document:
        count = known.count + 1
        if self._form == "series":
            return {"series": {"count": count, "lastObservedTime": rfc3339_micro(now)}}
        return {"count": count, "lastTimestamp": rfc3339(now)}

    def _document(self, said: Said, namespace: str, now: float) -> Document:
        fields = ("apiVersion", "kind", "namespace", "name", "uid", "fieldPath")
        involved = {key: text for key, text in zip(fields, said.about, strict=True) if text}
        name = f"{said.about[3]}.{int(now * 1e9):x}{self._world.suffix(3)}"
        document: Document = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": involved,
            "reason": said.reason,
            "message": said.note[:MAX_NOTE],
            "type": said.type,
        }
        if said.related is not None:
            version, kind, other = said.related
            document["related"] = {"apiVersion": version, "kind": kind, "name": other}
        return {**document, **self._when(said, now)}

    def _when(self, said: Said, now: float) -> Document:
        component = said.component or self._component
        if self._form == "series":
            return {
                "eventTime": rfc3339_micro(now),
                "action": said.action,
                "reportingComponent": component,
                "reportingInstance": f"{component}-{self._host}" if self._host else component,
                "source": {},
                "firstTimestamp": None,
                "lastTimestamp": None,
            }
        host = said.host or self._host
        source = {"component": component, "host": host}
        return {
            "source": {key: text for key, text in source.items() if text},
            "reportingComponent": component,
            "reportingInstance": host,
            "firstTimestamp": rfc3339(now),
            "lastTimestamp": rfc3339(now),
            "count": 1,
            "eventTime": None,
        }
