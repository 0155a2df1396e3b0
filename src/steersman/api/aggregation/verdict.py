"""What is to be said of an APIService, decided by what is known of its Service; pure.

Follows kube-aggregator's remote_available_controller, with its reasons and messages.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from steersman.model.gotext import quote
from steersman.model.kind import Document
from steersman.model.kinds.customresourcedefinition import with_condition


class Verdict(NamedTuple):
    """The condition Available."""

    status: str
    reason: str
    message: str


PASSED = Verdict("True", "Passed", "all checks passed")


def decide(
    wanted: Document, service: Document | None, slices: Iterable[Document]
) -> Verdict | None:
    """Returns why an APIService is not available; None: its server is to be asked.

    `wanted` is the APIService's reference to its Service, `slices` are that Service's.
    """
    where = f"service/{wanted['name']} in {quote(wanted['namespace'])}"
    if service is None:
        return Verdict("False", "ServiceNotFound", f"{where} is not present")
    if service["spec"].get("type", "ClusterIP") != "ClusterIP":
        return None
    number = wanted.get("port", 443)
    ports = {port["port"]: port.get("name") or "" for port in service["spec"].get("ports") or ()}
    if number not in ports:
        return Verdict("False", "ServicePortError", f"{where} is not listening on port {number}")
    known = list(slices)
    if not known:
        return Verdict("False", "EndpointsNotFound", f"cannot find endpointslices for {where}")
    name = ports[number]
    if not any(has_endpoint(one, name) for one in known):
        what = f"endpointslices for {where} have no addresses with port name {quote(name)}"
        return Verdict("False", "MissingEndpoints", what)
    return None


def has_endpoint(one: Document, port: str) -> bool:
    """Says whether a slice has a ready endpoint, and a port of that name."""
    ready = (
        (endpoint.get("conditions") or {}).get("ready", True) is not False
        for endpoint in one.get("endpoints") or ()
    )
    named = (
        (known.get("name") or "") == port and known.get("port") is not None
        for known in one.get("ports") or ()
    )
    return any(ready) and any(named)


def told(document: Document, verdict: Verdict, time: str) -> Document | None:
    """Returns an APIService with its condition, None where it says so already."""
    made = with_condition(document, "Available", *verdict, time)
    return None if made["status"] == document.get("status") else made


def is_available(document: Document) -> bool:
    """Says whether requests are passed on."""
    conditions = (document.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Available" and one.get("status") == "True" for one in conditions)
