"""What create and update do to every object with a spec and a status: the common `Prepare`.

Sources: pkg/registry/*/strategy.go. A prepare never changes its argument.
"""

from __future__ import annotations

from collections.abc import Callable

from steersman.model.kind import Document, Prepare

# (document, old or None) -> the same or another document, on create and on main updates only
Step = Callable[[Document, Document | None], Document]


def with_metadata(document: Document, **fields: object) -> Document:
    """Returns the document with some metadata fields set."""
    return {**document, "metadata": {**document.get("metadata", {}), **fields}}


def without(document: Document, name: str) -> Document:
    """Returns the document without a top-level field."""
    return {key: value for key, value in document.items() if key != name}


def raised(new: Document, old: Document | None, changed: bool) -> Document:
    """Returns the document with its generation: 1 at first, one more after a change."""
    if old is None:
        return with_metadata(new, generation=1)
    before = old.get("metadata", {}).get("generation", 0)
    generation = before + 1 if changed else before
    if generation == new.get("metadata", {}).get("generation", 0):
        return new
    return with_metadata(new, generation=generation)


def differs(new: Document, old: Document | None, fields: tuple[str, ...]) -> bool:
    """Tells whether one of the top-level fields has changed."""
    return old is None or any(new.get(name) != old.get(name) for name in fields)


def kept(new: Document, old: Document, name: str) -> Document:
    """Returns the document with a top-level field as it stands in the old one."""
    if name in old:
        return {**new, name: old[name]}
    return without(new, name) if name in new else new


def preparer(
    *,
    status: bool = True,
    initial: Document | None = None,
    generation: tuple[str, ...] = (),
    steps: tuple[Step, ...] = (),
) -> Prepare:
    """Builds the prepare of a kind.

    status:     writes through the main resource leave the status alone; `initial` is that of a
                new object (it is set even where the kind's status is not reset: status={})
    generation: the fields whose change raises the generation
    steps:      what the kind does beside, on create and on updates of the main resource
    """

    def prepare(new: Document, old: Document | None, subresource: str) -> Document:
        if subresource == "status":
            return new
        if not subresource and status:
            new = {**new, "status": initial or {}} if old is None else kept(new, old, "status")
        if not subresource:
            for step in steps:
                new = step(new, old)
        return raised(new, old, differs(new, old, generation)) if generation else new

    return prepare
