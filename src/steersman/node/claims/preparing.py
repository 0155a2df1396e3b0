"""Has drivers make ready what a pod's claims were allocated, and take it back; see `claims`.

Follows the kubelet's cm/dra/manager.go, with its messages. One rule: of one claim nothing is done
twice at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar
from weakref import WeakValueDictionary

from steersman.client.errors import Unreachable
from steersman.client.interface import Client
from steersman.model.errors import APIError
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.resourceclaim import RESOURCECLAIM, ResourceClaim
from steersman.model.resource_claims import NotCreated, check_owner, is_reserved, name_of
from steersman.model.types.container import Container
from steersman.node.claims.drivers import Drivers, NotRegistered
from steersman.node.claims.interface import CannotPrepare
from steersman.node.claims.prepared import ClaimInfo, Key, Prepared, PreparedDevice
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc import dra

A = TypeVar("A", dra.Prepared, dra.Unprepared)


class Preparing:
    """The claims of all pods of one node."""

    def __init__(self, client: Client, drivers: Drivers, prepared: Prepared) -> None:
        self._client = client
        self._drivers = drivers
        self._prepared = prepared
        # Each is there as long as somebody has it or waits for it
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    async def prepare(self, pod: Pod) -> None:
        """Makes ready what the claims of a pod were allocated; raises CannotPrepare."""
        try:
            claims = await self._find(pod)
            async with self._holding(it.key for it in claims):
                await self._prepare(pod.metadata.uid, claims)
        except (NotCreated, NotRegistered, OSError) as error:
            raise CannotPrepare(f"prepare dynamic resources: {error}") from error
        except Failed as error:
            text = "prepare dynamic resources: NodePrepareResources"
            raise CannotPrepare(f"{text}: {error}") from error
        except CannotPrepare as error:
            raise CannotPrepare(f"prepare dynamic resources: {error}") from error

    async def unprepare(self, uid: str) -> None:
        """Takes back what the claims of a pod had, but for those that others use; raises
        CannotPrepare."""
        try:
            keys = {it.key for it in self._prepared.of_pod(uid)}
            async with self._holding(keys):
                await self._unprepare(uid, keys)
        except (NotRegistered, OSError) as error:
            raise CannotPrepare(f"unprepare dynamic resources: {error}") from error
        except Failed as error:
            text = "unprepare dynamic resources: NodeUnprepareResources"
            raise CannotPrepare(f"{text}: {error}") from error
        except CannotPrepare as error:
            raise CannotPrepare(f"unprepare dynamic resources: {error}") from error

    @asynccontextmanager
    async def _holding(self, keys: Iterable[Key]) -> AsyncIterator[None]:
        """Waits until nothing else is done with claims; those of a pod in one order, lest two pods
        wait for each other."""
        async with AsyncExitStack() as stack:
            for key in sorted(set(keys)):
                await stack.enter_async_context(self._locks.setdefault(key, asyncio.Lock()))
            yield

    # Preparing

    async def _find(self, pod: Pod) -> list[ClaimInfo]:
        """Returns the claims of a pod that it may use, once their drivers are there: whatever is
        wrong leaves nothing that had to be taken back."""
        found = []
        made = [
            (name, not wanted.resource_claim_name)
            for wanted in pod.spec.resource_claims
            if (name := name_of(pod, wanted)) is not None
        ]
        if (extended := pod.status.extended_resource_claim_status) is not None:
            made.append((extended.resource_claim_name, True))
        for name, for_pod in made:
            claim = await self._read(pod.metadata.namespace, name)
            if for_pod and (why := check_owner(pod, claim)):
                raise CannotPrepare(why)
            if not is_reserved(pod, claim):
                raise CannotPrepare(
                    f"pod {pod.metadata.name} ({pod.metadata.uid}) is not allowed to use "
                    f"ResourceClaim {name} ({claim.metadata.uid})"
                )
            info = _info(claim)
            for driver in info.drivers:
                self._drivers.find(driver)
            found.append(info)
        return found

    async def _read(self, namespace: str, name: str) -> ResourceClaim:
        try:
            found: ResourceClaim = await self._client.get(RESOURCECLAIM.ref(namespace, name))
            return found
        except (APIError, Unreachable) as error:
            raise CannotPrepare(f"fetch ResourceClaim {name}: {error}") from error

    async def _prepare(self, pod: str, claims: Iterable[ClaimInfo]) -> None:
        waiting: dict[Key, ClaimInfo] = {}
        for claim in claims:
            known = self._prepared.get(claim.key)
            if known is not None and known.uid != claim.uid:
                raise CannotPrepare(
                    f"old ResourceClaim with same name {claim.name} and different UID {known.uid} "
                    "still exists (previous pod force-deleted?!)"
                )
            known = self._prepared.add(claim, pod)
            if not self._prepared.is_ready(claim.key):
                waiting[claim.key] = known
        self._prepared.save()
        for driver, batch in _by_driver(waiting.values()).items():
            answer = await self._drivers.prepare(driver, list(map(_named, batch)))
            for claim, result in _results("NodePrepareResources", batch, answer.claims):
                devices = tuple(map(_device, result.devices))
                self._prepared.give(claim.key, driver, devices)
        for key in waiting:
            self._prepared.set_ready(key)
        self._prepared.save()

    async def _unprepare(self, uid: str, keys: Collection[Key]) -> None:
        last: list[ClaimInfo] = []
        for claim in (it for it in self._prepared.of_pod(uid) if it.key in keys):
            if len(claim.pods) > 1:
                self._prepared.leave(claim.key, uid)
            else:
                last.append(claim)
        for driver, batch in _by_driver(last).items():
            answer = await self._drivers.unprepare(driver, list(map(_named, batch)))
            _results("NodeUnprepareResources", batch, answer.claims)
        for claim in last:
            self._prepared.remove(claim.key)
        self._prepared.save()

    # Containers

    def cdi_names(self, pod: Pod, container: Container) -> list[str]:
        """Returns the devices that a container has by its claims; raises CannotPrepare."""
        by_name = {it.name: it for it in pod.spec.resource_claims}
        found: list[str] = []
        for used in container.resources.claims:
            name = name_of(pod, by_name[used.name]) if used.name in by_name else None
            if name is None:
                continue
            found += self._cdi(pod, name, used.request)
        if (extended := pod.status.extended_resource_claim_status) is not None:
            for mapping in extended.request_mappings:
                if mapping.container_name == container.name:
                    name = extended.resource_claim_name
                    found += self._cdi(pod, name, mapping.request_name)
        return list(dict.fromkeys(found))

    def _cdi(self, pod: Pod, claim: str, request: str) -> list[str]:
        info = self._prepared.get((pod.metadata.namespace, claim))
        if info is None:
            raise CannotPrepare(
                f"internal error: unable to get claim info for ResourceClaim {claim} in "
                f"namespace {pod.metadata.namespace}"
            )
        return [cdi for it in info.devices(request) for cdi in it.cdi]


def _info(claim: ResourceClaim) -> ClaimInfo:
    allocation = claim.status.allocation
    if allocation is None:
        raise CannotPrepare(f"ResourceClaim {claim.metadata.name}: not allocated")
    drivers = dict.fromkeys((it.driver for it in allocation.devices.results), ())
    metadata = claim.metadata
    return ClaimInfo(metadata.namespace, metadata.name, metadata.uid, (), drivers)


def _by_driver(claims: Iterable[ClaimInfo]) -> dict[str, list[ClaimInfo]]:
    found: dict[str, list[ClaimInfo]] = {}
    for claim in claims:
        for driver in claim.drivers:
            found.setdefault(driver, []).append(claim)
    return found


def _named(claim: ClaimInfo) -> dra.Claim:
    return dra.Claim(claim.namespace, claim.uid, claim.name)


def _device(device: dra.Device) -> PreparedDevice:
    return PreparedDevice(
        device.pool_name, device.device_name, device.request_names, device.cdi_device_ids
    )


def _results(
    method: str, asked: Sequence[ClaimInfo], answers: Mapping[str, A]
) -> list[tuple[ClaimInfo, A]]:
    """Returns what became of each claim; raises CannotPrepare where one has failed, is missing, or
    was not asked for."""
    by_uid = {it.uid: it for it in asked}
    for uid, result in answers.items():
        if uid not in by_uid:
            raise CannotPrepare(f"{method} returned result for unknown claim UID {uid}")
        if result.error:
            name = by_uid[uid].name
            raise CannotPrepare(f"{method} failed for ResourceClaim {name}: {result.error}")
    if missing := len(asked) - len(answers):
        raise CannotPrepare(f"{method} skipped {missing} ResourceClaims")
    return [(by_uid[uid], result) for uid, result in answers.items()]
