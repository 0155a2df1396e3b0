"""The ClusterTrustBundle of the API server's own authority, which anybody may trust
(pkg/controller/certificates/clustertrustbundlepublisher, KEP-3257).

Its name holds a hash of what it holds; others of the same signer go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import ClassVar, Final

from steersman.client.interface import Views
from steersman.model.kinds.clustertrustbundle import CLUSTERTRUSTBUNDLE, ClusterTrustBundle
from steersman.model.kinds.namespace import NAMESPACE, Namespace
from steersman.model.ref import Ref
from steersman.reconcile.actions import Action, Create, Delete, Patch, act
from steersman.reconcile.loop import Controller, Done, Given
from steersman.reconcile.rules import Rule, Watch

SIGNER: Final = "kubernetes.io/kube-apiserver-serving"
_PREFIX: Final = SIGNER.replace("/", ":") + ":"
_HASH_BYTES: Final = 12
# All bundles of the signer are looked at as one
_ALL: Final = CLUSTERTRUSTBUNDLE.ref("", _PREFIX)
# A namespace that every cluster has: where there is no bundle yet, nothing else would begin
_ALWAYS: Final = "kube-system"


def name_of(bundle: str) -> str:
    """Returns the name under which a bundle (PEM) is published."""
    return _PREFIX + hashlib.sha256(bundle.encode()).digest()[:_HASH_BYTES].hex()


def plan(present: Iterable[ClusterTrustBundle], bundle: str) -> list[Action]:
    """Returns what leaves exactly one bundle of the signer, the present one."""
    name, actions, found = name_of(bundle), list[Action](), False
    for one in present:
        if one.spec.signer_name != SIGNER:
            continue
        ref = CLUSTERTRUSTBUNDLE.ref(*one.key)
        if one.metadata.name != name:
            actions.append(Delete(ref, uid=one.metadata.uid))
            continue
        found = True
        if one.spec.trust_bundle != bundle:
            actions.append(Patch(ref, {"spec": {"trustBundle": bundle}}, uid=one.metadata.uid))
    if found:
        return actions
    spec = {"signerName": SIGNER, "trustBundle": bundle}
    return [Create(CLUSTERTRUSTBUNDLE, {"metadata": {"name": name}, "spec": spec}), *actions]


def _of_bundle(
    _views: Views, old: ClusterTrustBundle | None, new: ClusterTrustBundle | None
) -> Iterable[Ref]:
    found = new or old
    return (_ALL,) if found is not None and found.spec.signer_name == SIGNER else ()


def _of_namespace(_views: Views, old: Namespace | None, new: Namespace | None) -> Iterable[Ref]:
    begins = old is None and new is not None and new.metadata.name == _ALWAYS
    return (_ALL,) if begins else ()


class TrustBundleController:
    """See `reconcile.loop.Controller`; `with_trust` gives the class for one cluster's CA."""

    name: ClassVar[str] = "kube-apiserver-serving-clustertrustbundle-publisher"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(CLUSTERTRUSTBUNDLE, _of_bundle),
        Watch(NAMESPACE, _of_namespace),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("certificates.k8s.io", ("clustertrustbundles",), ("create", "patch", "delete")),
    )
    bundle = ""

    def __init__(self, given: Given) -> None:
        self._given = given
        self._bundles = given.views.of(CLUSTERTRUSTBUNDLE)

    async def reconcile(self, _ref: Ref) -> Done:
        """Publishes the bundle, and takes back what it has replaced."""
        actions = plan(self._bundles.list(), self.bundle)
        await act(self._given.client, self._given.events, actions)
        return Done()


def with_trust(bundle: str) -> type[Controller]:
    """Returns the controller that publishes a bundle (PEM)."""
    return type("TrustBundleController", (TrustBundleController,), {"bundle": bundle})
