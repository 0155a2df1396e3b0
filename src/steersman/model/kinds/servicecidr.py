"""ServiceCIDR: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator

from steersman.model.causes import each, immutable, invalid, required
from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import AGE, NAME, at
from steersman.model.kinds.subresources import STATUS
from steersman.model.types.address_check import strict_cidr
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
    if old is not None:
        yield from immutable(_PATH, found, (old.get("spec") or {}).get("cidrs") or [])
    elif not found:
        yield required(_PATH, "at least one CIDR required")
    elif len(found) > _MOST:
        shown = {"CIDRs": found}
        yield invalid(_PATH, shown, "may only hold up to 2 values")
    elif len(found) == _MOST and (":" in found[0]) == (":" in found[1]):
        yield invalid(_PATH, {"CIDRs": found}, _ONE_EACH)
    else:
        for index, value in enumerate(found):
            yield from each(f"{_PATH}[{index}]", value, strict_cidr(value))


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
    subresources=(STATUS,),
    spec_fields=("spec",),
    complete=True,
)
