"""What create does to every object with a status: the common `Prepare`.

What an update may not change (status, metadata) and the generation are the pipeline's, which
knows both from the `Kind`. Source: pkg/registry/*/strategy.go. A prepare never changes its
argument.
"""

from __future__ import annotations

from collections.abc import Callable

from steersman.model.kind import Document, Prepare

# (document, old or None) -> the same or another document, on create and on main updates only
Step = Callable[[Document, Document | None], Document]


def without(document: Document, name: str) -> Document:
    """Returns the document without a top-level field."""
    return {key: value for key, value in document.items() if key != name}


def preparer(*steps: Step, status: Document | None = None) -> Prepare:
    """Builds the prepare of a kind.

    status: the status of a new object, whatever the body says; None leaves it as it is
    steps:  what the kind does beside, on create and on updates of the main resource
    """

    def prepare(new: Document, old: Document | None, subresource: str) -> Document:
        if subresource:
            return new
        if old is None and status is not None:
            new = {**new, "status": status}
        for step in steps:
            new = step(new, old)
        return new

    return prepare
