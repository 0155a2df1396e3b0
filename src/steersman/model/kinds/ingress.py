"""Ingress: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from steersman.model.causes import invalid
from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.ingress_v1beta1 import from_v1, to_v1
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import AGE, NAME, NONE, at, text
from steersman.model.kinds.service import balancer_addresses
from steersman.model.kinds.subresources import STATUS
from steersman.model.removed import Life, elsewhere, removed
from steersman.model.types.ingress_check import check_balancer, check_spec
from steersman.model.types.metadata import check_metadata
from steersman.model.types.warnings import ingress_told, warner
from steersman.model.view import Object, View


class IngressTLS(View, frozen=True):
    """The certificate for some hosts."""

    hosts: tuple[str, ...] = ()
    secret_name: str = ""


class IngressSpec(View, frozen=True):
    """Which requests go to which backends; rules stay documents."""

    ingress_class_name: str | None = None
    default_backend: Mapping[str, Any] | None = None
    rules: tuple[Mapping[str, Any], ...] = ()
    tls: tuple[IngressTLS, ...] = ()


class IngressAddress(View, frozen=True):
    """An address of a load balancer."""

    ip: str = ""
    hostname: str = ""


class IngressBalancer(View, frozen=True):
    """The addresses at which it is served."""

    ingress: tuple[IngressAddress, ...] = ()


class IngressStatus(View, frozen=True):
    """What is known of an ingress."""

    load_balancer: IngressBalancer = IngressBalancer()


class Ingress(Object, frozen=True):
    """networking.k8s.io/v1 Ingress."""

    spec: IngressSpec = IngressSpec()
    status: IngressStatus = IngressStatus()


_CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_MOST_HOSTS = 3


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old)
    if subresource == "status":
        balancer, before = (
            ((one or {}).get("status") or {}).get("loadBalancer") or {} for one in (new, old)
        )
        yield from check_balancer(balancer, before, "status.loadBalancer")
        return
    spec = new.get("spec") or {}
    yield from check_spec(spec, None if old is None else old.get("spec") or {})
    annotated = at(new, "metadata", "annotations", _CLASS_ANNOTATION)
    class_name = spec.get("ingressClassName")
    if old is None and None not in (annotated, class_name) and annotated != class_name:
        detail = "must match `ingressClassName` when both are specified"
        yield invalid(f"annotations.{_CLASS_ANNOTATION}", annotated, detail)


def _hosts(ingress: Document, _now: float) -> str:
    rules = at(ingress, "spec", "rules") or ()
    found: list[str] = []
    cut = False
    for rule in rules:
        cut = cut or len(found) == _MOST_HOSTS
        if not cut and rule.get("host"):
            found.append(rule["host"])
    shown = ",".join(found) or "*"
    return f"{shown} + {len(rules) - _MOST_HOSTS} more..." if cut else shown


_COLUMNS = (
    NAME,
    text("Class", "spec", "ingressClassName", default=NONE),
    Column("Hosts", _hosts),
    Column("Address", lambda ingress, _now: ",".join(balancer_addresses(ingress))),
    Column("Ports", lambda ingress, _now: "80, 443" if at(ingress, "spec", "tls") else "80"),
    AGE,
)

_V1BETA1 = removed(
    "networking.k8s.io/v1beta1",
    "networking.v1beta1.Ingress",
    Life(19, 22, "networking.k8s.io/v1"),
    to_v1,
    from_v1,
)
_EXTENSIONS = removed(
    "extensions/v1beta1",
    "extensions.v1beta1.Ingress",
    Life(14, 22, "networking.k8s.io/v1"),
    to_v1,
    from_v1,
)

INGRESS = Kind(
    group="networking.k8s.io",
    name="Ingress",
    plural="ingresses",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.networking.v1.Ingress"),),
    storage="v1",
    former=(_V1BETA1,),
    short_names=("ing",),
    columns=_COLUMNS,
    check=_check,
    warn=warner(ingress_told),
    view=Ingress,
    prepare=preparer(status={"loadBalancer": {}}),
    subresources=(STATUS,),
    spec_fields=("spec",),
    complete=True,
)

EXTENSIONS_INGRESS = elsewhere(INGRESS, "extensions", _EXTENSIONS)
