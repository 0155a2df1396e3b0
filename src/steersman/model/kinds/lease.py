"""Lease: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from steersman.model.causes import invalid, not_negative
from steersman.model.errors import Cause
from steersman.model.kind import Document, Kind, Version
from steersman.model.kinds.printing import AGE, NAME, text
from steersman.model.removed import Life, removed
from steersman.model.types.metadata import check_metadata
from steersman.model.view import Object, View


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


_COLUMNS = (NAME, text("Holder", "spec", "holderIdentity"), AGE)


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old)
    spec = new.get("spec") or {}
    seconds = spec.get("leaseDurationSeconds")
    if seconds is not None and seconds <= 0:
        yield invalid("spec.leaseDurationSeconds", seconds, "must be greater than 0")
    yield from not_negative("spec.leaseTransitions", spec.get("leaseTransitions"))


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
    check=_check,
    view=Lease,
    complete=True,
    create_on_update=True,
    conditional=True,
)
