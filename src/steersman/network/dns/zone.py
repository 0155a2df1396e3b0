"""What names of the cluster mean: a query to its answer, purely (DNS specification 1.1.0).

What the specification leaves open is as CoreDNS' kubernetes plugin has it in kubeadm's set-up:
every ready endpoint has a name, a headless Service without any is NXDOMAIN, pod names are taken at
their word. Names beyond the cluster's are not answered here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address
from typing import NamedTuple, Protocol

import msgspec
from msgspec.structs import replace

from steersman.model.kinds.endpointslice import Endpoint, EndpointSlice
from steersman.model.kinds.service import Service
from steersman.wire import dns
from steersman.wire.dns import Authority, Message, Question, Record

VERSION = b"1.1.0"
# The plugin's own default; kubeadm says 30, for a server that may be far away. Here it is on the
# pod's machine, and who keeps the name of a pod that moved for long keeps it for nothing.
TTL_SECONDS = 5
VERSION_TTL_SECONDS = 28800
# Names that name names: nobody needs a longer way
MOST_ALIASES = 8
LOCALHOST = "localhost"
_REVERSE, _LONG_REVERSE = ".in-addr.arpa", ".ip6.arpa"
_WEIGHT = 100  # shared among the records of one answer

Address = IPv4Address | IPv6Address


class Zone(msgspec.Struct, frozen=True):
    """The cluster's zone: its domain, who answers for it, and the addresses that are its own."""

    domain: str
    server: IPv4Address
    networks: tuple[IPv4Network, ...]
    serial: int = 0

    def holds(self, name: str) -> bool:
        """Says whether a name in small letters is the zone's."""
        return name == self.domain or name.endswith(f".{self.domain}")


class Names(Protocol):
    """What there is to be named."""

    def service(self, namespace: str, name: str) -> Service | None:
        """Returns a Service."""

    def slices(self, namespace: str, name: str) -> Iterable[EndpointSlice]:
        """Returns the slices of a Service."""

    def has_namespace(self, namespace: str) -> bool:
        """Says whether a namespace has a Service."""

    def services_at(self, address: str) -> Iterable[Service]:
        """Returns the Services with a cluster address."""

    def slices_with(self, address: str) -> Iterable[EndpointSlice]:
        """Returns the slices that have an endpoint with an address."""


class Host(NamedTuple):
    """An address and a port behind a name; port 0: none that a record could tell."""

    name: str
    address: Address
    port: int = 0


# What a name stands for: hosts, maybe none; another name; nothing, the name is not there
Meaning = tuple[Host, ...] | str | None


def answer(query: Message, zone: Zone, names: Names) -> Message | None:
    """Returns the answer to a query of one question, None for a name that others answer for."""
    (question,) = query.questions
    name = question.name.lower()
    if zone.holds(name):
        return _answer_own(query, zone, names)
    if name == LOCALHOST or name.endswith(f".{LOCALHOST}"):
        found = (Host(name, IPv4Address("127.0.0.1")), Host(name, IPv6Address("::1")))
        return dns.answering(query, answers=tuple(_records(question, found)))
    if (address := parse_reverse(name)) is not None:
        return _answer_reverse(query, address, zone, names)
    return None


def _answer_own(query: Message, zone: Zone, names: Names) -> Message:
    (question,) = query.questions
    name = question.name.lower()
    if (special := _special(question, name, zone)) is not None:
        return _with(query, zone, special, ())
    meaning = find(name, zone, names)
    if meaning is None:
        return _negative(query, zone, dns.NXDOMAIN)
    if isinstance(meaning, str):
        return _with(query, zone, tuple(_aliases(question, meaning, zone, names)), ())
    answers = tuple(_records(question, meaning))
    targets = {host.name: host for host in meaning} if question.type == dns.SRV else {}
    return _with(query, zone, answers, tuple(map(_address_record, targets.values())))


def _with(
    query: Message, zone: Zone, answers: tuple[Record, ...], additional: tuple[Record, ...]
) -> Message:
    if not answers:
        return _negative(query, zone, dns.NOERROR)
    return dns.answering(query, authoritative=True, answers=answers, additional=additional)


def _negative(query: Message, zone: Zone, code: int, owner: str = "") -> Message:
    """Returns that there is no such name, or nothing of that type; how long that holds is told by
    the zone's SOA record (RFC 2308)."""
    authority = _authority(zone, owner or zone.domain)
    return dns.answering(query, code, authoritative=True, authority=(authority,))


def _authority(zone: Zone, owner: str) -> Record:
    server, mailbox = f"ns.dns.{zone.domain}", f"hostmaster.{zone.domain}"
    data = Authority(server, mailbox, zone.serial, 7200, 1800, 86400, TTL_SECONDS)
    return Record(owner, dns.SOA, TTL_SECONDS, data)


