"""ServiceCIDR: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator

from steersman.model.causes import IMMUTABLE, each, invalid, required
from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import AGE, NAME, at
from steersman.model.kinds.subresources import STATUS_ALONE
from steersman.model.types.address_check import sloppy_interface, strict_cidr
from steersman.model.types.condition import Condition
from steersman.model.types.metadata import check_metadata
from steersman.model.view import Object, View


class ServiceCIDRSpec(View, frozen=True):
    """Prefixes from which Services get their addresses, one of each family at most."""

    cidrs: tuple[str, ...] = ()


class ServiceCIDRStatus(View, frozen=True):
    """What is known of them."""

    conditions: tuple[Condition, ...] = ()


class ServiceCIDR(Object, frozen=True):
    """networking.k8s.io/v1 ServiceCIDR."""

    spec: ServiceCIDRSpec = ServiceCIDRSpec()
    status: ServiceCIDRStatus = ServiceCIDRStatus()


_PATH = "spec.cidrs"
_MOST = 2
_ONE_EACH = (
    "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
)


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False)
    if subresource:
        return
    found = (new.get("spec") or {}).get("cidrs") or []
    if old is None:
        yield from _check_cidrs(found)
    else:
        yield from _check_change(found, (old.get("spec") or {}).get("cidrs") or [])


def _check_cidrs(found: list[str]) -> Iterator[Cause]:
    if not found:
        yield required(_PATH, "at least one CIDR required")
        return
    if len(found) > _MOST:
        yield invalid(_PATH, {"CIDRs": found}, "may only hold up to 2 values")
        return
    for index, value in enumerate(found):
        yield from each(f"{_PATH}[{index}]", value, strict_cidr(value))
    read = [interface for value in found if (interface := sloppy_interface(value))]
    if len(read) == _MOST and read[0].version == read[1].version:
        yield invalid(_PATH, found, _ONE_EACH)


def _check_change(found: list[str], before: list[str]) -> Iterator[Cause]:
    """Checks an update: all that may change is that a second family comes to the first."""
    extended = len(before) == 1 and len(found) == _MOST
    if len(found) != len(before) and not extended:
        yield invalid(_PATH, found, IMMUTABLE)
        return
    for index, (value, was) in enumerate(zip(found, before, strict=False)):
        if value != was:
            yield invalid(f"{_PATH}[{index}]", value, IMMUTABLE)
    if extended:
        yield from _check_cidrs(found)


SERVICECIDR = Kind(
    group="networking.k8s.io",
    name="ServiceCIDR",
    plural="servicecidrs",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.networking.v1.ServiceCIDR", since=33),),
    storage="v1",
    columns=(
        NAME,
        Column("CIDRs", lambda one, _now: ",".join(at(one, "spec", "cidrs") or ())),
        AGE,
    ),
    check=_check,
    view=ServiceCIDR,
    prepare=preparer(status={}),
    subresources=(STATUS_ALONE,),
    complete=True,
)
