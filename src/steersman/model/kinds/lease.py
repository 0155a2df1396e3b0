"""Lease: its view and its life in the API."""

from __future__ import annotations

from datetime import datetime

from steersman.model.kind import Kind, Version
from steersman.model.kinds.printing import AGE, NAME, text
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

LEASE = Kind(
    group="coordination.k8s.io",
    name="Lease",
    plural="leases",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.coordination.v1.Lease"),),
    storage="v1",
    columns=_COLUMNS,
    view=Lease,
    complete=True,
    create_on_update=True,
)
