"""IPAddress: its view and its life in the API; its name is the address."""

from __future__ import annotations

from collections.abc import Iterator

from steersman.model import names
from steersman.model.causes import declared_immutable, each, required
from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.printing import NAME, NONE, at
from steersman.model.types.address_check import strict_ip
from steersman.model.types.metadata import check_metadata
from steersman.model.view import Object, View


class ParentReference(View, frozen=True):
    """The object that has the address."""

    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""


class IPAddressSpec(View, frozen=True):
    """Whose address it is."""

    parent_ref: ParentReference | None = None


class IPAddress(Object, frozen=True):
    """networking.k8s.io/v1 IPAddress."""

    spec: IPAddressSpec = IPAddressSpec()


_PATH = "spec.parentRef"


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False, name=strict_ip)
    parent = (new.get("spec") or {}).get("parentRef")
    if old is not None:
        yield from declared_immutable(_PATH, parent, (old.get("spec") or {}).get("parentRef"))
        return
    if parent is None:
        yield required(_PATH)
        return
    if group := parent.get("group"):
        yield from each(f"{_PATH}.group", group, names.dns1123_subdomain(group))
    for name in ("resource", "name", "namespace"):
        value = parent.get(name, "")
        yield from each(f"{_PATH}.{name}", value, names.path_segment(value))
    for name in ("resource", "name"):
        if not parent.get(name):  # declared by upstream's type: told last
            yield required(f"{_PATH}.{name}")


def _parent(address: Document, _now: float) -> str:
    found = at(address, "spec", "parentRef")
    if not found:
        return NONE
    group = f".{found['group']}" if found.get("group") else ""
    parts = [f"{found.get('resource', '')}{group}".lower(), found.get("namespace", "")]
    return "/".join(part for part in (*parts, found.get("name", "")) if part)


IPADDRESS = Kind(
    group="networking.k8s.io",
    name="IPAddress",
    plural="ipaddresses",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.networking.v1.IPAddress", since=33),),
    storage="v1",
    short_names=("ip",),
    columns=(NAME, Column("ParentRef", _parent)),
    check=_check,
    name_check=strict_ip,
    view=IPAddress,
    complete=True,
)
