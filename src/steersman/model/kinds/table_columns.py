"""Printed columns of the kinds that have no file of their own, by plural.

Source: pkg/printers/internalversion/printers.go. A kind that is not here shows Name and Created At.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.model.kind import Column, Document
from steersman.model.kinds.printing import (
    AGE,
    NAME,
    NONE,
    UNSET,
    at,
    count,
    field,
    selector,
    text,
)


def _hosts(ingress: Document, _now: float) -> str:
    rules = at(ingress, "spec", "rules") or ()
    found: list[str] = []
    cut = False
    for rule in rules:
        cut = cut or len(found) == 3
        if not cut and rule.get("host"):
            found.append(rule["host"])
    shown = ",".join(found) or "*"
    return f"{shown} + {len(rules) - 3} more..." if cut else shown


def _addresses(ingress: Document, _now: float) -> str:
    found = at(ingress, "status", "loadBalancer", "ingress") or ()
    return ",".join(sorted({one.get("ip") or one.get("hostname") or "" for one in found} - {""}))


def _parameters(ingress_class: Document, _now: float) -> str:
    found = at(ingress_class, "spec", "parameters")
    if not found:
        return NONE
    group = f".{found['apiGroup']}" if "apiGroup" in found else ""
    return f"{found.get('kind', '')}{group}/{found.get('name', '')}"


def _parent(address: Document, _now: float) -> str:
    found = at(address, "spec", "parentRef")
    if not found:
        return NONE
    group = f".{found['group']}" if found.get("group") else ""
    parts = [f"{found.get('resource', '')}{group}".lower(), found.get("namespace", "")]
    return "/".join(part for part in (*parts, found.get("name", "")) if part)


def _param_kind(policy: Document, _now: float) -> str:
    kind = at(policy, "spec", "paramKind")
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else UNSET


def _param_ref(binding: Document, _now: float) -> str:
    found = at(binding, "spec", "paramRef")
    if not found:
        return UNSET
    if found.get("name"):
        return f"{found.get('namespace') or '*'}/{found['name']}"
    return selector(found["selector"]) if "selector" in found else UNSET


def _dangling(schema: Document, _now: float) -> str:
    conditions = at(schema, "status", "conditions") or ()
    found = (one.get("status", "") for one in conditions if one.get("type") == "Dangling")
    return next(found, "?")


def _claim_state(claim: Document, _now: float) -> str:
    deleted = bool(at(claim, "metadata", "deletionTimestamp"))
    states = ["deleted"] if deleted else []
    if not at(claim, "status", "allocation"):
        return ",".join(states or ["pending"])
    reserved = ["reserved"] if at(claim, "status", "reservedFor") else []
    return ",".join([*states, "allocated", *reserved])


def _joined(*path: str, empty: str = "") -> Any:
    return lambda document, _now: ",".join(at(document, *path) or ()) or empty


def _available(service: Document, _now: float) -> str:
    conditions = at(service, "status", "conditions") or ()
    for one in conditions:
        if one.get("type") == "Available":
            if one.get("status") == "True":
                return "True"
            return f"{one.get('status', '')} ({one.get('reason', '')})"
    return "Unknown"


def _api_service(service: Document, _now: float) -> str:
    target = at(service, "spec", "service")
    return f"{target.get('namespace', '')}/{target.get('name', '')}" if target else "Local"


def _migrated(migration: Document, _now: float) -> str:
    resource = at(migration, "spec", "resource") or {}
    return f"{resource.get('resource', '')}.{resource.get('group', '')}"


_WEBHOOKS = (NAME, Column("Webhooks", count("webhooks"), type="integer"), AGE)
_BINDING = (NAME, text("PolicyName", "spec", "policyName"), Column("ParamRef", _param_ref), AGE)
_LIMITED = ("spec", "limited")
_QUEUING = (*_LIMITED, "limitResponse", "queuing")

COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "ingresses": (
        NAME,
        text("Class", "spec", "ingressClassName", default=NONE),
        Column("Hosts", _hosts),
        Column("Address", _addresses),
        Column("Ports", lambda d, _now: "80, 443" if at(d, "spec", "tls") else "80"),
        AGE,
    ),
    "ingressclasses": (
        NAME,
        text("Controller", "spec", "controller"),
        Column("Parameters", _parameters),
        AGE,
    ),
    "networkpolicies": (
        NAME,
        Column("Pod-Selector", lambda d, _now: selector(at(d, "spec", "podSelector") or {})),
        AGE,
    ),
    "servicecidrs": (NAME, Column("CIDRs", _joined("spec", "cidrs")), AGE),
    "ipaddresses": (NAME, Column("ParentRef", _parent)),
    "runtimeclasses": (NAME, text("Handler", "handler"), AGE),
    "mutatingwebhookconfigurations": _WEBHOOKS,
    "validatingwebhookconfigurations": _WEBHOOKS,
    "validatingadmissionpolicies": (
        NAME,
        Column("Validations", count("spec", "validations"), type="integer"),
        Column("ParamKind", _param_kind),
        AGE,
    ),
    "mutatingadmissionpolicies": (
        NAME,
        Column("Mutations", count("spec", "mutations"), type="integer"),
        Column("ParamKind", _param_kind),
        AGE,
    ),
    "validatingadmissionpolicybindings": _BINDING,
    "mutatingadmissionpolicybindings": _BINDING,
    "flowschemas": (
        NAME,
        text("PriorityLevel", "spec", "priorityLevelConfiguration", "name"),
        Column("MatchingPrecedence", field("spec", "matchingPrecedence", default=0)),
        text("DistinguisherMethod", "spec", "distinguisherMethod", "type", default=NONE),
        AGE,
        Column("MissingPL", _dangling),
    ),
    "prioritylevelconfigurations": (
        NAME,
        text("Type", "spec", "type"),
        Column(
            "NominalConcurrencyShares", field(*_LIMITED, "nominalConcurrencyShares", default=NONE)
        ),
        Column("Queues", field(*_QUEUING, "queues", default=NONE)),
        Column("HandSize", field(*_QUEUING, "handSize", default=NONE)),
        Column("QueueLengthLimit", field(*_QUEUING, "queueLengthLimit", default=NONE)),
        AGE,
    ),
    "apiservices": (
        NAME,
        Column("Service", _api_service),
        Column("Available", _available),
        AGE,
    ),
    "clustertrustbundles": (NAME, text("SignerName", "spec", "signerName", default=NONE)),
    "deviceclasses": (NAME, AGE),
    "resourceclaims": (NAME, Column("State", _claim_state), AGE),
    "resourceclaimtemplates": (NAME, AGE),
    "resourceslices": (
        NAME,
        text("Node", "spec", "nodeName"),
        text("Driver", "spec", "driver"),
        text("Pool", "spec", "pool", "name"),
        AGE,
    ),
    "storageversionmigrations": (NAME, Column("Resource", _migrated)),
    "leasecandidates": (
        NAME,
        text("LeaseName", "spec", "leaseName"),
        text("BinaryVersion", "spec", "binaryVersion"),
        text("EmulationVersion", "spec", "emulationVersion"),
        AGE,
    ),
}
