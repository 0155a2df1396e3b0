"""Addresses and ports of Services: taken in the same revision in which the Service is written.

Each address taken is a key of its own that must not exist before (an IPAddress object, as upstream
keeps since 1.33; a bare key for node ports), so that no two Services can ever have the same one,
however many servers write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from steersman.api import keys
from steersman.api.cache import Cache
from steersman.api.call import Call
from steersman.api.effects.effect import Outcome
from steersman.api.form import encode
from steersman.model import errors
from steersman.model.errors import APIError, Cause
from steersman.model.kind import Document
from steersman.model.ref import Resource
from steersman.model.service_range import balanced_count
from steersman.model.times import rfc3339
from steersman.model.types.service_check import needs_health_check
from steersman.store.interface import Write
from steersman.world.interface import World

IPADDRESSES = Resource("networking.k8s.io", "ipaddresses")
MANAGED_BY, ALLOCATOR = "ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io"
RANGES = Resource("networking.k8s.io", "servicecidrs")
# The ServiceCIDR of the range that this server was told
DEFAULT_RANGE = "kubernetes"
# Not an API resource: the key alone says that a port is taken
NODE_PORTS = Resource("steersman", "nodeports")
NODE_PORT_RANGE = range(30000, 32768)
# Dynamic addresses come from above this offset first, so that fixed ones rarely collide (KEP-3070)
STATIC_MINIMUM, STATIC_MAXIMUM, STATIC_STEP = 16, 256, 16

Network = IPv4Network | IPv6Network


class ServiceAddresses:
    """The effect of writing a Service: cluster addresses and node ports."""

    def __init__(self, cache: Cache, cidr: str, world: World) -> None:
        self._cache = cache
        self._network: Network = ip_network(cidr)
        self._ranges = cache.table(RANGES)
        self._world = world

    def on_write(self, call: Call, new: Document, old: Document | None) -> Outcome:
        """Returns the Service with its addresses and the keys that take and release them."""
        spec = dict(new.get("spec") or {})
        before = (old or {}).get("spec") or {}
        writes: list[Write] = []
        self._address(call, new, spec, before, writes)
        self._node_ports(call, new, spec, before, writes)
        return Outcome({**new, "spec": spec}, tuple(writes))

    def on_delete(self, call: Call, old: Document) -> tuple[Write, ...]:
        """Returns the keys that are released with a Service."""
        del call
        spec = old.get("spec") or {}
        taken = [_address_key(address) for address in _addresses(spec)]
        taken += [_port_key(port) for port in _ports(spec)]
        return tuple(self._releases(taken))

    def _releases(self, taken: Iterable[str]) -> Iterator[Write]:
        """Yields what gives keys back; one that somebody has already removed needs nothing."""
        for key in sorted(taken):
            table, namespace, name = keys.parse(key)
            entry = self._cache.table(table).get(namespace, name)
            if entry is not None:
                yield Write(key, None, entry.revision)

    def _address(
        self,
        call: Call,
        new: Document,
        spec: dict[str, Any],
        before: dict[str, Any],
        writes: list[Write],
    ) -> None:
        had = set(_addresses(before))
        if spec.get("type") == "ExternalName":
            if spec.get("clusterIP"):
                spec.setdefault("clusterIPs", [spec["clusterIP"]])  # which the check refuses
            writes += self._releases(map(_address_key, had))
            return
        if not spec.get("clusterIP") and before.get("clusterIP"):
            spec["clusterIP"], spec["clusterIPs"] = before["clusterIP"], before["clusterIPs"]
        elif not spec.get("clusterIP"):
            spec["clusterIP"] = self._free_address()
        if spec.get("clusterIP"):
            spec.setdefault("clusterIPs", [spec["clusterIP"]])
            spec.setdefault("ipFamilies", ["IPv6" if self._network.version == 6 else "IPv4"])
            spec.setdefault("ipFamilyPolicy", "SingleStack")
        if before.get("clusterIP") and spec.get("clusterIP") != before["clusterIP"]:
            return  # which the check refuses
        wanted = set(_addresses(spec))
        for address in sorted(filter(_is_address, wanted - had)):
            self._check_address(new, address)
            writes.append(Write(_address_key(address), self._object(call, new, address), 0))
        writes += self._releases(map(_address_key, had - wanted))

    def _object(self, call: Call, service: Document, address: str) -> bytes:
        document = render_address(address, call.namespace, service["metadata"]["name"])
        document["metadata"] |= {
            "uid": self._world.uid(),
            "creationTimestamp": rfc3339(self._world.now()),
        }
        return encode(document)

    def _check_address(self, service: Document, address: str) -> None:
        """Refuses an address outside the range or taken by another Service."""
        why = ""
        if not any(ip_address(address) in network for network in self._networks()):
            why = (
                f"failed to allocate IP {address}: the provided network does not match the current "
                "range"
            )
        elif self._cache.table(IPADDRESSES).get("", address) is not None:
            why = f"failed to allocate IP {address}: provided IP is already allocated"
        if why:
            raise _invalid(service, "spec.clusterIPs", [address], why)

    def _free_address(self) -> str:
        taken = self._cache.table(IPADDRESSES)
        for network in self._networks():
            for number in self._candidates(network):
                address = str(network[number])
                if taken.get("", address) is None:
                    return address
        raise errors.internal("failed to allocate a serviceIP: range is full")

    def _networks(self) -> Iterator[Network]:
        """Yields the ranges that are ready: this server's own first, then those of other
        ServiceCIDRs of its family."""
        others: list[Network] = []
        own = True
        for entry in self._ranges.ordered():
            found = entry.document()
            mine = entry.name == DEFAULT_RANGE
            own = own and not (mine and not is_ready(found))
            if not mine and is_ready(found):
                others += map(ip_network, found["spec"]["cidrs"])
        if own:
            yield self._network
        version = self._network.version
        yield from (it for it in others if it.version == version and it != self._network)

    def _candidates(self, network: Network) -> Iterator[int]:
        """Yields offsets into a range: from a random place in the upper band, then the lower."""
        # The end of the server's own range is for load balancers
        balanced = balanced_count(network) if network == self._network else 0
        size = network.num_addresses - max(balanced, 1 if network.version == 4 else 0)
        offset = min(max(STATIC_MINIMUM, size // STATIC_STEP), STATIC_MAXIMUM)
        offset = offset if size > STATIC_MINIMUM else 1
        span = size - offset
        start = self._world.draw(span) if span > 0 else 0
        yield from (offset + (start + step) % span for step in range(span))
        yield from range(1, offset)

    def _node_ports(
        self,
        call: Call,
        new: Document,
        spec: dict[str, Any],
        before: dict[str, Any],
        writes: list[Write],
    ) -> None:
        had = set(_ports(before))
        ports = [dict(port) for port in spec.get("ports") or ()]
        busy = had | set(_ports(spec))
        if needs_health_check(spec) and not spec.get("healthCheckNodePort"):
            kept = before.get("healthCheckNodePort") if needs_health_check(before) else None
            spec["healthCheckNodePort"] = kept or self._free_port(busy)
            busy.add(spec["healthCheckNodePort"])
        if spec.get("type") in ("NodePort", "LoadBalancer") and _allocates(spec):
            for port in ports:
                port.setdefault("nodePort", 0)
                port["nodePort"] = port["nodePort"] or self._free_port(busy)
                busy.add(port["nodePort"])
        if ports:
            spec["ports"] = ports
        wanted = set(_ports(spec))
        owner = f"{call.namespace}/{new['metadata']['name']}".encode()
        for number in sorted(wanted - had):
            self._check_port(new, number)
            writes.append(Write(_port_key(number), owner, 0))
        writes += self._releases(map(_port_key, had - wanted))

    def _check_port(self, service: Document, port: int) -> None:
        if port not in NODE_PORT_RANGE:
            low, high = NODE_PORT_RANGE[0], NODE_PORT_RANGE[-1]
            why = (
                f"provided port is not in the valid range. The range of valid ports is {low}-{high}"
            )
            raise _invalid(service, "spec.ports[0].nodePort", port, why)
        if self._cache.table(NODE_PORTS).get("", str(port)) is not None:
            raise _invalid(
                service, "spec.ports[0].nodePort", port, "provided port is already allocated"
            )

    def _free_port(self, busy: set[int]) -> int:
        taken = self._cache.table(NODE_PORTS)
        size = len(NODE_PORT_RANGE)
        start = self._world.draw(size)
        for step in range(size):
            port = NODE_PORT_RANGE[(start + step) % size]
            if port not in busy and taken.get("", str(port)) is None:
                return port
        raise errors.internal("failed to allocate a nodePort: range is full")


def render_address(address: str, namespace: str, service: str) -> Document:
    """Returns the IPAddress of an address of a Service."""
    family = "IPv6" if ":" in address else "IPv4"
    labels = {"ipaddress.kubernetes.io/ip-family": family, MANAGED_BY: ALLOCATOR}
    parent = {"group": "", "resource": "services", "namespace": namespace, "name": service}
    return {
        "kind": "IPAddress",
        "apiVersion": "networking.k8s.io/v1",
        "metadata": {"name": address, "labels": labels},
        "spec": {"parentRef": parent},
    }


def is_ready(found: Document) -> bool:
    """Says whether addresses may be taken out of a ServiceCIDR; one of which nothing is said is
    ready, since the controllers may not run."""
    if found["metadata"].get("deletionTimestamp"):
        return False
    conditions = (found.get("status") or {}).get("conditions") or ()
    said = (it.get("status") for it in conditions if it.get("type") == "Ready")
    return next(said, "True") == "True"


def _allocates(spec: dict[str, Any]) -> bool:
    return spec.get("type") == "NodePort" or spec.get("allocateLoadBalancerNodePorts", True)


def _addresses(spec: dict[str, Any]) -> list[str]:
    found = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    return [address for address in found if address != "None"]


def _is_address(text: str) -> bool:
    """Says whether a text can be parsed; the check of the object refuses what cannot."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _ports(spec: dict[str, Any]) -> list[int]:
    """Returns the ports of nodes that a Service has, that of its health check among them."""
    found = [port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")]
    health = spec.get("healthCheckNodePort")
    return [*found, health] if health else found


def _address_key(address: str) -> str:
    return keys.key_of(IPADDRESSES, "", address)


def _port_key(port: int) -> str:
    return keys.key_of(NODE_PORTS, "", str(port))


def _invalid(service: Document, field: str, value: Any, why: str) -> APIError:
    shown = f'["{value[0]}"]' if isinstance(value, list) else value
    cause = Cause("FieldValueInvalid", f"Invalid value: {shown}: {why}", field)
    return errors.invalid("", "Service", service["metadata"]["name"], [cause])
