"""Gives devices of plugins to containers, and takes them back; see `providing.Provider`.

Follows the kubelet's cm/devicemanager/manager.go. One rule: what a container has is its own until
its pod is gone, over its restarts and those of the agent, whatever becomes of the plugin.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

from steersman.model.kinds.pod import Pod
from steersman.model.quantity import parse
from steersman.model.types.container import Container
from steersman.node import containers
from steersman.node.devices import stock
from steersman.node.devices.endpoint import Endpoint, Stopped
from steersman.node.devices.injection import NOTHING, Injection, Mount, Node, merge
from steersman.node.devices.ledger import NOWHERE, Held, Ledger
from steersman.node.devices.stock import Stock
from steersman.node.objects import BadConfiguration
from steersman.node.topology.placing import unexpected
from steersman.node.topology.providing import Hint, Refused
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc import device_plugin as api

# A place for what has none: any will do
ANYWHERE: Final = Hint(None, True)
log = logging.getLogger(__name__)


class Unavailable(Exception):
    """Devices cannot be given out; the text is upstream's."""


class Offer:
    """What is known of one resource; without an endpoint its plugin is gone, or was not seen since
    the agent began."""

    def __init__(self) -> None:
        self.stock = Stock()
        self.endpoint: Endpoint | None = None

    @property
    def is_gone(self) -> bool:
        """Whether nobody offers it now."""
        return self.endpoint is None or self.endpoint.is_stopped


