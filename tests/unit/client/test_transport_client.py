"""The client's own reading and writing, below what every transport has in common."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from steersman.client import client as module
from steersman.client.client import APIClient, path_of
from steersman.client.errors import Unreachable, Unreadable
from steersman.client.interface import Change
from steersman.client.local import LocalTransport
from steersman.model import builtin
from steersman.model.kinds.configmap import CONFIGMAP
from steersman.model.kinds.deployment import DEPLOYMENT
from steersman.model.kinds.pod import POD
from steersman.model.ref import Ref, Resource
from steersman.wire.message import Request, Response, User
from steersman.world.interface import World
from steersman.world.simulated import simulate


def answering(
    give: Callable[[Request], Response], case: Callable[[APIClient], Coroutine[Any, Any, None]]
) -> None:
    async def main(world: World) -> None:
        transport = LocalTransport(give, User("system:serviceaccount:kube-system:job-controller"))
        await case(APIClient(transport, world))

    simulate(1, main)


def event(kind: str, name: str, revision: int) -> bytes:
    found = {"metadata": {"name": name, "resourceVersion": str(revision)}}
    return json.dumps({"type": kind, "object": found}).encode() + b"\n"


async def changes_of(client: APIClient) -> list[tuple[Change, ...]]:
    return [batch async for batch in client.watch(CONFIGMAP, after=1)]


def test_paths_are_upstreams() -> None:
    assert path_of(CONFIGMAP, "x", "a") == "/api/v1/namespaces/x/configmaps/a"
    assert path_of(CONFIGMAP) == "/api/v1/configmaps"
    expected = "/apis/apps/v1/namespaces/x/deployments/a/scale"
    assert path_of(DEPLOYMENT, "x", "a", "scale") == expected
    node = builtin.registry().of(Resource("", "nodes"))
    assert node is not None
    assert path_of(node, "ignored", "n", "proxy/stats/x") == "/api/v1/nodes/n/proxy/stats/x"
    role = builtin.registry().of(Resource("rbac.authorization.k8s.io", "clusterroles"))
    assert role is not None
    path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node%2Fx"
    assert path_of(role, "", "system:node/x") == path


def test_an_event_may_come_in_pieces_and_several_in_one() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        whole = event("ADDED", "a", 2) + event("MODIFIED", "a", 3)
        yield whole[:10]
        yield whole[10:-10]
        yield whole[-10:] + b"\n" + event("DELETED", "a", 4).rstrip()

    async def case(client: APIClient) -> None:
        found = await changes_of(client)
        assert [[(change.type, change.revision) for change in batch] for batch in found] == [
            [("ADDED", 2)],
            [("MODIFIED", 3)],
            [("DELETED", 4)],
        ]

    answering(lambda _: Response(pieces()), case)


def test_an_event_without_an_end_is_not_read_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FRAME_BYTES", 100)

    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield b"a" * 50

    async def case(client: APIClient) -> None:
        with pytest.raises(Unreachable, match="longer than 100 bytes"):
            await changes_of(client)

    answering(lambda _: Response(pieces()), case)


@pytest.mark.parametrize("line", [b"nonsense\n", b'{"type":"STRANGE","object":{}}\n', b"[]\n"])
def test_an_event_that_cannot_be_read_is_unreadable(line: bytes) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield line

    async def case(client: APIClient) -> None:
        with pytest.raises(Unreadable):
            await changes_of(client)

    answering(lambda _: Response(pieces()), case)


def test_an_answer_without_end_is_not_taken_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHOLE_BYTES", 100)

    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield b"a" * 50

    async def case(client: APIClient) -> None:
        with pytest.raises(Unreachable, match="longer than 100 bytes"):
            await client.list(CONFIGMAP)

    answering(lambda _: Response(pieces()), case)


@pytest.mark.parametrize(
    ("metadata", "remains"),
    [
        ({}, False),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, False),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0}, False),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}, True),
        ({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x/y"]}, True),
        ({"finalizers": ["x/y"]}, False),
    ],
)
def test_an_object_that_a_deletion_answers_with_remains_if_somebody_must_end_it(
    metadata: dict[str, Any], remains: bool
) -> None:
    answer = {"kind": "Pod", "metadata": {"name": "a", "resourceVersion": "7", **metadata}}

    async def case(client: APIClient) -> None:
        deleted = await client.delete(POD.ref("x", "a"))
        assert (deleted.object is not None, deleted.revision) == (remains, 7)

    answering(lambda _: Response(json.dumps(answer).encode()), case)


def test_a_deletion_that_wrote_nothing_has_no_revision() -> None:
    async def case(client: APIClient) -> None:
        deleted = await client.delete(POD.ref("x", "a"))
        assert (deleted.object, deleted.revision) == (None, 0)

    answering(lambda _: Response(b'{"kind":"Status","status":"Success"}'), case)


def test_an_empty_list_may_be_null() -> None:
    async def case(client: APIClient) -> None:
        listing = await client.list(CONFIGMAP)
        assert (listing.items, listing.revision) == ((), 5)

    answering(lambda _: Response(b'{"metadata":{"resourceVersion":"5"},"items":null}'), case)


def test_writes_name_the_component_and_keep_the_documents_own_type() -> None:
    seen: list[Request] = []

    def give(request: Request) -> Response:
        seen.append(request)
        return Response(request.body)

    async def case(client: APIClient) -> None:
        document = {"apiVersion": "v9", "metadata": {"name": "a", "namespace": "x"}}
        await client.create(CONFIGMAP, document)
        assert seen[0].headers["user-agent"] == "job-controller"
        assert seen[0].path == "/api/v1/namespaces/x/configmaps"
        sent = json.loads(seen[0].body)
        assert (sent["apiVersion"], sent["kind"]) == ("v9", "ConfigMap")
        assert "kind" not in document

    answering(give, case)


def test_a_kind_that_nobody_knows_is_a_mistake_of_the_caller() -> None:
    async def case(client: APIClient) -> None:
        with pytest.raises(LookupError, match=r"widgets\.example\.org"):
            await client.get(Ref(Resource("example.org", "widgets"), "x", "a"))

    answering(lambda _: Response(b"{}"), case)
