"""What is read of a server: whole lists, metadata where that is enough, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from served import Served, config_map, served
from steersman.client.local import LocalTransport
from steersman.explain import reading
from steersman.explain.reading import read
from steersman.model.kinds.configmap import CONFIGMAP
from steersman.model.kinds.namespace import NAMESPACE
from steersman.wire.message import User


def transport(api: Served, *groups: str) -> LocalTransport:
    return LocalTransport(api.assembly.api.handle, User("somebody", groups))


@served
async def test_all_pages_are_read_and_of_named_kinds_the_metadata(api: Served) -> None:
    for number in range(7):
        body = config_map(f"c{number}", key="secret")
        await api.post("/api/v1/namespaces/default/configmaps", body)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "PAGE", 3)
        found = await read(transport(api, "system:masters"), [NAMESPACE], [CONFIGMAP], now=1.0)
    documents: list[Any] = found.all(CONFIGMAP, "default")
    assert [it["metadata"]["name"] for it in documents] == [f"c{number}" for number in range(7)]
    assert all("data" not in it for it in documents)
    assert found.get(NAMESPACE, "", "default") is not None
    assert (found.unread, found.now) == ({}, 1.0)


@served
async def test_what_may_not_be_read_is_not_taken_for_absent(api: Served) -> None:
    found = await read(transport(api), [NAMESPACE], [], now=0.0)
    assert not found.knows(NAMESPACE)
    [why] = found.unread.values()
    assert why.startswith('namespaces is forbidden: User "somebody" cannot list')


@served
async def test_a_list_without_end_is_cut_and_the_answer_says_so(api: Served) -> None:
    for number in range(5):
        await api.post("/api/v1/namespaces/default/configmaps", config_map(f"c{number}"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "PAGE", 2)
        patch.setattr(reading, "MOST_OBJECTS", 4)
        found = await read(transport(api, "system:masters"), [CONFIGMAP], [], now=0.0)
    assert len(found.all(CONFIGMAP)) == 4
    assert found.unread == {CONFIGMAP.resource: "only the first 4 were read"}
