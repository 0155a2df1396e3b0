"""The allocation of a claim as it is written down: devices, configuration, nodes. Pure
(createNodeSelector and createNewResult in allocator_stable.go)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from steersman.model.kind import Document
from steersman.model.kinds.deviceclass import DeviceClass
from steersman.model.kinds.resourceclaim import ResourceClaim
from steersman.model.quantity import Quantity
from steersman.model.types.device import DeviceToleration
from steersman.scheduler.devices.allocator import Pick

Classes = Callable[[str], DeviceClass | None]


def allocation_of(
    claim: ResourceClaim,
    picks: Sequence[Pick],
    classes: Classes,
    node: str,
    share_id: Callable[[], str],
    now: str,
) -> Document:
    """Returns the allocation of a claim; `share_id` gives names to shares of devices."""
    devices: Document = {"results": [_result(pick, share_id) for pick in picks]}
    if configs := list(_configs(claim, picks, classes)):
        devices["config"] = configs
    found: Document = {"devices": devices}
    if (selector := _node_selector(picks, node)) is not None:
        found["nodeSelector"] = selector
    if any(pick.candidate.device.binding_conditions for pick in picks):
        found["allocationTimestamp"] = now
    return found


def _result(pick: Pick, share_id: Callable[[], str]) -> Document:
    driver, pool, name = pick.candidate.id
    device = pick.candidate.device
    result: Document = {"request": pick.request, "driver": driver, "pool": pool, "device": name}
    if pick.admin:
        result["adminAccess"] = True
    if pick.wish.tolerations:
        result["tolerations"] = [_toleration(one) for one in pick.wish.tolerations]
    if device.binding_conditions:
        result["bindingConditions"] = list(device.binding_conditions)
        result["bindingFailureConditions"] = list(device.binding_failure_conditions)
    if pick.share is not None:
        result["shareID"] = share_id()
        amounts = {name: str(Quantity(amount)) for name, amount in pick.share.items()}
        result["consumedCapacity"] = amounts
    return result


def _toleration(toleration: DeviceToleration) -> Document:
    found: Document = msgspec.to_builtins(toleration)
    return {name: value for name, value in found.items() if value not in ("", None)}


def _configs(claim: ResourceClaim, picks: Sequence[Pick], classes: Classes) -> Iterator[Document]:
    by_request = {pick.request: pick.wish.device_class_name for pick in picks}
    for request, name in by_request.items():
        device_class = classes(name)
        for config in device_class.spec.config if device_class else ():
            head = {"source": "FromClass", "requests": [request]}
            yield {**head, "opaque": dict(config.opaque or {})}
    used = {*by_request, *(request.partition("/")[0] for request in by_request)}
    for given in claim.spec.devices.config:
        if given.requests and not used.intersection(given.requests):
            continue
        requests = {"requests": list(given.requests)} if given.requests else {}
        yield {"source": "FromClaim", **requests, "opaque": dict(given.opaque or {})}


def _node_selector(picks: Iterable[Pick], node: str) -> Document | None:
    """Returns the nodes from which all devices can be reached, None for all nodes."""
    fields: list[Any] = []
    expressions: list[Any] = []
    for pick in picks:
        candidate = pick.candidate
        if candidate.node_name or candidate.device.binds_to_node:
            one = {"key": "metadata.name", "operator": "In", "values": [node]}
            return {"nodeSelectorTerms": [{"matchFields": [one]}]}
        terms = (candidate.node_selector or {}).get("nodeSelectorTerms") or ()
        for term in terms[:1]:
            _join(fields, term.get("matchFields") or ())
            _join(expressions, term.get("matchExpressions") or ())
    if not fields and not expressions:
        return None
    term = {"matchExpressions": expressions, "matchFields": fields}
    return {"nodeSelectorTerms": [{name: value for name, value in term.items() if value}]}


def _join(known: list[Any], more: Iterable[Any]) -> None:
    known.extend(one for one in more if one not in known)
