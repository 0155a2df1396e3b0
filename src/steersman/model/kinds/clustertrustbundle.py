"""ClusterTrustBundle: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator

from steersman.model.causes import immutable
from steersman.model.errors import Cause
from steersman.model.kind import Document, Kind, Version
from steersman.model.kinds.printing import NAME, NONE, text
from steersman.model.types.certificate_check import bundle_name, check_bundle, check_signer
from steersman.model.types.metadata import check_metadata
from steersman.model.view import Object, View


class TrustBundleSpec(View, frozen=True):
    """Trust anchors as PEM, and whose they are; no signer: anybody's."""

    signer_name: str = ""
    trust_bundle: str = ""


class ClusterTrustBundle(Object, frozen=True):
    """certificates.k8s.io/v1 ClusterTrustBundle."""

    spec: TrustBundleSpec = TrustBundleSpec()


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    spec, before = new.get("spec") or {}, (old or {}).get("spec") or {}
    signer, bundle = spec.get("signerName", ""), spec.get("trustBundle", "")
    yield from check_metadata(new, old, namespaced=False, name=bundle_name(signer))
    if signer:
        yield from check_signer(signer, "spec.signerName")
    if old is None or bundle != before.get("trustBundle", ""):
        yield from check_bundle(bundle, "spec.trustBundle")
    if old is not None:
        yield from immutable("spec.signerName", signer, before.get("signerName", ""))


CLUSTERTRUSTBUNDLE = Kind(
    group="certificates.k8s.io",
    name="ClusterTrustBundle",
    plural="clustertrustbundles",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.certificates.v1.ClusterTrustBundle", since=37),),
    storage="v1",
    columns=(NAME, text("SignerName", "spec", "signerName", default=NONE)),
    check=_check,
    view=ClusterTrustBundle,
    selectable={
        "spec.signerName": lambda one: str((one.get("spec") or {}).get("signerName", "")),
    },
    conditional=True,
    complete=True,
)