class Giving:
    """The devices of one node. `changed` is called when there are others, or their health is
    another, with the pods that have devices of that resource."""

    def __init__(
        self,
        ledger: Ledger,
        numa: Sequence[int],
        changed: Callable[[Collection[str]], None],
    ) -> None:
        self._ledger = ledger
        self._numa = numa
        self._changed = changed
        # What is given out while a plugin is asked, by resource, and to which pods
        self._pending: dict[str, set[str]] = {}
        # How often something is given to a pod now; not of pods that have gone meanwhile
        self._taking: dict[str, int] = {}
        self._forgotten: set[str] = set()
        self.offers = {name: Offer() for name in ledger.resources}

    # What plugins offer

    def hear(self, resource: str, found: Stock) -> None:
        """Takes what a plugin lists now."""
        if found != self._stock(resource):  # some plugins say the same every few seconds
            self._take(resource, found)

    def stopped(self, resource: str) -> None:
        """Takes it that a plugin is gone: nothing of it can be given out."""
        self._take(resource, self._stock(resource).without_health())

    def _take(self, resource: str, found: Stock) -> None:
        self.offers.setdefault(resource, Offer()).stock = found
        self._note()
        self._changed({pod for pod, _, _ in self._ledger.of_resource(resource)})

    def forget(self, resource: str) -> None:
        """Forgets a resource whose plugin did not come back."""
        del self.offers[resource]
        self._forgotten.add(resource)
        self._note()
        self._changed(())

    def capacity(self) -> tuple[dict[str, str], dict[str, str]]:
        """Returns how many devices of each resource there are, and how many are sound."""
        stocks = {name: offer.stock for name, offer in self.offers.items()}
        none = dict.fromkeys(self._forgotten, "0")  # the Node would go on telling of them
        all_of = {name: str(len(it.nodes)) for name, it in stocks.items()}
        return none | all_of, none | {name: str(len(it.healthy)) for name, it in stocks.items()}

    def held(self, uid: str, container: str) -> Iterator[tuple[str, str, Sequence[int]]]:
        """Yields the devices that a container has: resource, name, NUMA nodes."""
        for resource, held in sorted(self._ledger.of(uid, container).items()):
            for name in sorted(held.devices):
                nodes = [node for node, names in held.nodes.items() if name in names]
                yield resource, name, [it for it in nodes if it != NOWHERE]

    def sound(self) -> Iterator[tuple[str, str, Sequence[int]]]:
        """Yields the devices that can be given out."""
        for resource, offer in sorted(self.offers.items()):
            for name in sorted(offer.stock.healthy):
                yield resource, name, offer.stock.nodes[name]

    def health(self, uid: str, container: str) -> dict[str, dict[str, str]]:
        """Returns the health of each device that a container has, by resource (ResourceStatus)."""
        return {
            resource: {name: self._health(resource, name) for name in sorted(held.devices)}
            for resource, held in sorted(self._ledger.of(uid, container).items())
        }

    def _health(self, resource: str, device: str) -> str:
        offer = self.offers.get(resource)
        if offer is None or offer.is_gone or device not in offer.stock.nodes:
            return "Unknown"
        return "Healthy" if device in offer.stock.healthy else "Unhealthy"

    def _note(self) -> None:
        """Saves what costs no container anything if it is lost; the next change saves it too."""
        try:
            self._save()
        except OSError as error:
            log.warning("the devices of containers cannot be noted: %s", error)

    def _save(self) -> None:
        self._ledger.save({name: offer.stock.healthy for name, offer in self.offers.items()})

    # See `providing.Provider`

    def hints(self, pod: Pod, container: Container) -> Mapping[str, Sequence[Hint] | None]:
        """Returns from where what a container asks for can be had."""
        return {
            resource: self._hints(pod, container, resource, count)
            for resource, count in self._wanted(container)
        }

    def _hints(
        self, pod: Pod, container: Container, resource: str, count: int
    ) -> Sequence[Hint] | None:
        known = self._stock(resource)
        if not known.is_placed:
            return None
        if has := self._has(pod, container, resource):
            if len(has) != count:
                return ()
            return stock.hints(known, has, (), count, self._numa)
        free, reused = known.free(self._in_use(resource)), self._reusable(pod, container, resource)
        if len(free | reused) < count:
            return ()
        return stock.hints(known, free, reused, count, self._numa)

    async def allocate(self, pod: Pod, container: Container, place: Hint) -> None:
        """Gives a container what it asks for; raises Refused."""
        uid = pod.metadata.uid
        self._taking[uid] = self._taking.get(uid, 0) + 1
        try:
            for resource, count in self._wanted(container):
                await self._give(pod, container, resource, count, place)
        except (Unavailable, Stopped, Failed, OSError) as error:
            raise unexpected(str(error)) from error
        finally:
            if self._taking.get(uid, 0) > 1:
                self._taking[uid] -= 1
            else:
                self._taking.pop(uid, None)

    def release(self, uid: str) -> None:
        """Takes back what a pod has, and what it is about to be given."""
        self._taking.pop(uid, None)
        if self._ledger.release(uid):
            self._note()

    def holders(self) -> Collection[str]:
        """Returns the pods that have devices."""
        return self._ledger.pods()

    # Giving out

    def _wanted(self, container: Container) -> Iterator[tuple[str, int]]:
        """Yields how many devices of which resources a container asks for."""
        for resource, amount in sorted(container.resources.limits.items()):
            known = resource in self.offers or any(self._ledger.of_resource(resource))
            if known and (count := parse(amount).value()):
                yield resource, count

    def _stock(self, resource: str) -> Stock:
        return self.offers[resource].stock if resource in self.offers else Stock()

    def _has(self, pod: Pod, container: Container, resource: str) -> frozenset[str]:
        """Returns the devices that a container has, or all of a pod for one without a name."""
        if container.name:
            held = self._ledger.of(pod.metadata.uid, container.name).get(resource)
            return held.devices if held is not None else frozenset()
        each = (self._has(pod, it, resource) for it in containers.all_containers(pod))
        return frozenset().union(*each)

    def _in_use(self, resource: str) -> set[str]:
        return self._ledger.in_use(resource) | self._pending.get(resource, set())

    def _reusable(self, pod: Pod, container: Container, resource: str) -> set[str]:
        """Returns the devices that init containers before this one have had: they have ended when
        it begins. Sidecars keep theirs, and containers have them beside each other."""
        past: set[str] = set()
        lasting: set[str] = set()
        for it in containers.all_containers(pod):
            ends = containers.is_init(pod, it) and not containers.is_sidecar(it)
            if container.name and it.name != container.name:
                (past if ends else lasting).update(self._has(pod, it, resource))
        return past - lasting

    async def _give(
        self, pod: Pod, container: Container, resource: str, count: int, place: Hint
    ) -> None:
        uid, name = pod.metadata.uid, container.name
        has = self._has(pod, container, resource)
        if has and len(has) != count:
            raise Unavailable(
                f'pod "{uid}" container "{name}" changed request for resource "{resource}" from '
                f"{len(has)} to {count}"
            )
        self._check(resource, has)
        if has:
            return
        endpoint = self.offers[resource].endpoint
        if endpoint is None:
            raise Unavailable(f"unknown Device Plugin {resource}")
        pending = self._pending.setdefault(resource, set())
        chosen: set[str] = set()
        try:
            await self._choose(pod, container, resource, count, place, chosen)
            answers = await endpoint.allocate(sorted(chosen))
            if not answers:
                raise Unavailable("no containers return in allocation response {}")
            if uid not in self._taking:
                raise Unavailable(f'pod "{uid}" is gone')
            nodes = _by_node(self._stock(resource), chosen)
            self._ledger.note(uid, name, resource, Held(nodes, answers[0]))
            self._save()
        finally:
            pending -= chosen

    def _check(self, resource: str, has: Collection[str]) -> None:
        """Raises Unavailable where nothing can be had, or what a container has is not sound."""
        if resource not in self.offers:
            raise Unavailable(f"cannot allocate unregistered device {resource}")
        healthy = self.offers[resource].stock.healthy
        unsound = f"cannot allocate unhealthy devices {resource}"
        if not healthy:
            raise Unavailable(f"no healthy devices present; {unsound}")
        if not healthy.issuperset(has):
            raise Unavailable(f"previously allocated devices are no longer healthy; {unsound}")

    async def _choose(
        self,
        pod: Pod,
        container: Container,
        resource: str,
        count: int,
        place: Hint,
        chosen: set[str],
    ) -> None:
        """Fills `chosen`, which nobody else can have meanwhile: first what is reused, then what
        lies in the place, by the plugin's liking where there is a choice. Raises Unavailable."""
        pending = self._pending[resource]
        known, endpoint = self._stock(resource), self.offers[resource].endpoint
        assert endpoint is not None

        def take(names: Collection[str]) -> bool:
            left = [it for it in names if it not in chosen][: count - len(chosen)]
            chosen.update(left)
            pending.update(left)
            return len(chosen) == count

        if take(sorted(self._reusable(pod, container, resource) & known.healthy)):
            return
        needed = count - len(chosen)
        free = known.free(self._in_use(resource))
        if len(free) < needed:
            raise Unavailable(
                f"requested number of devices unavailable for {resource}. "
                f"Requested: {needed}, Available: {len(free)}"
            )
        groups = stock.group(known, free, place)
        choice: Collection[str] = groups.aligned
        if needed >= len(choice):
            if take(choice):
                return
            choice = groups.all
        try:
            liked = await endpoint.prefer(sorted({*choice, *chosen}), sorted(chosen), count)
        except Failed as error:
            text = f"device plugin GetPreferredAllocation rpc failed with err: {error}"
            raise Unavailable(text) from error
        # Others may have taken some while the plugin was asked
        left = self._stock(resource).free(self._in_use(resource))
        if take([it for it in liked if it in choice and it in left]):
            return
        if not take([it for it in choice if it in left]):
            raise Unavailable(
                "unexpectedly allocated less resources than required. "
                f"Requested: {count}, Got: {len(chosen)}"
            )

    # Containers that begin

    async def inject(self, pod: Pod, container: Container) -> Injection:
        """Returns what the devices of a container need of it, before each of its runs; raises
        BadConfiguration."""
        uid = pod.metadata.uid
        for resource, _ in self._wanted(container):
            held = self._ledger.of(uid, container.name).get(resource)
            if held is None:  # it came before the plugin did
                try:
                    await self.allocate(pod, container, ANYWHERE)
                except Refused as refused:
                    raise BadConfiguration(refused.message) from refused
                held = self._ledger.of(uid, container.name).get(resource)
            if held is not None:  # else it was forgotten meanwhile
                await self._pre_start(resource, held)
        given = self._ledger.of(uid, container.name)
        return merge(_injection(given[it].answer) for it in sorted(given)) if given else NOTHING

    async def _pre_start(self, resource: str, held: Held) -> None:
        endpoint = self.offers[resource].endpoint if resource in self.offers else None
        if endpoint is None:
            return
        try:
            await endpoint.pre_start(sorted(held.devices))
        except (Failed, Stopped) as error:
            text = f"device plugin PreStartContainer rpc failed with err: {error}"
            raise BadConfiguration(text) from error


def _by_node(known: Stock, devices: Collection[str]) -> dict[int, tuple[str, ...]]:
    """Returns devices by the NUMA nodes where they lie."""
    found: dict[int, list[str]] = {}
    for name in sorted(devices):
        for node in known.nodes.get(name) or (NOWHERE,):
            found.setdefault(node, []).append(name)
    return {node: tuple(names) for node, names in found.items()}


def _injection(answer: api.Allocated) -> Injection:
    return Injection(
        answer.envs,
        tuple(Mount(it.host_path, it.container_path, it.read_only) for it in answer.mounts),
        tuple(Node(it.host_path, it.container_path, it.permissions) for it in answer.devices),
        answer.annotations,
        tuple(it.name for it in answer.cdi_devices),
    )
