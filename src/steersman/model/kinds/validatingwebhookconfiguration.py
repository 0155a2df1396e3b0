"""ValidatingWebhookConfiguration: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator

from steersman.model.errors import Cause
from steersman.model.kind import Document, Kind, Version
from steersman.model.kinds.webhook import WEBHOOK_COLUMNS, ValidatingWebhook
from steersman.model.types.admission_check import check_unreserved, warn_of_reserved
from steersman.model.types.metadata import check_metadata
from steersman.model.types.webhook_check import check_webhooks
from steersman.model.view import Object


class ValidatingWebhookConfiguration(Object, frozen=True):
    """admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration."""

    webhooks: tuple[ValidatingWebhook, ...] = ()


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False, any_finalizer=True)
    before = None if old is None else old.get("webhooks") or ()
    yield from check_webhooks(new.get("webhooks") or (), before)
    yield from check_unreserved(new, old)


VALIDATINGWEBHOOKCONFIGURATION = Kind(
    group="admissionregistration.k8s.io",
    name="ValidatingWebhookConfiguration",
    plural="validatingwebhookconfigurations",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration"),),
    storage="v1",
    categories=("api-extensions",),
    columns=WEBHOOK_COLUMNS,
    check=_check,
    warn=warn_of_reserved,
    view=ValidatingWebhookConfiguration,
    spec_fields=("webhooks",),
    conditional=True,
    complete=True,
)
