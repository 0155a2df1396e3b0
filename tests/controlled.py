"""Controllers beside a served API, as values: each with the rights that a cluster gives it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import cast

from served import Served
from steersman.client.client import APIClient
from steersman.client.interface import Change
from steersman.client.local import LocalTransport
from steersman.client.view import FollowedViews, Sources
from steersman.cluster.control import ACCOUNT, MANAGER, groups_of
from steersman.controllers.registry import Facts, controllers
from steersman.model.kind import Kind
from steersman.reconcile import loop
from steersman.reconcile.loop import Controller
from steersman.wire.message import User


def _as_it_is(client: Sources) -> Sources:
    return client


class _Behind:
    """A client whose watches of one kind tell nothing: copies of it stay as first listed."""

    def __init__(self, client: Sources, kind: Kind) -> None:
        self._client = client
        self._kind = kind
        self.list = client.list

    def metadata_only(self) -> _Behind:
        """Returns the same for metadata."""
        return _Behind(cast(Sources, self._client.metadata_only()), self._kind)

    async def watch(
        self, kind: Kind, namespace: str = "", *, after: int, fields: str = ""
    ) -> AsyncIterator[tuple[Change, ...]]:
        """Tells of changes, but for those of the one kind."""
        if kind is self._kind:
            await asyncio.Event().wait()
        async for changes in self._client.watch(kind, namespace, after=after, fields=fields):
            yield changes


def behind(kind: Kind) -> Callable[[Sources], Sources]:
    """Returns what keeps the copies of a kind as they were at first; see `controlled`."""
    return lambda client: _Behind(client, kind)


@asynccontextmanager
async def controlled(
    api: Served,
    *kinds: type[Controller],
    through: Callable[[Sources], Sources] = _as_it_is,
) -> AsyncIterator[FollowedViews]:
    """Runs controllers as a server runs them; their copies are followed `through` something."""
    async with api.world.tasks() as tasks:

        def client_for(name: str) -> APIClient:
            user = User(name, groups_of(name))
            transport = LocalTransport(api.assembly.api.handle, user, tasks)
            return APIClient(transport, api.world, find=api.assembly.kind)

        views = FollowedViews(through(client_for(MANAGER)), api.world, tasks)
        work = loop.run(kinds, lambda name: client_for(ACCOUNT + name), views, api.world)
        tasks.start(work, name="controllers")
        yield views
        tasks.stop()


def conditions(document: dict[str, object], *fields: str) -> list[tuple[object, ...]]:
    """Returns some fields of the conditions of an object's status."""
    status = document.get("status") or {}
    assert isinstance(status, dict)
    found: Iterable[dict[str, object]] = status.get("conditions") or ()
    return [tuple(one.get(field) for field in fields) for one in found]


class NoSigner:
    """Who signs nothing, for controllers that are looked at and not run."""

    def sign(self, request: bytes, usages: Sequence[str], seconds: int) -> bytes:
        """Is not asked."""
        raise NotImplementedError


# An authority that signs nothing: what is published is looked at by the API, and so has its form
BUNDLE = """\
-----BEGIN CERTIFICATE-----
MIIBeDCCAR2gAwIBAgIUB6dfYyNudr+G9G6RHfWppChngGQwCgYIKoZIzj0EAwIw
EDEOMAwGA1UEAwwFdGVzdHMwIBcNMjYxMTI2MTkyOTE4WhgPMjEyNjExMDIxOTI5
MThaMBAxDjAMBgNVBAMMBXRlc3RzMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE
1UKG4hQj4xBycYE3aAPpfUKLmg6D3/FLPg3EEGMRwHiUZ4oP+J7o3cbpc/ntpARn
n7ByV+CzkKIEwL9jdc4Kr6NTMFEwHQYDVR0OBBYEFEABQ4j7QGcaPhElewxQ1Po1
TK30MB8GA1UdIwQYMBaAFEABQ4j7QGcaPhElewxQ1Po1TK30MA8GA1UdEwEB/wQF
MAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAMg8pogSfYMJMsg9SrzAoNQZzHzfpc4a
s9TQHywV8bZfAiEAhOq2CiA3nOxE/9pcDbe9pfNycF51T6jTIZ+dGKINa8g=
-----END CERTIFICATE-----
"""
FACTS = Facts(BUNDLE, "10.96.0.0/16", NoSigner())
EVERYBODY = controllers(FACTS)
