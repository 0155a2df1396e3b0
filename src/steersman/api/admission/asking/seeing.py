"""The objects of a change in the version in which a webhook or policy is to see them."""

from __future__ import annotations

from typing import NamedTuple

from steersman.api.admission.asking import versions
from steersman.api.admission.asking.matching import Target
from steersman.api.admission.chain import Change
from steersman.model.kind import Document


class Seen(NamedTuple):
    """The objects of a change in the version in which they are seen."""

    new: Document | None
    old: Document | None


async def see(change: Change, target: Target) -> Seen:
    """Returns the objects of a change in a version; those of another kind are as they are."""
    if change.head is not None:
        return Seen(change.new, change.old)
    form, kind, version = change.call.form, target.kind, target.version
    new, old = change.new, change.old
    return Seen(
        None if new is None else await versions.show(form, new, kind, version),
        None if old is None else await versions.show(form, old, kind, version),
    )