def _special(question: Question, name: str, zone: Zone) -> tuple[Record, ...] | None:
    """Returns the records of the names that belong to the zone itself, None for all others."""
    server = f"ns.dns.{zone.domain}"
    own: dict[str, dict[int, Record]] = {
        zone.domain: {
            dns.SOA: _authority(zone, question.name),
            dns.NS: Record(question.name, dns.NS, TTL_SECONDS, server),
        },
        f"dns-version.{zone.domain}": {
            dns.TXT: Record(question.name, dns.TXT, VERSION_TTL_SECONDS, (VERSION,)),
        },
        server: {dns.A: Record(question.name, dns.A, TTL_SECONDS, zone.server)},
        f"dns.{zone.domain}": {},
        f"svc.{zone.domain}": {},
        f"pod.{zone.domain}": {},
    }
    found = own.get(name)
    if found is None:
        return None
    return (found[question.type],) if question.type in found else ()


def find(name: str, zone: Zone, names: Names) -> Meaning:
    """Returns what a name of the zone, in small letters, stands for."""
    *labels, kind = name.removesuffix(f".{zone.domain}").split(".")
    if kind == "pod":
        return _find_pod(name, labels, names)
    if kind != "svc" or not labels:
        return None
    *labels, namespace = labels
    if not labels:
        return () if names.has_namespace(namespace) else None
    *labels, wanted = labels
    service = names.service(namespace, wanted)
    if service is None or len(labels) > 2:
        return None
    return _find_behind(service, labels, zone, names)


def _find_pod(name: str, labels: list[str], names: Names) -> Meaning:
    match labels:
        case [namespace]:
            return () if names.has_namespace(namespace) else None
        case [dashed, _]:
            address = parse_dashed(dashed)
            return (Host(name, address),) if address else None
        case _:
            return None


def _find_behind(service: Service, labels: list[str], zone: Zone, names: Names) -> Meaning:
    """Returns what a Service's name stands for, or one below it: `_port._protocol`, or that of an
    endpoint."""
    spec = service.spec
    endpoint = labels[0] if len(labels) == 1 else ""
    port, protocol = (label.removeprefix("_") for label in labels) if len(labels) == 2 else ("", "")
    if len(labels) == 2 and not all(label.startswith("_") for label in labels):
        return None
    if spec.type == "ExternalName":
        return None if labels else _alias(spec.external_name)
    if spec.cluster_ip == "None" or endpoint:
        hosts = _endpoints(service, zone, names, endpoint)
    else:
        hosts = _cluster_addresses(service, zone)
    found = tuple(
        host for host, name, kind in hosts if not port or (port, protocol) == (name, kind.lower())
    )
    if not found and (labels or spec.cluster_ip == "None"):
        return None
    return found


def _alias(name: str) -> str | None:
    """Returns the name that an ExternalName says; an address is none."""
    return None if _parse_address(name) else name.rstrip(".")


def _cluster_addresses(service: Service, zone: Zone) -> Iterator[tuple[Host, str, str]]:
    spec, name = service.spec, service_name(service, zone)
    for port in spec.ports:
        for text in spec.cluster_ips or (spec.cluster_ip,):
            if (address := _parse_address(text)) is not None:
                yield Host(name, address, port.port), port.name, port.protocol


def service_name(service: Service, zone: Zone) -> str:
    """Returns the full name of a Service."""
    return f"{service.metadata.name}.{service.metadata.namespace}.svc.{zone.domain}"


def _endpoints(
    service: Service, zone: Zone, names: Names, wanted: str
) -> Iterator[tuple[Host, str, str]]:
    """Yields the ready endpoints of a Service, or the one of a name, on each of their ports."""
    name = service_name(service, zone)
    unready = service.spec.publish_not_ready_addresses
    for found in names.slices(*service.key):
        for endpoint, address in _ready(found, unready):
            host = host_name(endpoint, address)
            if wanted and wanted != host:
                continue
            full = f"{host}.{name}"
            if not found.ports:
                yield Host(full, address), "", ""
            for port in found.ports:
                yield Host(full, address, port.port or 0), port.name, port.protocol


def _ready(found: EndpointSlice, unready: bool) -> Iterator[tuple[Endpoint, Address]]:
    for endpoint in found.endpoints:
        if endpoint.conditions.ready is False and not unready:
            continue
        for text in endpoint.addresses:
            if (address := _parse_address(text)) is not None:
                yield endpoint, address


def host_name(endpoint: Endpoint, address: Address) -> str:
    """Returns the first label of an endpoint's name: its host name, or its address with dashes."""
    return endpoint.hostname or str(address).replace(".", "-").replace(":", "-")


