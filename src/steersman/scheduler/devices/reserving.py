"""Writes down what a pod's claims got, and waits until devices that must be made ready are so;
then the pod may be bound (plugins/dynamicresources Reserve and PreBind, KEP-5007)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from steersman.client.interface import Client
from steersman.model.errors import APIError, Conflict, NotFound
from steersman.model.kind import Document
from steersman.model.kinds.pod import POD, ExtendedResourceRequest, Pod
from steersman.model.kinds.resourceclaim import (
    RESOURCECLAIM,
    AllocatedDevice,
    Allocation,
    Consumer,
    ResourceClaim,
)
from steersman.model.resource_claims import FINALIZER, is_extended, is_reserved
from steersman.model.times import rfc3339
from steersman.model.types.condition import is_true
from steersman.scheduler.devices.extended import UNMADE, document_of, status_of
from steersman.scheduler.devices.inventory import Inventory
from steersman.scheduler.devices.result import allocation_of
from steersman.scheduler.devices.rule import Claims
from steersman.world.interface import World

RELEASE_TRIES = 5  # others write to a claim now and then, not all the time


class NotReserved(Exception):
    """A pod's claims are not its own, or their devices did not become ready."""


class Reservation(msgspec.Struct, frozen=True):
    """Claims for one pod on one node, with the allocations of those that had none. The claim for
    its extended resources is the last of these; `mappings` say which container gets them by what.
    """

    pod: Pod
    ready: tuple[ResourceClaim, ...] = ()
    made: tuple[tuple[ResourceClaim, Document], ...] = ()
    mappings: tuple[ExtendedResourceRequest, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.ready or self.made)


def consumers(claim: ResourceClaim, pod: Pod) -> list[Document]:
    """Returns the consumers of a claim, with a pod among them."""
    listed = [_consumer(one) for one in claim.status.reserved_for]
    if is_reserved(pod, claim):
        return listed
    metadata = pod.metadata
    return [*listed, {"resource": "pods", "name": metadata.name, "uid": metadata.uid}]


def _consumer(consumer: Consumer) -> Document:
    found: Document = msgspec.to_builtins(consumer)
    return {name: value for name, value in found.items() if value}


