"""Fields of a pod and amounts of its containers as text: the downward API, pure.

The source is pkg/fieldpath and pkg/api/v1/resource. A field that is not offered raises
BadConfiguration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from steersman.model.kinds.pod import Pod
from steersman.model.quantity import Quantity, of_bytes, of_milli, parse
from steersman.model.types.container import Container
from steersman.model.types.reference import ResourceFieldSelector
from steersman.node import containers
from steersman.node.objects import BadConfiguration

_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']*)'\]")
_WIDE = ("memory", "ephemeral-storage")


class Facts(msgspec.Struct, frozen=True):
    """What a pod's own document does not say yet when its containers begin."""

    host: str
    addresses: tuple[str, ...]


class Machine(msgspec.Struct, frozen=True):
    """What a container without limits may use."""

    allocatable: Mapping[str, str]


def field(pod: Pod, path: str, facts: Facts) -> str:
    """Returns the text of a field."""
    metadata, spec = pod.metadata, pod.spec
    if found := _SUBSCRIPT.fullmatch(path):
        source = metadata.labels if found.group(1) == "labels" else metadata.annotations
        return source.get(found.group(2), "")
    values = {
        "metadata.name": metadata.name,
        "metadata.namespace": metadata.namespace,
        "metadata.uid": metadata.uid,
        "metadata.labels": _lines(metadata.labels),
        "metadata.annotations": _lines(metadata.annotations),
        "spec.nodeName": spec.node_name,
        "spec.serviceAccountName": spec.service_account_name,
        "status.hostIP": facts.host,
        "status.hostIPs": facts.host,
        "status.podIP": facts.addresses[0] if facts.addresses else "",
        "status.podIPs": ",".join(facts.addresses),
    }
    if path not in values:
        raise BadConfiguration(f"unsupported fieldPath: {path}")
    return values[path]


def _lines(values: Mapping[str, str]) -> str:
    return "\n".join(f"{key}={_quoted(values[key])}" for key in sorted(values))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def resource(
    pod: Pod, own: Container | None, selector: ResourceFieldSelector, machine: Machine
) -> str:
    """Returns an amount in units of the divisor, rounded up; a limit that is not set is the
    node's allocatable amount."""
    container = own
    if selector.container_name:
        container = containers.find(pod, selector.container_name)
    if container is None:
        raise BadConfiguration(f"container {selector.container_name} not found")
    side, _, name = selector.resource.partition(".")
    asked = container.resources.limits if side == "limits" else container.resources.requests
    if side not in ("limits", "requests") or not name:
        raise BadConfiguration(f"unsupported container resource : {selector.resource}")
    text = asked.get(name) or (machine.allocatable.get(name, "0") if side == "limits" else "0")
    return _divided(parse(text), selector.divisor, name)


def _divided(amount: Quantity, divisor: str | int | float, name: str) -> str:
    unit = parse(divisor)
    if not unit:
        unit = of_bytes(1) if name in _WIDE else of_milli(1000)
    return str(-(-amount.nanos // unit.nanos))