def _records(question: Question, hosts: Iterable[Host]) -> Iterator[Record]:
    """Yields the records of a question's type, each once."""
    hosts = tuple(hosts)
    if question.type in (dns.A, dns.AAAA):
        family = IPv4Address if question.type == dns.A else IPv6Address
        for address in dict.fromkeys(host.address for host in hosts):
            if isinstance(address, family):
                yield Record(question.name, question.type, TTL_SECONDS, address)
    elif question.type == dns.SRV:
        served = tuple(dict.fromkeys((host.name, host.port) for host in hosts if host.port))
        weight = max(1, _WEIGHT // max(1, len(served)))
        for name, port in served:
            data = dns.Service(0, weight, port, name)
            yield Record(question.name, dns.SRV, TTL_SECONDS, data)


def _address_record(host: Host) -> Record:
    kind = dns.A if isinstance(host.address, IPv4Address) else dns.AAAA
    return Record(host.name, kind, TTL_SECONDS, host.address)


def _aliases(question: Question, target: str, zone: Zone, names: Names) -> Iterator[Record]:
    """Yields the way of names from a question on, and what stands at its end where that is here."""
    if question.type not in (dns.A, dns.AAAA, dns.CNAME):
        return
    yield Record(question.name, dns.CNAME, TTL_SECONDS, target)
    for _ in range(MOST_ALIASES if question.type != dns.CNAME else 0):
        name = target.lower()
        meaning = find(name, zone, names) if zone.holds(name) else ()
        if not isinstance(meaning, str):
            yield from _records(question._replace(name=target), meaning or ())
            return
        yield Record(target, dns.CNAME, TTL_SECONDS, meaning)
        target = meaning


def open_end(found: Message, zone: Zone) -> str:
    """Returns the name beyond the cluster at which an answer's way of names ends, "" for none."""
    (question,) = found.questions
    last = found.answers[-1] if found.answers else None
    if last is None or last.type != dns.CNAME or question.type == dns.CNAME:
        return ""
    assert isinstance(last.data, str)
    return "" if zone.holds(last.data.lower()) else last.data


def joined(found: Message, beyond: Message) -> Message:
    """Returns an answer whose way of names goes on with what was found beyond the cluster."""
    kept = tuple(it for it in beyond.answers if it.type in (dns.CNAME, dns.A, dns.AAAA))
    return replace(found, code=beyond.code, answers=(*found.answers, *kept), authoritative=False)


def _answer_reverse(query: Message, address: Address, zone: Zone, names: Names) -> Message | None:
    (question,) = query.questions
    text = str(address)
    found = [service_name(service, zone) for service in names.services_at(text)][:1]
    if address.is_loopback:
        found = [LOCALHOST]
    for it in () if found else names.slices_with(text):
        found += _names_in(it, address, zone)
    if found and question.type == dns.PTR:
        answers = tuple(
            Record(question.name, dns.PTR, TTL_SECONDS, name) for name in sorted(set(found))
        )
        return dns.answering(query, authoritative=True, answers=answers)
    if found:
        return _negative(query, zone, dns.NOERROR, _reverse_zone(question.name))
    if any(address in network for network in zone.networks):
        return _negative(query, zone, dns.NXDOMAIN, _reverse_zone(question.name))
    return None


def _reverse_zone(name: str) -> str:
    """Returns the zone above all addresses that share their first half."""
    labels = name.split(".")
    return ".".join(labels[(len(labels) - 2) // 2 :])


def _names_in(found: EndpointSlice, address: Address, zone: Zone) -> Iterator[str]:
    service = found.metadata.labels.get("kubernetes.io/service-name")
    for endpoint, at in _ready(found, False):
        if service and at == address:
            name = host_name(endpoint, at)
            yield f"{name}.{service}.{found.metadata.namespace}.svc.{zone.domain}"


def parse_reverse(name: str) -> Address | None:
    """Returns the address that a name under in-addr.arpa or ip6.arpa stands for."""
    if name.endswith(_REVERSE):
        return _parse_address(".".join(reversed(name.removesuffix(_REVERSE).split("."))))
    if name.endswith(_LONG_REVERSE):
        digits = name.removesuffix(_LONG_REVERSE).split(".")
        if len(digits) == 32 and all(len(digit) == 1 for digit in digits):
            text = "".join(reversed(digits))
            return _parse_address(":".join(text[at : at + 4] for at in range(0, 32, 4)))
    return None


def parse_dashed(label: str) -> Address | None:
    """Returns the address that the first label of a pod's name stands for."""
    if label.count("-") == 3 and "--" not in label:
        return _parse_address(label.replace("-", "."))
    return _parse_address(label.replace("-", ":"))


def _parse_address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
