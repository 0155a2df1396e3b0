"""The ConfigMap `kube-root-ca.crt` of every active namespace
(pkg/controller/certificates/rootcacertpublisher)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import ClassVar

from steersman.client.interface import Views
from steersman.model.errors import AlreadyExists
from steersman.model.kind import Document
from steersman.model.kinds.configmap import CONFIGMAP, ConfigMap
from steersman.model.kinds.namespace import NAMESPACE, Namespace
from steersman.model.ref import Ref
from steersman.reconcile.actions import Action, Create, Patch, act
from steersman.reconcile.loop import Controller, Done, Given
from steersman.reconcile.rules import Rule, Watch, to_self

NAME = "kube-root-ca.crt"
DESCRIPTION = "kubernetes.io/description"
TEXT = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal "
    "endpoints such as the internal service IP or kubernetes.default.svc. No other usage is "
    "guaranteed across distributions of Kubernetes clusters."
)


def plan(namespace: Namespace | None, present: ConfigMap | None, bundle: str) -> list[Action]:
    """Returns what gives an active namespace the bundle."""
    if namespace is None or namespace.status.phase != "Active":
        return []
    name = namespace.metadata.name
    annotations, data = {DESCRIPTION: TEXT}, {"ca.crt": bundle}
    if present is None:
        metadata = {"name": NAME, "namespace": name, "annotations": annotations}
        document: Document = {"apiVersion": "v1", "kind": "ConfigMap"}
        return [Create(CONFIGMAP, {**document, "metadata": metadata, "data": data}, name)]
    if dict(present.data) == data and present.metadata.annotations.get(DESCRIPTION):
        return []
    extra = {key: None for key in present.data if key != "ca.crt"}
    patch = {"metadata": {"annotations": annotations}, "data": {**extra, **data}}
    return [Patch(CONFIGMAP.ref(name, NAME), patch)]


def _of_map(_views: Views, old: ConfigMap | None, new: ConfigMap | None) -> Iterable[Ref]:
    """Maps a change of a bundle to its namespace."""
    found = new or old
    if found is None or found.metadata.name != NAME:
        return ()
    return (NAMESPACE.ref("", found.metadata.namespace),)


class RootCAController:
    """See `reconcile.loop.Controller`; `with_bundle` gives the class for one cluster's CA."""

    name: ClassVar[str] = "root-ca-cert-publisher"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(NAMESPACE, partial(to_self, kind=NAMESPACE)),
        Watch(CONFIGMAP, _of_map),
    )
    writes: ClassVar[tuple[Rule, ...]] = (Rule("", ("configmaps",), ("create", "update", "patch")),)
    bundle = ""

    def __init__(self, given: Given) -> None:
        self._given = given
        self._namespaces = given.views.of(NAMESPACE)
        self._maps = given.views.of(CONFIGMAP)

    async def reconcile(self, ref: Ref) -> Done:
        """Makes sure that one namespace has the bundle."""
        present = self._maps.get(CONFIGMAP.ref(ref.name, NAME))
        actions = plan(self._namespaces.get(ref), present, self.bundle)
        try:
            await act(self._given.client, self._given.events, actions)
        except AlreadyExists:  # somebody else was faster; its change brings us here again
            return Done()
        return Done()


def with_bundle(bundle: str) -> type[Controller]:
    """Returns the controller that publishes a bundle (PEM)."""
    return type("RootCAController", (RootCAController,), {"bundle": bundle})
