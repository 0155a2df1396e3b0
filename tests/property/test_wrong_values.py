"""A wrong value at any field of any kind is refused or taken, never a failure of the server."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.api.test_core_kinds import body_of, collection

from filled import ABSENT, OTHERS, Place, filled, places, replaced, wrong
from served import APPLY, MERGE, STRATEGIC, TABLE, Answer, Served, prepare, serving
from steersman.model import builtin, decode, schema
from steersman.model.errors import APIError
from steersman.model.kind import Document, Kind, Subresource
from steersman.world.simulated import SimulatedWorld, simulate

EXAMPLES = settings(max_examples=40)
STORED = [kind for kind in builtin.all() if kind.stored]
# What each field is given in turn; the served test draws from all that `filled` knows
FEW = (None, ABSENT, [None], [{}], "", "²", 2**63 - 1)


def node_of(kind: Kind) -> schema.Node:
    return schema.builtin().definition(kind.versions[0].definition)


def small(kind: Kind) -> Document:
    """Returns a valid object."""
    found = copy.deepcopy(body_of(kind, kind.versions[0].name))
    if kind.namespaced:
        found["metadata"]["namespace"] = "default"
    return found


def whole(kind: Kind) -> Document:
    """Returns an object with a value at every field but those of pods that it has made."""
    given, every = small(kind), filled(node_of(kind))
    return {**_thin(every, given), "metadata": given["metadata"]} | {
        name: given[name] for name in ("apiVersion", "kind")
    }


def _thin(every: Any, given: Any) -> Any:
    if not isinstance(every, dict) or not isinstance(given, dict):
        return every
    return {
        name: given[name] if name in given and name == "template" else _thin(value, given.get(name))
        for name, value in every.items()
    }


def admitted(kind: Kind, document: Document) -> Document:
    version = kind.versions[0]
    found = decode.admit(version.definition, copy.deepcopy(document), kind.name, version.name)
    new = version.to_storage(found.document) if version.to_storage else found.document
    return {**new, "metadata": {"name": "x", **(new.get("metadata") or {})}}


def judge(kind: Kind, document: Document, old: Document | None, subresource: str) -> None:
    """Has a kind's own code look at a document; lets nothing out but what blames a client."""
    try:
        new = kind.prepare(admitted(kind, document), old, subresource)
    except APIError:
        return
    causes = list(kind.check(new, old, subresource))
    list(kind.warn(new, old, subresource))
    if not causes:
        shown = kind.as_read(new, 1e9) if kind.as_read else new
        for column in kind.columns:
            column.value(shown, 1e9)
        for select in kind.selectable.values():
            select(shown)


def spoiled(kind: Kind) -> Iterator[tuple[Place, Document]]:
    """Yields objects with one wrong value each."""
    node = node_of(kind)
    # all fields of a pod take minutes: they are drawn below
    for document in (small(kind), whole(kind)) if kind.plural != "pods" else (small(kind),):
        for place in places(node, document):
            for value in FEW:
                yield place, replaced(document, place.path, value)


@pytest.mark.parametrize("kind", STORED, ids=lambda kind: f"{kind.plural}.{kind.group}")
def test_a_wrong_value_at_any_field_fails_nobody(kind: Kind) -> None:
    old = kind.prepare(admitted(kind, small(kind)), None, "")
    for place, document in spoiled(kind):
        judge(kind, document, None, "")
        judge(kind, document, copy.deepcopy(old), "")
        for one in kind.subresources:
            if any(path[0] == place.path[0] for path in one.writes):
                judge(kind, written(old, document, one), copy.deepcopy(old), one.name)


def written(old: Document, document: Document, subresource: Subresource) -> Document:
    """Returns an object after a write through a subresource, which changes its own fields."""
    made = copy.deepcopy(old)
    for path in subresource.writes:
        at, given = made, document
        for name in path[:-1]:
            at = at.setdefault(name, {})
            given = given.get(name) if isinstance(given, dict) else None
        if isinstance(given, dict) and path[-1] in given:
            at[path[-1]] = given[path[-1]]
    return made


@st.composite
def writes(draw: st.DrawFn) -> tuple[Kind, str, str, Document]:
    """Draws a kind, a way to write, where, and an object with one or two wrong values."""
    kind = draw(st.sampled_from(STORED))
    document = draw(st.sampled_from((small(kind), whole(kind), filled_pod(kind))))
    for _ in range(draw(st.integers(1, 2))):
        found = draw(st.sampled_from([*places(node_of(kind), document)] or [None]))
        if found is not None:
            value = draw(st.sampled_from(wrong(found.node) or OTHERS))
            document = replaced(document, found.path, value)
    below = draw(st.sampled_from(["", *(one.name for one in kind.subresources if one.writes)]))
    how = draw(st.sampled_from(("POST", "PUT", MERGE, STRATEGIC, APPLY)))
    return kind, how, below, document


def filled_pod(kind: Kind) -> Document:
    """Returns an object with every field of the pods that it has made as well."""
    given = small(kind)
    head = {name: given[name] for name in ("apiVersion", "kind", "metadata")}
    return {**filled(node_of(kind)), **head}


async def write(api: Served, kind: Kind, how: str, below: str, document: Document) -> Answer:
    path = collection(kind, kind.versions[0].name)
    one = f"{path}/{small(kind)['metadata']['name']}{f'/{below}' if below else ''}"
    body = json.dumps(document).encode()  # which has numbers that orjson cannot write
    if how == "POST":
        return await api.post(path, body)
    if how == "PUT":
        return await api.put(one, body)
    query = {"fieldManager": "f", "force": "true"} if how == APPLY else {}
    return await api.patch(one, body, how, **query)


@EXAMPLES
@given(st.lists(writes(), min_size=1, max_size=20))
def test_a_wrong_value_is_no_failure_of_the_server(
    found: list[tuple[Kind, str, str, Document]],
) -> None:
    async def main(world: SimulatedWorld) -> None:
        async with serving(world) as api:
            await prepare(api)
            for kind, how, below, document in found:
                path = collection(kind, kind.versions[0].name)
                await api.post(path, small(kind))
                answer = await write(api, kind, how, below, document)
                listed = await api.get(path, accept=TABLE)
                for one in (answer, listed):
                    told = one.document if isinstance(one.document, dict) else {}
                    # what cannot be merged upstream answers with 500 as well, but without a reason
                    plain = one.code == 500 and not told.get("reason")
                    assert one.code < 500 or plain, (kind.name, how, below, document, told)

    simulate(1, main)
