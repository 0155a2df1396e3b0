"""Reads a cluster's state at one revision, for what must hold of it."""

from __future__ import annotations

import json
from typing import NamedTuple

from steersman.client.client import whole
from steersman.client.interface import Transport
from steersman.explain.reading import Reading
from steersman.model import builtin
from steersman.model.kinds.event import EVENT
from steersman.model.ref import Resource
from steersman.testing.invariants.state import WHOLE, State
from steersman.wire.message import Request
from steersman.wire.status import from_body


class Read(NamedTuple):
    """A state, and the kinds that could not be read, each with why."""

    state: State
    unread: dict[Resource, str]


async def read_state(transport: Transport) -> Read:
    """Returns the state of a cluster as of now; raises Unreachable, APIError."""
    kinds = [kind for kind in builtin.all() if kind.stored and "list" in kind.verbs]
    reading = Reading(transport, await _revision(transport))
    await reading.read_all(
        [kind for kind in kinds if kind.resource in WHOLE],
        [kind for kind in kinds if kind.resource not in WHOLE and kind.name != EVENT.name],
    )
    found = {it: documents for it, documents in reading.found.items() if it not in reading.unread}
    return Read(State(found), reading.unread)


async def _revision(transport: Transport) -> str:
    """Returns the newest revision."""
    request = Request("GET", "/api/v1/namespaces", "limit=1", {"accept": "application/json"})
    response = await transport.send(request)
    body = await whole(response)
    if response.status >= 400:
        raise from_body(response.status, body)
    return str(json.loads(body)["metadata"]["resourceVersion"])