class Reserver:
    """Acts for one scheduler."""

    def __init__(self, client: Client, world: World, inventory: Inventory) -> None:
        self._client = client
        self._world = world
        self._inventory = inventory

    def promise(self, pod: Pod, claims: Claims, node: str) -> Reservation:
        """Keeps the chosen devices from others until `reserve` has ended."""
        made = []
        for claim, picks in claims.picks:
            allocation = allocation_of(
                claim,
                picks,
                self._inventory.device_class,
                node,
                self._world.uid,
                rfc3339(self._world.now()),
            )
            made.append((claim, allocation))
            view = msgspec.convert(allocation, type=Allocation)
            self._inventory.promise(claim.metadata.uid, view)
        return Reservation(pod, claims.ready, tuple(made), claims.mappings)

    def withdraw(self, reservation: Reservation) -> None:
        """Takes a promise back."""
        for claim, _ in reservation.made:
            self._inventory.withdraw(claim.metadata.uid)

    async def reserve(self, reservation: Reservation, within_seconds: float) -> None:
        """Writes, and waits until devices are ready; raises NotReserved, or what the API raises.
        After a failure the pod has none of its claims, and devices that could not be made ready
        are given up."""
        pod = reservation.pod
        try:
            if reservation.mappings:
                reservation = await self._make(reservation)
            for claim, allocation in reservation.made:
                await self._write(claim, pod, allocation)
            for claim in reservation.ready:
                if not is_reserved(pod, claim):
                    await self._write(claim, pod, None)
            if reservation.mappings:
                await self._tell(reservation)
            await self._wait(reservation, within_seconds)
        except NotReserved:
            await self._release(reservation, give_up=True)
            raise
        except APIError:
            await self._release(reservation, give_up=False)
            raise
        finally:
            self.withdraw(reservation)

    async def _make(self, reservation: Reservation) -> Reservation:
        """Makes the claim for the pod's extended resources, which keeps the promised devices."""
        *others, (claim, allocation) = reservation.made
        document = document_of(reservation.pod, claim)
        made = await self._client.create(
            RESOURCECLAIM, document, namespace=reservation.pod.metadata.namespace
        )
        self._inventory.promise(made.metadata.uid, msgspec.convert(allocation, type=Allocation))
        self._inventory.withdraw(claim.metadata.uid)
        return replace(reservation, made=(*others, (made, allocation)))

    async def _tell(self, reservation: Reservation) -> None:
        """Has the pod say which claim was made for it."""
        pod, (claim, _) = reservation.pod, reservation.made[-1]
        patch = status_of(claim, reservation.mappings)
        uid = pod.metadata.uid
        await self._client.patch(POD.ref(*pod.key), patch, subresource="status", uid=uid)

    async def _write(self, claim: ResourceClaim, pod: Pod, allocation: Document | None) -> None:
        """Writes what a claim got and who has it; the devices are promised until that is seen."""
        ref, metadata = RESOURCECLAIM.ref(*claim.key), claim.metadata
        fields: Document = {"reservedFor": consumers(claim, pod)}
        if allocation is not None:
            fields["allocation"] = allocation
            if FINALIZER not in metadata.finalizers:
                protected = {"metadata": {"finalizers": [*metadata.finalizers, FINALIZER]}}
                uid, revision = metadata.uid, metadata.revision
                claim = await self._client.patch(ref, protected, uid=uid, revision=revision)
        uid, revision = claim.metadata.uid, claim.metadata.revision
        written = await self._client.patch(
            ref, {"status": fields}, subresource="status", uid=uid, revision=revision
        )
        await self._inventory.reached(written.metadata.revision)

    async def deallocate(self, claim: ResourceClaim) -> None:
        """Gives an allocation up, so that another node can be had."""
        uid, revision = claim.metadata.uid, claim.metadata.revision
        fields = {"allocation": None, "reservedFor": None}
        ref = RESOURCECLAIM.ref(*claim.key)
        await self._client.patch(
            ref, {"status": fields}, subresource="status", uid=uid, revision=revision
        )

    async def discard(self, claim: ResourceClaim) -> None:
        """Deletes a claim that was made for extended resources, in use or not."""
        ref, metadata = RESOURCECLAIM.ref(*claim.key), claim.metadata
        kept = [name for name in metadata.finalizers if name != FINALIZER]
        await self._client.patch(ref, {"metadata": {"finalizers": kept}}, uid=metadata.uid)
        await self._client.delete(ref, uid=metadata.uid)

    async def _release(self, reservation: Reservation, *, give_up: bool) -> None:
        for claim in (*reservation.ready, *(claim for claim, _ in reservation.made)):
            for attempt in range(RELEASE_TRIES):
                try:
                    await self._release_one(claim, reservation.pod, give_up=give_up)
                    break
                except NotFound:
                    break
                except Conflict:  # its driver writes to it too
                    if attempt == RELEASE_TRIES - 1:
                        raise

    async def _release_one(self, claim: ResourceClaim, pod: Pod, *, give_up: bool) -> None:
        """Takes a pod out of a claim as it is now; the last one's allocation may go too."""
        if claim.metadata.name == UNMADE:
            return
        if is_extended(claim):
            await self.discard(claim)
            return
        ref = RESOURCECLAIM.ref(*claim.key)
        found: ResourceClaim = await self._client.get(ref)
        if found.metadata.uid != claim.metadata.uid or not is_reserved(pod, found):
            return
        left = [_consumer(one) for one in found.status.reserved_for if one.uid != pod.metadata.uid]
        fields: Document = {"reservedFor": left or None}
        if give_up and not left:
            fields["allocation"] = None
        uid, revision = found.metadata.uid, found.metadata.revision
        await self._client.patch(
            ref, {"status": fields}, subresource="status", uid=uid, revision=revision
        )

    async def _wait(self, reservation: Reservation, within_seconds: float) -> None:
        """Waits for the binding conditions of devices, where they have any."""
        claims = [*reservation.ready, *(claim for claim, _ in reservation.made)]
        if not any(_conditional(allocation) for _, allocation in reservation.made) and not any(
            result.binding_conditions for claim in claims for result in _results(claim)
        ):
            return
        changed = asyncio.Event()
        leave: list[Callable[[], None]] = self._inventory.listen(changed.set)
        try:
            async with self._world.timeout(within_seconds):
                while not all(self._bound(claim) for claim in claims):
                    changed.clear()
                    await changed.wait()
        except TimeoutError as error:
            raise NotReserved("device binding timeout") from error
        finally:
            for out in leave:
                out()

    def _bound(self, claim: ResourceClaim) -> bool:
        found = self._inventory.claim(*claim.key)
        if found is None or found.metadata.uid != claim.metadata.uid:
            raise NotReserved(f"claim {claim.metadata.name} is gone")
        if found.status.allocation is None:
            return False  # not seen yet
        told = {(one.driver, one.pool, one.device): one for one in found.status.devices}
        for result in _results(found):
            status = told.get((result.driver, result.pool, result.device))
            conditions = status.conditions if status is not None else ()
            failed = [one for one in result.binding_failure_conditions if is_true(conditions, one)]
            if failed:
                raise NotReserved(
                    f"claim {claim.metadata.name} binding failed: {', '.join(failed)}"
                )
            if not all(is_true(conditions, one) for one in result.binding_conditions):
                return False
        return True


def _results(claim: ResourceClaim) -> tuple[AllocatedDevice, ...]:
    allocation = claim.status.allocation
    return allocation.devices.results if allocation is not None else ()


def _conditional(allocation: Document) -> bool:
    return any(one.get("bindingConditions") for one in allocation["devices"]["results"])
