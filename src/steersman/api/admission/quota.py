"""ResourceQuota: refuses what a namespace's quotas have no room for.

Follows plugin/pkg/admission/resourcequota with its texts. Nothing is charged: what is used is
counted from what is stored, and what is about to be stored is held against the quotas until its
commit is over (docs/adr/0014). Nothing can leak, and two creates never take the last place twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Final

import msgspec

from steersman.api.admission import quota_limited
from steersman.api.admission.chain import Change, Plugin
from steersman.api.admission.quota_book import Book, around, view_of
from steersman.api.admission.quota_holds import Hold, Holds
from steersman.api.admission.quota_limited import Limited, Uncovered
from steersman.api.bootstrap.writing import SERVER
from steersman.api.cache import Cache, Event
from steersman.model import errors
from steersman.model.kind import Document
from steersman.model.kinds.persistentvolumeclaim import PERSISTENTVOLUMECLAIM
from steersman.model.kinds.pod import POD
from steersman.model.kinds.resourcequota import RESOURCEQUOTA
from steersman.model.kinds.service import SERVICE
from steersman.model.quota.measure import BY_USE, Measure, measure_of
from steersman.model.quota.tally import excess
from steersman.model.types.resources import ZERO, Amounts, add
from steersman.world.interface import World

# what may use more by an update, by subresource: pods by their resize alone
_UPDATES: Final = {
    POD.resource: ("resize",),
    PERSISTENTVOLUMECLAIM.resource: ("", "status"),
    SERVICE.resource: ("",),
}
_FREE: Final[AbstractContextManager[None]] = nullcontext()


class ResourceQuota(Plugin):
    """See the module. As a plugin it says nothing: `charged` does, after everybody else has been
    asked, about objects of known templates too."""

    name = "ResourceQuota"
    about = frozenset[str]()

    def __init__(self, cache: Cache, world: World, limited: Sequence[Limited] = ()) -> None:
        self._cache = cache
        self._limited = limited
        self._world = world
        self._quotas = cache.table(RESOURCEQUOTA.resource)
        self._around = around(cache)
        self._books: dict[tuple[str, str], Book] = {}
        self._holds: dict[str, Holds] = {}
        self._quotas.watch("", self._hear)

    def charged(self, change: Change, stored: bytes = b"") -> AbstractContextManager[None]:
        """Returns the context in which a change is to be committed; raises Forbidden where there
        is no room for it. `stored` is the new object where the change has only its metadata."""
        namespace = change.call.namespace
        bounded = self._quotas.entries.get(namespace) or (namespace and self._limited)
        if not bounded or not _uses(change):
            return _FREE
        amounts = dict(self._amounts(change, stored))
        return self._held(change, amounts) if amounts else _FREE

    @contextmanager
    def _held(self, change: Change, amounts: Mapping[str, Amounts]) -> Iterator[None]:
        call, name = change.call, (change.new or {})["metadata"]["name"]
        entry = call.table.get(call.namespace, name)
        revision = entry.revision if entry is not None and change.old is not None else 0
        hold = Hold(call.table, call.namespace, name, revision, amounts)
        holds = self._holds.setdefault(call.namespace, Holds(self._world))
        holds.put(hold)
        over = holds.settle
        try:
            yield
        except asyncio.CancelledError:
            over = holds.abandon
            raise
        finally:
            over(hold)
            if not holds:
                self._holds.pop(call.namespace, None)

    def _amounts(self, change: Change, stored: bytes) -> Iterator[tuple[str, Amounts]]:
        """Yields what a change adds to each quota that is about it; raises Forbidden."""
        measure = measure_of(change.call.table.resource)
        new = _view(change, change.new) if not stored else view_of(change.call.table, stored)
        old = _view(change, change.old)
        if self._limited:
            self._check_covered(change, measure, new)
        for entry in self._quotas.ordered(change.call.namespace):
            book = self._book(entry.namespace, entry.name)
            bounded = measure.bounded(book.spec.hard)
            if not bounded or not measure.covers(book.spec, new):
                continue
            if why := measure.missing(new, bounded):
                raise _forbidden(change, f"failed quota: {entry.name}: {why}")
            more = _added(measure, book, bounded, new, old)
            if more:
                self._check(change, book, bounded, more)
                yield entry.name, more

    def _check_covered(self, change: Change, measure: Measure, new: Any) -> None:
        """Raises Forbidden where no quota covers what is limited; Unexplained, as upstream, where
        it is limited by a scope. The server writes what it cannot be without all the same."""
        call = change.call
        if call.user.name == SERVER.name:
            return
        entries = self._quotas.ordered(call.namespace)
        quotas = [self._book(entry.namespace, entry.name).spec for entry in entries]
        try:
            about = quota_limited.About(call.table.resource, measure, new, self._around)
            quota_limited.check(self._limited, about, quotas)
        except Uncovered as error:
            if error.by_scope:
                raise errors.Unexplained(str(error)) from None
            raise _forbidden(change, str(error)) from None

    def _check(self, change: Change, book: Book, bounded: Iterable[str], more: Amounts) -> None:
        if change.subresource == "status":
            return
        call = change.call
        used = book.used(call.table, bounded, self._world.now())
        if (holds := self._holds.get(call.namespace)) is not None:
            if not excess(total(used, holds.most(book.name)), more, book.hard):
                return
            used = total(used, holds.exactly(book.name))
        if names := excess(used, more, book.hard):
            told = (
                f"{word}: {','.join(f'{name}={found.get(name, ZERO)}' for name in names)}"
                for word, found in (("requested", more), ("used", used), ("limited", book.hard))
            )
            raise _forbidden(change, f"exceeded quota: {book.name}, {', '.join(told)}")

    def _book(self, namespace: str, name: str) -> Book:
        entry = self._quotas.get(namespace, name)
        assert entry is not None
        if (book := self._books.get((namespace, name))) is None:
            book = self._books[namespace, name] = Book(entry, self._cache, self._around)
        return book

    def _hear(self, event: Event) -> None:
        """Forgets the sums of a quota that went or has other bounds now."""
        found = event.old or event.new
        assert found is not None
        book = self._books.get((found.namespace, found.name))
        if book is not None and (event.new is None or not book.is_of(event.new)):
            book.close()
            del self._books[found.namespace, found.name]


def total(one: Amounts, other: Amounts) -> Amounts:
    """Returns two amounts together."""
    found = dict(one)
    add(found, other)
    return found


def _uses(change: Change) -> bool:
    """Says whether a change may use more than before."""
    resource, subresource = change.call.table.resource, change.subresource
    if change.operation == "CREATE":
        return not subresource
    return change.operation == "UPDATE" and subresource in _UPDATES.get(resource, ())


def _view(change: Change, document: Document | None) -> Any | None:
    """Returns what measuring reads of an object; what is only counted need not be read."""
    measure = BY_USE.get(change.call.table.resource)
    if document is None or measure is None:
        return document
    return msgspec.convert(document, measure.view)


def _added(
    measure: Measure, book: Book, bounded: Iterable[str], new: Any, old: Any | None
) -> Amounts:
    """Returns what a change adds of the bounded resources: the difference where the object was
    counted before."""
    used = measure.usage(new, book.around)
    if old is not None and measure.covers(book.spec, old):
        add(used, {name: -one for name, one in measure.usage(old, book.around).items()})
    return {name: used[name] for name in bounded if name in used and used[name] > ZERO}


def _forbidden(change: Change, why: str) -> errors.Forbidden:
    kind = change.call.kind
    return errors.forbidden(kind.group, kind.plural, change.name, why)
