"""clusterTrustBundle: trust anchors of one bundle, or of all of a signer's, as one file. Pure.

Follows pkg/kubelet/clustertrustbundle (KEP-3257): each anchor once, nothing beside them. Their
order means nothing; it is that of the bytes, so that the file changes only with what is in it.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator
from textwrap import wrap

from steersman.model.kinds.clustertrustbundle import ClusterTrustBundle
from steersman.model.types.certificate_check import pem_blocks
from steersman.model.types.selector import selector_of
from steersman.model.types.volume import ClusterTrustBundleProjection
from steersman.node.objects import BadConfiguration

_COLUMNS = 64


def render(source: ClusterTrustBundleProjection, bundles: Iterable[ClusterTrustBundle]) -> bytes:
    """Returns the anchors as PEM; raises BadConfiguration where there must be some and are none."""
    chosen = list(_choose(source, bundles))
    if not chosen and not source.optional:
        if source.name:
            text = f'clustertrustbundle.certificates.k8s.io "{source.name}" not found'
            raise BadConfiguration(f"while getting ClusterTrustBundle: {text}")
        text = "combination of signerName and labelSelector matched zero ClusterTrustBundles"
        raise BadConfiguration(text)
    anchors = {block.content for one in chosen for block in pem_blocks(one.spec.trust_bundle)}
    return "".join(map(_pem, sorted(anchors))).encode()


def _choose(
    source: ClusterTrustBundleProjection, bundles: Iterable[ClusterTrustBundle]
) -> Iterator[ClusterTrustBundle]:
    if source.name:
        yield from (it for it in bundles if it.metadata.name == source.name)
        return
    matches = selector_of(source.label_selector)
    for bundle in bundles:
        if bundle.spec.signer_name == source.signer_name and matches(bundle.metadata.labels):
            yield bundle


def _pem(anchor: bytes) -> str:
    body = "\n".join(wrap(b64encode(anchor).decode(), _COLUMNS))
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
