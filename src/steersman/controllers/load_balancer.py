"""Addresses for Services of type LoadBalancer, out of a pool of the cluster's own.

The part of cloud-provider's service controller that a cluster without a cloud needs: its name, its
role, its events. The node's rules make an address work; nothing has to be taken down, so that no
finalizer is needed. Its one rule: what another balancer gave, or has by its class, is not touched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any, ClassVar

from steersman.client.interface import Views
from steersman.model import service_range
from steersman.model.kinds.service import SERVICE, Service
from steersman.model.ref import Ref
from steersman.model.service_range import Address, Network
from steersman.reconcile.actions import Action, Patch, Tell, act_one, status
from steersman.reconcile.loop import Controller, Done, Given
from steersman.reconcile.rules import Rule, Watch, to_self

FAILED = "SyncLoadBalancerFailed"
RANGE = ip_network("10.96.0.0/16")


def plan(service: Service, others: Iterable[Service], services: Network) -> list[Action]:
    """Returns what gives a Service its address, or takes it back where it shall have none."""
    if service.spec.load_balancer_class is not None or service.metadata.deletion_timestamp:
        return []
    given = _given(service)
    ours = [address for address in given if service_range.is_balanced(address, services)]
    if service.spec.type != "LoadBalancer":
        return [_patch(service, None)] if ours else []
    if service.status.load_balancer.ingress and not ours:
        return []  # another balancer's
    held = _held(service, others)
    if ours and given == ours[:1] and not _is_lost(service, ours[0], held):
        return []
    try:
        address = decide(service, held, services)
    except ValueError as error:
        text = f"Error syncing load balancer: failed to ensure load balancer: {error}"
        told: list[Action] = [Tell(service, FAILED, text, "Warning")]
        return [*told, _patch(service, None)] if ours else told
    return [
        Tell(service, "EnsuringLoadBalancer", "Ensuring load balancer"),
        _patch(service, address),
        Tell(service, "EnsuredLoadBalancer", "Ensured load balancer"),
    ]


def decide(service: Service, held: Mapping[Address, Service], services: Network) -> Address:
    """Returns the address that a Service gets; raises ValueError where there is none for it."""
    wanted = service.spec.load_balancer_ip
    pool = service_range.balanced_addresses(services)
    if wanted:
        address = _parse(wanted)
        if address not in pool:
            between = f"{pool[0]} and {pool[-1]}" if pool else "none and none"
            raise ValueError(f"loadBalancerIP {wanted} is not between {between}")
        if address in held:
            raise ValueError(f"loadBalancerIP {wanted} is in use")
        return address
    for address in pool:
        if address not in held:
            return address
    raise ValueError(f"all {len(pool)} addresses for load balancers are in use")


def _is_lost(service: Service, address: Address, held: Mapping[Address, Service]) -> bool:
    """Says whether an address is another's: one asked for by name, or one that two were given at
    once, which the older of both keeps."""
    wanted = service.spec.load_balancer_ip
    if wanted and _parse(wanted) != address:
        return True
    rival = held.get(address)
    if rival is None:
        return False
    return str(address) in _cluster_addresses(rival) or _age(rival) < _age(service)


def _age(service: Service) -> tuple[Any, ...]:
    made = service.metadata.creation_timestamp
    return (made.timestamp() if made else 0.0, *service.key)


def _held(service: Service, others: Iterable[Service]) -> dict[Address, Service]:
    """Returns who else has which address; a cluster address is stronger than one that was given."""
    held: dict[Address, Service] = {}
    for other in others:
        if other.key == service.key:
            continue
        for address in _given(other):
            if address not in held or _age(other) < _age(held[address]):
                held[address] = other
    for other in others:
        held.update({found: other for text in _cluster_addresses(other) if (found := _parse(text))})
    return held


def _cluster_addresses(service: Service) -> tuple[str, ...]:
    return service.spec.cluster_ips or (service.spec.cluster_ip,)


def _given(service: Service) -> list[Address]:
    ingress = service.status.load_balancer.ingress
    return [address for it in ingress if (address := _parse(it.ip)) is not None]


def _parse(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _patch(service: Service, address: Address | None) -> Patch:
    ingress = [{"ip": str(address), "ipMode": "VIP"}] if address else None
    fields = {"loadBalancer": {"ingress": ingress}}
    metadata = service.metadata
    return status(SERVICE.ref(*service.key), fields, uid=metadata.uid, revision=metadata.revision)


def _touched(views: Views, old: Service | None, new: Service | None) -> Iterable[Ref]:
    """Maps a change to the Service, to those that share an address with it, and where it gave one
    back, to those that wait for one."""
    yield from to_self(views, old, new, kind=SERVICE)
    before, after = _addresses(old), _addresses(new)
    if before == after:
        return
    for other in views.of(SERVICE).list():
        waits = other.spec.type == "LoadBalancer" and not other.status.load_balancer.ingress
        if (before - after and waits) or after & set(_given(other)):
            yield SERVICE.ref(*other.key)


def _addresses(service: Service | None) -> set[Address]:
    if service is None:
        return set()
    texts = _cluster_addresses(service)
    return {*_given(service), *(found for text in texts if (found := _parse(text)))}


class LoadBalancerController:
    """See `reconcile.loop.Controller`; `with_services` gives the class for one cluster's range."""

    name: ClassVar[str] = "service-controller"
    watches: ClassVar[tuple[Watch, ...]] = (Watch(SERVICE, _touched),)
    writes: ClassVar[tuple[Rule, ...]] = (Rule("", ("services/status",), ("patch",)),)
    services: ClassVar[Network] = RANGE

    def __init__(self, given: Given) -> None:
        self._given = given
        self._view = given.views.of(SERVICE)
        self._turn = asyncio.Lock()

    async def reconcile(self, ref: Ref) -> Done:
        """Gives one Service its address; one after another, each seeing what the last one took."""
        async with self._turn:
            service: Service | None = self._view.get(ref)
            if service is None:
                return Done()
            for action in plan(service, tuple(self._view.list()), self.services):
                written = await act_one(self._given.client, self._given.events, action)
                if written is not None:
                    await self._view.reached(written.metadata.revision)
        return Done()


def with_services(services: str) -> type[Controller]:
    """Returns the controller that gives addresses out of a range of Services."""
    return type(
        "LoadBalancerController", (LoadBalancerController,), {"services": ip_network(services)}
    )
