"""Plugins by which what is written needs a right of its own: OwnerReferencesPermissionEnforcement,
ClusterTrustBundleAttest, DenyServiceExternalIPs, AlwaysDeny."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Final

from steersman.api.access.authorization import Attributes, Authorizer, Decision
from steersman.api.access.escalation import only_collector_fields
from steersman.api.admission.certificates import is_authorized
from steersman.api.admission.chain import Change, Plugin
from steersman.api.admission.plugins.plain import is_of, refused, spec_of
from steersman.api.bootstrap.writing import SERVER
from steersman.api.call import Call
from steersman.model.builtin import Registry
from steersman.model.gotext import quote
from steersman.model.kind import Document

CERTIFICATES: Final = "certificates.k8s.io"
_OWNED: Final = "cannot set an ownerRef on a resource you can't delete"
_BLOCKING: Final = (
    "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set "
    "finalizers on"
)


def _said(decision: Decision) -> str:
    """Returns reason and error as Go prints them."""
    return f"{decision.reason}, {decision.error or '<nil>'}"


class OwnerReferencesPermissionEnforcement(Plugin):
    """Who gives an object owners could delete it, and may hold its owners' deletion up."""

    name = "OwnerReferencesPermissionEnforcement"

    def __init__(self, authorizer: Authorizer, kinds: Registry) -> None:
        self._authorizer = authorizer
        self._kinds = kinds

    def check(self, change: Change) -> None:
        """Refuses owners that are not the writer's to set."""
        call = change.call
        if change.new is None or change.operation not in ("CREATE", "UPDATE"):
            return
        if call.kind.name == "Pod" and not call.kind.group and call.subresource == "status":
            return
        new, old = _owners(change.new), _owners(change.old)
        if new == old:
            return
        kind = call.kind
        asked = Attributes(
            "delete",
            kind.group,
            call.version.name,
            kind.plural,
            call.subresource,
            call.namespace,
            change.name,
        )
        decision = self._authorizer.allowed(call.user, asked)
        if not decision.allowed:
            raise refused(change, f"{_OWNED}: {_said(decision)}")
        for owner in _newly_blocking(new, old):
            self._check_owner(change, owner)

    def _check_owner(self, change: Change, owner: Document) -> None:
        group, _, version = owner.get("apiVersion", "").rpartition("/")
        kind = self._kinds.by_kind(group, version, owner.get("kind", ""))
        if kind is None:
            named = owner.get("kind", "")
            why = f"no matches for kind {quote(named)} in version {quote(owner['apiVersion'])}"
            raise refused(
                change,
                "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for "
                f"APIVersion {owner['apiVersion']} Kind {named}: {why}",
            )
        namespace = change.call.namespace if kind.namespaced else ""
        name = owner.get("name", "")
        asked = Attributes("update", group, version, kind.plural, "finalizers", namespace, name)
        decision = self._authorizer.allowed(change.call.user, asked)
        if not decision.allowed:
            raise refused(change, f"{_BLOCKING}: {_said(decision)}")

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on the owners of a new object."""
        return None if meta.get("ownerReferences") else ()


def _owners(document: Document | None) -> Sequence[Document]:
    return ((document or {}).get("metadata") or {}).get("ownerReferences") or []


def _newly_blocking(new: Sequence[Document], old: Sequence[Document]) -> Iterator[Document]:
    before = {owner.get("uid") for owner in old if owner.get("blockOwnerDeletion")}
    for owner in new:
        if owner.get("blockOwnerDeletion") and owner.get("uid") not in before:
            yield owner


class ClusterTrustBundleAttest(Plugin):
    """Who vouches for a signer's bundle may attest for the signer."""

    name = "ClusterTrustBundleAttest"
    about = frozenset({"ClusterTrustBundle"})

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def check(self, change: Change) -> None:
        """Refuses a bundle of a signer for whom the writer may not attest."""
        call, new, old = change.call, change.new, change.old
        if new is None or not is_of(call, CERTIFICATES, "ClusterTrustBundle"):
            return
        signer = spec_of(new).get("signerName", "")
        if not signer or (old is not None and only_collector_fields(new, old)):
            return
        if not is_authorized(self._authorizer, call.user, "attest", signer):
            raise refused(change, f"user not permitted to attest for signerName {quote(signer)}")

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on all rules where a bundle is made."""
        return None if is_of(call, CERTIFICATES, "ClusterTrustBundle") else ()


class DenyServiceExternalIPs(Plugin):
    """No Service takes addresses that are not its own."""

    name = "DenyServiceExternalIPs"
    about = frozenset({"Service"})

    def check(self, change: Change) -> None:
        """Refuses external addresses that were not there before."""
        if change.new is None or not is_of(change.call, "", "Service"):
            return
        new = spec_of(change.new).get("externalIPs") or ()
        old = spec_of(change.old).get("externalIPs") or ()
        if not set(new) <= set(old):
            raise refused(change, "Use of external IPs is denied by admission control")


class AlwaysDeny(Plugin):
    """Refuses every write but those of the server itself, without which there would be none."""

    name = "AlwaysDeny"

    def admit(self, change: Change) -> Document | None:
        """Refuses."""
        self.check(change)
        return None

    def check(self, change: Change) -> None:
        """Refuses."""
        if change.call.user.name != SERVER.name:
            raise refused(change, "admission control is denying all modifications")

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on who asks."""
        return None
