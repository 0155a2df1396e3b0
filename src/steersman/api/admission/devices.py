"""What the kinds of dynamic resource allocation need beside their fields: the time, compiled
selectors, the label of a namespace, and who may write which part of a claim's status.

Follows pkg/registry/resource and KEP-4817 (DRAResourceClaimGranularStatusAuthorization).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, Final

from steersman.api.access.authorization import Attributes, Authorizer
from steersman.api.access.tokens import NODE_NAME
from steersman.api.admission.chain import Change
from steersman.api.cache import Cache
from steersman.api.call import Call
from steersman.model import causes, errors
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.kinds.resourceclaim import without_deallocated
from steersman.model.ref import Resource
from steersman.model.times import rfc3339
from steersman.model.types.device_status_check import results_of
from steersman.world.interface import World

GROUP: Final = "resource.k8s.io"
ADMIN_LABEL: Final = "resource.kubernetes.io/admin-access"
_ASSOCIATED: Final = "associated-node:"
_ARBITRARY: Final = "arbitrary-node:"


class Devices:
    """An admission plugin; see the module."""

    name = "DynamicResources"
    about = frozenset(
        {
            "DeviceClass",
            "DeviceTaintRule",
            "ResourceClaim",
            "ResourceClaimTemplate",
            "ResourceSlice",
        }
    )

    def __init__(self, cache: Cache, authorizer: Authorizer, world: World) -> None:
        self._namespaces = cache.table(Resource("", "namespaces"))
        self._authorizer = authorizer
        self._world = world

    def admit(self, change: Change) -> Document | None:
        """Notes since when devices are tainted."""
        call, new = change.call, change.new
        if call.kind.group != GROUP or new is None or call.subresource:
            return None
        now = rfc3339(self._world.now())
        if call.kind.name == "DeviceTaintRule":
            return _timed_rule(new, change.old, now)
        return _timed_slice(new, now) if call.kind.name == "ResourceSlice" else None

    def check(self, change: Change) -> None:
        """Refuses bad selectors, and what the writer may not ask for or say."""
        call, new = change.call, change.new
        if call.kind.group != GROUP or new is None:
            return
        if found := list(self._found(change, new)):
            name = new["metadata"].get("name", "")
            raise errors.invalid(GROUP, call.kind.name, name, found)

    def _found(self, change: Change, new: Document) -> Iterator[Cause]:
        kind, old = change.call.kind.name, change.old
        if change.subresource == "status" and kind == "ResourceClaim" and old is not None:
            yield from self._admin_status(change, new, old)
            yield from self._authorized(change.call, new, old)
        elif not change.subresource and (find := _SELECTORS.get(kind)) is not None:
            if old is None:
                yield from self._admin(change.call, new)
            if old is None or (kind == "DeviceClass" and list(find(new)) != list(find(old))):
                for expression, path in find(new):
                    yield from check_expression(expression, path)

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on nothing for other kinds."""
        return None if call.kind.group == GROUP else ()

    def _admin(self, call: Call, new: Document) -> Iterator[Cause]:
        requests, _ = _requests(new)
        for index, request in enumerate(requests):
            if (request.get("exactly") or {}).get("adminAccess"):
                path = f"spec.devices.requests[{index}].adminAccess"
                yield from self._labelled(call.namespace, path)
                return

    def _admin_status(self, change: Change, new: Document, old: Document) -> Iterator[Cause]:
        before, after = (results_of(one.get("status") or {}) for one in (old, new))
        if any(result.get("adminAccess") for result in before):
            return
        for index, result in enumerate(after):
            if result.get("adminAccess"):
                path = f"status.allocation.devices.results[{index}].adminAccess"
                yield from self._labelled(change.namespace, path)
                return

    def _labelled(self, namespace: str, path: str) -> Iterator[Cause]:
        entry = self._namespaces.get("", namespace)
        labels = (entry.document()["metadata"].get("labels") or {}) if entry else {}
        if labels.get(ADMIN_LABEL) != "true":
            detail = f"admin access to devices requires the `{ADMIN_LABEL}: true` label on the "
            yield causes.forbidden(path, f"{detail}containing namespace")

    def _authorized(self, call: Call, new: Document, old: Document) -> Iterator[Cause]:
        """Yields which parts of the status its writer may not change."""
        after, before = new.get("status") or {}, old.get("status") or {}
        name, verb = new["metadata"].get("name", ""), call.attributes.verb
        for part in ("allocation", "reservedFor"):
            if after.get(part) != before.get(part) and not self._may(call, verb, "binding", name):
                yield causes.forbidden(f"status.{part}", _needed("binding", verb, name))
        # what goes with its allocation is no change by the driver
        kept = without_deallocated({**before, "allocation": after.get("allocation")}, before)
        for driver in sorted(_changed_drivers(after, kept)):
            verbs = [f"{_ARBITRARY}{verb}"]
            if _is_on_its_node(call, before):
                verbs.insert(0, f"{_ASSOCIATED}{verb}")
            if not any(self._may(call, one, "driver", driver) for one in verbs):
                yield causes.forbidden("status.devices", _needed("driver", verbs[0], driver))

    def _may(self, call: Call, verb: str, subresource: str, name: str) -> bool:
        asked = Attributes(
            verb, GROUP, call.version.name, "resourceclaims", subresource, call.namespace, name
        )
        return self._authorizer.allowed(call.user, asked).allowed


