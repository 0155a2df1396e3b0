"""Calls of a driver's controller service, each bounded in time. Loaded with the first call."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeVar

from steersman.client.grpc import Channel, connect_unix
from steersman.client.interface import Client
from steersman.controllers.csi.requests import BadParameters
from steersman.model.errors import APIError
from steersman.model.kinds.secret import SECRET, Secret
from steersman.model.types.reference import SecretReference
from steersman.wire.rpc import csi
from steersman.wire.rpc.messages import Rpc
from steersman.world.interface import World

CALL_SECONDS: Final = 15.0  # --timeout of the community's sidecars
Q = TypeVar("Q")
A = TypeVar("A")


class ControllerService:
    """A driver's controller service, while it is called."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    async def call(self, method: Rpc[Q, A], message: Q) -> A:
        """Makes a call; raises Failed."""
        answer: A = await self._channel.ask(method, message, CALL_SECONDS)
        return answer

    async def abilities(self) -> set[int]:
        """Returns what the driver can do, by the numbers of ControllerServiceCapability."""
        found = await self.call(csi.CONTROLLER_GET_CAPABILITIES, csi.Empty())
        return {it.rpc.type for it in found.capabilities if it.rpc is not None}

    async def knows_places(self) -> bool:
        """Says whether volumes can be reached from some places alone."""
        found = await self.call(csi.GET_PLUGIN_CAPABILITIES, csi.Empty())
        wanted = csi.VOLUME_ACCESSIBILITY_CONSTRAINTS
        return any(
            it.service is not None and it.service.type == wanted for it in found.capabilities
        )


@asynccontextmanager
async def calling(socket: Path, world: World) -> AsyncIterator[ControllerService]:
    """Gives a driver to be called; raises Failed."""
    async with await connect_unix(socket, world, CALL_SECONDS) as channel:
        yield ControllerService(channel)


async def read_secret(client: Client, name: SecretReference | None) -> dict[str, str]:
    """Returns the texts of a Secret, none where none is named; raises BadParameters."""
    if name is None:
        return {}
    try:
        found: Secret = await client.get(SECRET.ref(name.namespace, name.name))
        return {key: data.decode() for key, data in found.data.items()}
    except (APIError, UnicodeDecodeError) as error:
        where = f"error getting secret {name.name} in namespace {name.namespace}"
        raise BadParameters(f"{where}: {error}") from error
