"""What is used of one quota, counted from what is stored.

The number of objects is that of the table's entries; what pods, claims and Services use is summed
up when it is first asked for, and follows their changes from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from steersman.api.cache import Cache, Entry, Event, Table
from steersman.model.kinds.deviceclass import DEVICECLASS, DeviceClass
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.resourceclaim import RESOURCECLAIM
from steersman.model.kinds.resourcequota import ResourceQuota
from steersman.model.quantity import NANO, Quantity, parse
from steersman.model.quota.around import Around
from steersman.model.quota.measure import BY_USE
from steersman.model.quota.pods import is_of_devices
from steersman.model.quota.tally import Tally
from steersman.model.ref import Resource
from steersman.model.resource_claims import EXTENDED_ANNOTATION
from steersman.model.types.resources import Amounts, add
from steersman.model.view import decoder

_CLASS: Final = decoder(DeviceClass)
_MARK: Final = EXTENDED_ANNOTATION.encode()
_TOLD: Final = b'"extendedResourceClaimStatus"'
_QUOTA: Final = decoder(ResourceQuota)
_DECODERS: Final = {resource: decoder(measure.view) for resource, measure in BY_USE.items()}
# What is used of extended resources is asked for by pods, and had by claims
_SHARING: Final = {
    POD.resource: RESOURCECLAIM.resource,
    RESOURCECLAIM.resource: POD.resource,
}


def view_of(table: Table, stored: bytes) -> Any | None:
    """Returns what measuring reads of a stored object, None where objects are only counted."""
    decoder = _DECODERS.get(table.resource)
    return decoder.decode(stored) if decoder is not None else None


def is_marked(claim: Entry) -> bool:
    """Says whether a claim may have been made for extended resources."""
    return _MARK in claim.value


def knows_claim(pod: Entry) -> bool:
    """Says whether a pod may name a claim for extended resources."""
    return _TOLD in pod.value


def around(cache: Cache) -> Around:
    """Returns ways to look up in a cache what the usage of claims on devices rests on."""
    classes = cache.table(DEVICECLASS.resource)
    pods = cache.table(POD.resource)
    claims = cache.table(RESOURCECLAIM.resource)

    def device_class(name: str) -> DeviceClass | None:
        entry = classes.get("", name)
        return _CLASS.decode(entry.value) if entry is not None else None

    def pod(namespace: str, name: str) -> Pod | None:
        entry = pods.get(namespace, name)
        return view_of(pods, entry.value) if entry is not None else None

    def extended_claims(namespace: str) -> Iterator[Any]:
        for entry in claims.ordered(namespace):
            if is_marked(entry):
                yield view_of(claims, entry.value)

    return Around(device_class, pod, extended_claims)


class Book:
    """See the module. It follows the cache until it is closed."""

    def __init__(self, entry: Entry, cache: Cache, around: Around) -> None:
        quota: ResourceQuota = _QUOTA.decode(entry.value)
        self.name = entry.name
        self.spec = quota.spec
        self.hard = {name: parse(text) for name, text in quota.spec.hard.items()}
        self._uid = quota.metadata.uid
        self._namespace = entry.namespace
        self._cache = cache
        self.around = around
        self._tallies: dict[Resource, Tally] = {}
        self._leave: list[Callable[[], None]] = []

    def is_of(self, entry: Entry) -> bool:
        """Says whether a stored quota is still the one of this book."""
        quota: ResourceQuota = _QUOTA.decode(entry.value)
        return (quota.metadata.uid, quota.spec) == (self._uid, self.spec)

    def used(self, table: Table, bounded: Iterable[str], now: float) -> Amounts:
        """Returns what the objects of a table use of some bounds, with what others use of them."""
        if table.resource in BY_USE:
            used = dict(self._tally(table).used(now))
            if (other := _SHARING.get(table.resource)) and any(map(is_of_devices, bounded)):
                add(used, self._tally(self._cache.table(other)).used(now))
            return used
        count = Quantity(len(table.entries.get(self._namespace, ())) * NANO)
        return dict.fromkeys(bounded, count)

    def close(self) -> None:
        """Follows no more."""
        for leave in self._leave:
            leave()

    def _tally(self, table: Table) -> Tally:
        if (tally := self._tallies.get(table.resource)) is not None:
            return tally
        tally = self._tallies[table.resource] = Tally(
            self.spec, BY_USE[table.resource], self.around
        )

        def hear(event: Event) -> None:
            entry = event.new or event.old
            assert entry is not None
            tally.put(entry.name, view_of(table, entry.value) if event.new else None)

        self._leave.append(table.watch(self._namespace, hear))
        if table.resource == RESOURCECLAIM.resource:
            self._follow_around(table, tally)
        for entry in table.ordered(self._namespace):
            tally.put(entry.name, view_of(table, entry.value))
        return tally

    def _follow_around(self, claims: Table, tally: Tally) -> None:
        """Has claims measured again when what their usage rests on has changed."""

        def again(which: Callable[[Entry], bool]) -> None:
            for entry in filter(which, claims.ordered(self._namespace)):
                tally.put(entry.name, view_of(claims, entry.value))

        def hear_pod(event: Event) -> None:
            if any(it is not None and knows_claim(it) for it in (event.old, event.new)):
                again(is_marked)

        pods, classes = (self._cache.table(it.resource) for it in (POD, DEVICECLASS))
        self._leave.append(pods.watch(self._namespace, hear_pod))
        self._leave.append(classes.watch("", lambda _event: again(lambda _entry: True)))