def _needed(subresource: str, verb: str, name: str) -> str:
    return f'changing it requires the verb "{verb}" on resourceclaims/{subresource} "{name}"'


def _changed_drivers(after: Document, before: Document) -> set[str]:
    told, was = (_by_driver(status.get("devices") or ()) for status in (after, before))
    return {driver for driver in told.keys() | was.keys() if told.get(driver) != was.get(driver)}


def _by_driver(devices: Sequence[Document]) -> Mapping[str, list[Document]]:
    found: dict[str, list[Document]] = {}
    for device in devices:
        found.setdefault(device.get("driver") or "", []).append(device)
    return found


def _is_on_its_node(call: Call, status: Document) -> bool:
    """Tells whether the writer's token belongs to the one node for which a claim is allocated."""
    nodes = call.user.extra.get(NODE_NAME, ())
    selector = (status.get("allocation") or {}).get("nodeSelector") or {}
    fields = [
        requirement
        for term in selector.get("nodeSelectorTerms") or ()
        for requirement in term.get("matchFields") or ()
    ]
    return len(nodes) == 1 and any(
        one.get("key") == "metadata.name"
        and one.get("operator") == "In"
        and one.get("values") == [nodes[0]]
        for one in fields
    )


def check_expression(expression: str, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the expression of a selector."""
    from steersman.cel.devices import MOST_BYTES, MOST_COST, compile_selector  # with the first one

    if len(expression.encode()) > MOST_BYTES:
        yield causes.too_long(path, MOST_BYTES)
        return
    selector = compile_selector(expression)
    if selector.wrong:
        yield causes.invalid(path, expression, selector.wrong)
    elif selector.most_cost > MOST_COST:
        yield causes.forbidden(path, "too complex, exceeds cost limit")


Expressions = Iterator[tuple[str, str]]


def _expressions(holder: Document, path: str) -> Expressions:
    for index, selector in enumerate(holder.get("selectors") or ()):
        cel = selector.get("cel") or {}
        yield cel.get("expression") or "", f"{path}.selectors[{index}].cel.expression"


def _of_class(document: Document) -> Expressions:
    return _expressions(document.get("spec") or {}, "spec")


def _requests(document: Document) -> tuple[Sequence[Document], str]:
    """Returns the requests of a claim or of a template, and their path."""
    spec, path = document.get("spec") or {}, "spec"
    if "spec" in spec:
        spec, path = spec["spec"] or {}, "spec.spec"
    return (spec.get("devices") or {}).get("requests") or (), f"{path}.devices.requests"


def _of_claim(document: Document) -> Expressions:
    requests, path = _requests(document)
    for index, request in enumerate(requests):
        where = f"{path}[{index}]"
        if (exactly := request.get("exactly")) is not None:
            yield from _expressions(exactly, f"{where}.exactly")
        for place, one in enumerate(request.get("firstAvailable") or ()):
            yield from _expressions(one, f"{where}.firstAvailable[{place}]")


_SELECTORS: Final[Mapping[str, Callable[[Document], Expressions]]] = {
    "DeviceClass": _of_class,
    "ResourceClaim": _of_claim,
    "ResourceClaimTemplate": _of_claim,
}


def _timed_rule(new: Document, old: Document | None, now: str) -> Document | None:
    """Returns a rule whose taint has a time, which is that of its effect."""
    spec: dict[str, Any] = new.get("spec") or {}
    taint, before = spec.get("taint") or {}, ((old or {}).get("spec") or {}).get("taint") or {}
    since = taint.get("timeAdded")
    moved = old is not None and taint.get("effect") != before.get("effect")
    if since and not (moved and since == before.get("timeAdded")):
        return None
    return {**new, "spec": {**spec, "taint": {**taint, "timeAdded": now}}}


def _timed_slice(new: Document, now: str) -> Document | None:
    spec: dict[str, Any] = new.get("spec") or {}
    devices = spec.get("devices") or ()
    taints = [taint for device in devices for taint in device.get("taints") or ()]
    if all(taint.get("timeAdded") for taint in taints):
        return None
    return {**new, "spec": {**spec, "devices": [_timed_device(one, now) for one in devices]}}


def _timed_device(device: Document, now: str) -> Document:
    if not device.get("taints"):
        return device
    return {**device, "taints": [{"timeAdded": now, **taint} for taint in device["taints"]]}
