"""Lease: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from steersman.model.causes import invalid, not_negative
from steersman.model.errors import Cause
from steersman.model.kind import Document, Kind, Version
from steersman.model.kinds.printing import AGE, NAME, text
from steersman.model.removed import Life, removed
from steersman.model.times import rfc3339_micro, seconds_of
from steersman.model.types.metadata import check_metadata
from steersman.model.view import Object, View

# Of a lease that is renewed without being written: every so many seconds since its renewTime.
# Whoever reads it is told when that was last; its holder takes the annotation away when it ends
RENEWS_EVERY = "steersman.dev/renews-every-seconds"


class LeaseSpec(View, frozen=True):
    """Who holds a lease until when; None means unset."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: datetime | None = None
    renew_time: datetime | None = None
    lease_transitions: int | None = None
    strategy: str | None = None
    preferred_holder: str | None = None


class Lease(Object, frozen=True):
    """coordination.k8s.io/v1 Lease."""

    spec: LeaseSpec = LeaseSpec()


def renews_itself(lease: Lease) -> bool:
    """Says whether a lease is renewed without being written."""
    return RENEWS_EVERY in lease.metadata.annotations


def as_read(document: Document, now: float) -> Document:
    """Returns a lease with the time at which it was last renewed, written or not."""
    every = (document["metadata"].get("annotations") or {}).get(RENEWS_EVERY, "")
    renewed = (document.get("spec") or {}).get("renewTime")
    if not every.isdecimal() or len(every) > 6 or not int(every) or renewed is None:
        return document
    began = seconds_of(renewed)
    last = began + max(0.0, now - began) // int(every) * int(every)
    text = rfc3339_micro(last)
    return {**document, "spec": {**document["spec"], "renewTime": text}}


# Fields behind the gate CoordinatedLeaderElection
_COORDINATED = ("strategy", "preferredHolder")
_COLUMNS = (NAME, text("Holder", "spec", "holderIdentity"), AGE)


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, any_finalizer=True)
    spec = new.get("spec") or {}
    seconds = spec.get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        yield invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0")
    yield from not_negative("spec.leaseTransitions", spec.get("leaseTransitions"))


def _prepare(new: Document, old: Document | None, _subresource: str) -> Document:
    """Leaves out what coordinated leader election would use, which is off."""
    spec, before = new.get("spec") or {}, (old or {}).get("spec") or {}
    left = [name for name in _COORDINATED if name in spec and name not in before]
    if not left:
        return new
    return {**new, "spec": {name: value for name, value in spec.items() if name not in left}}


LEASE = Kind(
    group="coordination.k8s.io",
    name="Lease",
    plural="leases",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.coordination.v1.Lease"),),
    storage="v1",
    former=(
        removed(
            "coordination.k8s.io/v1beta1",
            "coordination.v1beta1.Lease",
            Life(19, 22, "coordination.k8s.io/v1"),
        ),
    ),
    columns=_COLUMNS,
    prepare=_prepare,
    check=_check,
    view=Lease,
    complete=True,
    create_on_update=True,
    conditional=True,
    as_read=as_read,
    settled=lambda _: True,
)
