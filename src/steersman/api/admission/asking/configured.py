"""What is configured in objects of one kind, made ready once for each change of one of them, and
which of it is about a request, looked up by the request's resource and operation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from steersman.api.admission.asking.matching import Asked
from steersman.api.cache import Cache, Entry, Event
from steersman.api.call import Call
from steersman.model.builtin import Registry
from steersman.model.kind import Document
from steersman.model.ref import Resource

GROUP: Final = "admissionregistration.k8s.io"
# The kinds in whose objects admission is configured
CONFIGURING: Final = (
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
)
# What decides about admission is never asked about
EXEMPT: Final = (
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
)
# Answers kept: kinds in their versions, subresources and operations of a whole cluster
MOST_KNOWN: Final = 4096


Made = TypeVar("Made")
Found = TypeVar("Found")


class Configured(Generic[Made, Found]):
    """See the module.

    make:  what an object stands for, in order
    about: what one of these is to a request, None where it does not cover it
    """

    def __init__(
        self,
        plural: str,
        cache: Cache,
        kinds: Registry,
        make: Callable[[Document], Sequence[Made]],
        about: Callable[[Made, Asked], Found | None],
    ) -> None:
        self._table = cache.table(Resource(GROUP, plural))
        self._make = make
        self._about = about
        self._made: dict[str, tuple[Entry, Sequence[Made]]] = {}
        self._known: dict[tuple[str, ...], tuple[Found, ...]] = {}
        self._table.watch("", self._hear)
        kinds.on_change(self._known.clear)

    def _hear(self, event: Event) -> None:
        self._known.clear()
        if event.new is None and event.old is not None:
            self._made.pop(event.old.name, None)

    def of(self, call: Call, operation: str) -> tuple[Found, ...]:
        """Returns what is about a request, by name of the objects and their own order."""
        kind, version = call.kind, call.version
        key = (kind.group, kind.plural, version.name, call.subresource, operation)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            asked = Asked(operation, kind, version, call.subresource)
            found = self._known[key] = self._find(asked)
        return found

    def _find(self, asked: Asked) -> tuple[Found, ...]:
        if asked.kind.group == GROUP and asked.kind.name in EXEMPT:
            return ()
        everything = (made for entry in self._table.ordered() for made in self._ready(entry))
        about = (self._about(made, asked) for made in everything)
        return tuple(one for one in about if one is not None)

    def _ready(self, entry: Entry) -> Sequence[Made]:
        known = self._made.get(entry.name)
        if known is None or known[0] is not entry:
            known = self._made[entry.name] = (entry, self._make(entry.document()))
        return known[1]
