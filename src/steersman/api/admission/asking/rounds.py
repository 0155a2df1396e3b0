"""What changes objects may be asked about them a second time, where others changed them since; and
what is not theirs to change.

Follows apiserver's admission/reinvocation.go and webhook/mutating/reinvocationcontext.go.
"""

from __future__ import annotations

from msgspec.structs import replace

from steersman.api.admission.chain import Change
from steersman.model.kind import Document
from steersman.model.patch import equal

# What of an object's metadata is the server's, whatever others make of it
_OURS = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
         "generation", "resourceVersion", "managedFields")  # fmt: skip


class Rounds:
    """Who was asked about one change, by name, and who of them is to be asked once more."""

    def __init__(self) -> None:
        self.is_again = False
        self.wants_again = False
        self._invoked: set[str] = set()
        self._again: set[str] = set()
        self._last: Document | None = None

    def begin(self, document: Document | None) -> None:
        """Begins a round; in the second one it matters whether others changed the object."""
        if self.is_again and not equal(self._last, document):
            self._require()

    def end(self, document: Document | None) -> None:
        """Notes what a round came to."""
        self._last = document

    def is_due(self, who: str) -> bool:
        """Says whether somebody is to be asked in this round."""
        return not self.is_again or who in self._again

    def note(self, who: str, changed: bool, reinvocable: bool) -> None:
        """Notes that somebody was asked, and whether that changed something."""
        if changed:
            self._require()
            self.wants_again = True
        if reinvocable:
            self._invoked.add(who)

    def _require(self) -> None:
        self._again |= self._invoked
        self._invoked = set()


def unborn(document: Document | None) -> Document | None:
    """Returns a new object as webhooks that change it see it: without what it is yet to be given
    (rest.WipeObjectMetaSystemFields)."""
    if document is None or "metadata" not in document:
        return document
    given = ("uid", "creationTimestamp", "generation")
    meta = {key: value for key, value in document["metadata"].items() if key not in given}
    return {**document, "metadata": meta}


def replaced(change: Change, made: Document) -> Change:
    """Returns a change of another object; what is the server's of its metadata stays."""
    before = (change.new or {}).get("metadata") or {}
    meta = {key: value for key, value in (made.get("metadata") or {}).items() if key not in _OURS}
    meta |= {key: before[key] for key in _OURS if key in before}
    return replace(change, new={**made, "metadata": meta})
