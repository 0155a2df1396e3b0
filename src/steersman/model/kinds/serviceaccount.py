"""ServiceAccount: its view and its life in the API."""

from __future__ import annotations

from steersman.model.kind import Column, Document, Kind, Subresource, Version
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import AGE, NAME, count
from steersman.model.types.metadata import checked
from steersman.model.types.reference import LocalObjectReference, ObjectReference
from steersman.model.types.warnings import account_told, warner
from steersman.model.view import Object


class ServiceAccount(Object, frozen=True):
    """core/v1 ServiceAccount."""

    secrets: tuple[ObjectReference, ...] = ()
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    automount_service_account_token: bool | None = None


def _with_names(new: Document, _old: Document | None) -> Document:
    """Keeps of references to Secrets their names alone."""
    if not (secrets := new.get("secrets")):
        return new
    named = [{key: it for key, it in one.items() if key == "name"} for one in secrets]
    return {**new, "secrets": named}


_COLUMNS = (NAME, Column("Secrets", count("secrets")), AGE)

SERVICEACCOUNT = Kind(
    group="",
    name="ServiceAccount",
    plural="serviceaccounts",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.core.v1.ServiceAccount"),),
    storage="v1",
    short_names=("sa",),
    columns=_COLUMNS,
    check=checked(),
    warn=warner(account_told),
    prepare=preparer(_with_names),
    view=ServiceAccount,
    subresources=(Subresource("token", ("create",), (), "authentication.k8s.io/v1 TokenRequest"),),
    complete=True,
    returns_deleted=True,
)
