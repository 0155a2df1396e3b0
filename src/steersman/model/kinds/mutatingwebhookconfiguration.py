"""MutatingWebhookConfiguration: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator

from steersman.model.errors import Cause
from steersman.model.kind import Document, Kind, Version
from steersman.model.kinds.webhook import WEBHOOK_COLUMNS, MutatingWebhook
from steersman.model.types.admission_check import check_unreserved, warn_of_reserved
from steersman.model.types.metadata import check_metadata
from steersman.model.types.webhook_check import check_webhooks
from steersman.model.view import Object


class MutatingWebhookConfiguration(Object, frozen=True):
    """admissionregistration.k8s.io/v1 MutatingWebhookConfiguration."""

    webhooks: tuple[MutatingWebhook, ...] = ()


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False, any_finalizer=True)
    before = None if old is None else old.get("webhooks") or ()
    yield from check_webhooks(new.get("webhooks") or (), before)
    yield from check_unreserved(new, old)


MUTATINGWEBHOOKCONFIGURATION = Kind(
    group="admissionregistration.k8s.io",
    name="MutatingWebhookConfiguration",
    plural="mutatingwebhookconfigurations",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration"),),
    storage="v1",
    categories=("api-extensions",),
    columns=WEBHOOK_COLUMNS,
    check=_check,
    warn=warn_of_reserved,
    view=MutatingWebhookConfiguration,
    spec_fields=("webhooks",),
    conditional=True,
    complete=True,
)
