"""What a plan is made of: writes as values, and the one place where they are carried out.

A plan leaves nothing to choose; `act` carries it out in order and stops at the first failure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec

from steersman.client.interface import Client, PatchType, Propagation
from steersman.model.errors import NotFound
from steersman.model.kind import Document, Kind
from steersman.model.ref import Ref
from steersman.reconcile.events import Recorder

MAX_AT_ONCE = 64  # writes under way in one batch; memory and the API's queue stay bounded


class Create(msgspec.Struct, frozen=True):
    """Creates an object."""

    kind: Kind
    document: Document
    namespace: str = ""


class Patch(msgspec.Struct, frozen=True):
    """Changes an object; with `uid` or `revision` only that very one."""

    ref: Ref
    patch: Mapping[str, Any] | list[Any]
    subresource: str = ""
    uid: str = ""
    revision: int = 0
    how: PatchType = "merge"


class Delete(msgspec.Struct, frozen=True):
    """Deletes an object; one that is gone already counts as deleted."""

    ref: Ref
    uid: str = ""
    revision: int = 0
    grace_seconds: int | None = None
    propagation: Propagation = ""


class Tell(msgspec.Struct, frozen=True):
    """Records an event about an object (its view)."""

    about: Any
    reason: str
    note: str
    type: str = "Normal"


Action = Create | Patch | Delete | Tell


def status(ref: Ref, fields: Mapping[str, Any], *, uid: str = "", revision: int = 0) -> Patch:
    """Returns a patch of an object's status."""
    return Patch(ref, {"status": dict(fields)}, "status", uid, revision)


async def act(client: Client, events: Recorder, actions: Iterable[Action]) -> None:
    """Carries out actions in order; raises what the first failing one raises."""
    for action in actions:
        await act_one(client, events, action)


async def act_one(client: Client, events: Recorder, action: Action) -> Any:
    """Carries out one action and returns the view of what it wrote, None for the others."""
    match action:
        case Create():
            return await client.create(action.kind, action.document, namespace=action.namespace)
        case Patch():
            return await _patch(client, action)
        case Delete():
            await _delete(client, action)
        case Tell():
            tell = events.normal if action.type == "Normal" else events.warning
            tell(action.about, action.reason, action.note)
    return None


async def _patch(client: Client, action: Patch) -> Any:
    return await client.patch(
        action.ref,
        action.patch,
        how=action.how,
        subresource=action.subresource,
        uid=action.uid,
        revision=action.revision,
    )


async def _delete(client: Client, action: Delete) -> None:
    try:
        await client.delete(
            action.ref,
            uid=action.uid,
            revision=action.revision,
            grace_seconds=action.grace_seconds,
            propagation=action.propagation,
        )
    except NotFound:
        return


async def slow_start(count: int, work: Callable[[int], Awaitable[None]]) -> None:
    """Does `work(0)` to `work(count - 1)` in batches of 1, 2, 4, 8...; a batch with a failure is
    the last, and its first failure is raised.

    So one refused create (a quota, say) does not become hundreds (upstream's slowStartBatch).
    """
    begun, size = 0, 1
    while begun < count:
        size = min(size, count - begun, MAX_AT_ONCE)
        await together(range(begun, begun + size), work)
        begun += size
        size *= 2


async def together(items: Iterable[Any], work: Callable[[Any], Awaitable[None]]) -> None:
    """Does work on all items at once and raises the first failure after all of them ended."""
    results = await asyncio.gather(*(work(item) for item in items), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result


async def a_few_at_once(
    items: Iterable[Any], most: int, work: Callable[[Any], Awaitable[None]]
) -> None:
    """Does work on all items, so many of them at a time, and raises the first failure after all
    ended; who failed leaves the rest to the others."""
    left = iter(items)

    async def take(_: int) -> None:
        for item in left:
            await work(item)

    await together(range(most), take)
