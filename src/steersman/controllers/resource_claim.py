"""Claims for devices: made of templates for pods, kept while somebody may use them, and then given
up (pkg/controller/resourceclaim, KEP-4381).

A Pod's claims are made and named in its status; a ResourceClaim's consumers that are gone are
taken away, with the last one its allocation and finalizer, and a claim that was made for a pod.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Final

from steersman.client.interface import Views
from steersman.controllers import ownership
from steersman.model import resource_claims
from steersman.model.errors import APIError, NotFound
from steersman.model.kind import Document
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.resourceclaim import RESOURCECLAIM, Consumer, ResourceClaim
from steersman.model.kinds.resourceclaimtemplate import (
    RESOURCECLAIMTEMPLATE,
    ResourceClaimTemplate,
)
from steersman.model.ref import Ref
from steersman.model.resource_claims import FINALIZER, POD_CLAIM_ANNOTATION, NotCreated
from steersman.model.types.podspec import PodResourceClaim
from steersman.reconcile.actions import Create, Delete, Patch, act_one, status
from steersman.reconcile.loop import Done, Given, Permanent
from steersman.reconcile.rules import Rule, Watch

REASON: Final = "FailedResourceClaimCreation"
BY_CLAIM: Final = "resource claim"  # index: pods by NAMESPACE/NAME of their claims
BY_TEMPLATE: Final = "resource claim template"  # index: pods by NAMESPACE/NAME of templates
# room for a dash and five characters in a name of 63
_MOST_PREFIX: Final = 57


def by_claim(pod: Pod) -> tuple[str, ...]:
    """Index values: the claims of a pod."""
    names = resource_claims.names_of(pod)
    return tuple(f"{pod.metadata.namespace}/{name}" for name in names)


def by_template(pod: Pod) -> tuple[str, ...]:
    """Index values: the templates of a pod's claims."""
    named = (claim.resource_claim_template_name for claim in pod.spec.resource_claims)
    return tuple(f"{pod.metadata.namespace}/{name}" for name in named if name)


def prefix_of(pod: str, claim: str) -> str:
    """Returns what the name of a claim begins with: both names, cut in proportion."""
    prefix = f"{pod}-{claim}-"
    length = len(prefix)
    if length <= _MOST_PREFIX:
        return prefix
    kept = (name[: len(name) * _MOST_PREFIX // length] for name in (pod, claim))
    return "-".join(kept)


def plan_claim(pod: Pod, claim: PodResourceClaim, template: ResourceClaimTemplate) -> Create:
    """Returns the creation of a claim of a template."""
    given = template.spec.metadata
    metadata: Document = {
        "generateName": prefix_of(pod.metadata.name, claim.name),
        "namespace": pod.metadata.namespace,
        "ownerReferences": [ownership.reference(pod, POD)],
        "annotations": {**given.annotations, POD_CLAIM_ANNOTATION: claim.name},
        **({"labels": dict(given.labels)} if given.labels else {}),
    }
    head = {"apiVersion": RESOURCECLAIM.api_version(), "kind": RESOURCECLAIM.name}
    document = {**head, "metadata": metadata, "spec": template.spec.spec}
    return Create(RESOURCECLAIM, document, pod.metadata.namespace)


def plan_names(pod: Pod, names: dict[str, str]) -> Patch:
    """Returns what notes the names of new claims in a pod's status."""
    known = {one.name: one.resource_claim_name for one in pod.status.resource_claim_statuses}
    listed = [
        {"name": name, **({"resourceClaimName": value} if value else {})}
        for name, value in {**known, **names}.items()
    ]
    metadata = pod.metadata
    fields = {"resourceClaimStatuses": listed}
    return status(POD.ref(*pod.key), fields, uid=metadata.uid, revision=metadata.revision)


def plan_reservation(pod: Pod, claim: ResourceClaim) -> Patch | None:
    """Returns what lets a pod use an allocated claim, None where it may or nothing is allocated."""
    reserved = claim.status.reserved_for
    full = len(reserved) >= resource_claims.MOST_CONSUMERS
    if claim.status.allocation is None or full or resource_claims.is_reserved(pod, claim):
        return None
    consumer = {"resource": "pods", "name": pod.metadata.name, "uid": pod.metadata.uid}
    return _status(claim, {"reservedFor": [*map(document_of, reserved), consumer]})


def document_of(consumer: Consumer) -> Document:
    """Returns a consumer as it stands in a claim."""
    group = {"apiGroup": consumer.api_group} if consumer.api_group else {}
    names = {"resource": consumer.resource, "name": consumer.name, "uid": consumer.uid}
    return {**group, **names}


def plan_release(claim: ResourceClaim, valid: Iterable[Consumer]) -> Patch | None:
    """Returns what takes away consumers that are gone, and with the last one the allocation."""
    kept = list(valid)
    fields: Document = {}
    if len(kept) < len(claim.status.reserved_for):
        fields["reservedFor"] = [document_of(one) for one in kept] or None
    going = claim.metadata.deletion_timestamp is not None
    released = not kept and (fields or going) and FINALIZER in claim.metadata.finalizers
    if released and claim.status.allocation is not None:
        fields["allocation"] = None
    return _status(claim, fields) if fields else None


def plan_unprotect(claim: ResourceClaim) -> Patch | None:
    """Returns what takes the finalizer away where nothing is allocated, None where it stays."""
    metadata = claim.metadata
    if FINALIZER not in metadata.finalizers or claim.status.allocation is not None:
        return None
    kept = [name for name in metadata.finalizers if name != FINALIZER]
    patch = {"metadata": {"finalizers": kept or None}}
    ref = RESOURCECLAIM.ref(*claim.key)
    return Patch(ref, patch, uid=metadata.uid, revision=metadata.revision)


def _status(claim: ResourceClaim, fields: Document) -> Patch:
    metadata = claim.metadata
    ref = RESOURCECLAIM.ref(*claim.key)
    return status(ref, fields, uid=metadata.uid, revision=metadata.revision)


def _claims_of(pod: Pod | None) -> list[Ref]:
    if pod is None:
        return []
    names = resource_claims.names_of(pod)
    return [RESOURCECLAIM.ref(pod.metadata.namespace, name) for name in names]


def _of_pod(views: Views, old: Pod | None, new: Pod | None) -> Iterable[Ref]:
    """Maps a pod with claims to itself, and to them where it goes, ends or is replaced."""
    pod = new if new is not None else old
    if pod is None or not (
        pod.spec.resource_claims or pod.status.extended_resource_claim_status is not None
    ):
        return ()
    replaced = old is not None and new is not None and old.metadata.uid != new.metadata.uid
    found = [] if new is None else [POD.ref(*new.key)]
    if new is None or replaced or resource_claims.is_done(new):
        found += _claims_of(old)
        found += _claims_of(new)
        if pod.metadata.uid:
            claims = views.of(RESOURCECLAIM).by(ownership.BY_OWNER, pod.metadata.uid)
            found += [RESOURCECLAIM.ref(*claim.key) for claim in claims]
    return dict.fromkeys(found)


def _of_claim(views: Views, old: Any, new: Any) -> Iterable[Ref]:
    """Maps a claim to itself, to the pod that it was made for, and to those that have it."""
    claim = new if new is not None else old
    key = "/".join(claim.key)
    found = [RESOURCECLAIM.ref(*claim.key)] if new is not None else []
    found += ownership.owned(POD, views, old, new)
    found += [POD.ref(*pod.key) for pod in views.of(POD).by(BY_CLAIM, key)]
    return dict.fromkeys(found)


def _of_template(views: Views, _old: Any, new: Any) -> Iterable[Ref]:
    """Maps a template to the pods that have claims of it, once it is there."""
    if new is None:
        return ()
    pods = views.of(POD).by(BY_TEMPLATE, "/".join(new.key))
    return [POD.ref(*pod.key) for pod in pods]


class ResourceClaimController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "resource-claim-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(POD, _of_pod, {BY_CLAIM: by_claim, BY_TEMPLATE: by_template}),
        Watch(RESOURCECLAIM, _of_claim, {ownership.BY_OWNER: ownership.by_owner}),
        Watch(RESOURCECLAIMTEMPLATE, _of_template),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("resource.k8s.io", ("resourceclaims",), ("create", "delete", "patch")),
        Rule("resource.k8s.io", ("resourceclaims/status", "resourceclaims/binding"), ("patch",)),
        Rule("", ("pods/finalizers",), ("update",)),
        Rule("", ("pods/status",), ("patch",)),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._pods = given.views.of(POD)
        self._claims = given.views.of(RESOURCECLAIM)
        self._templates = given.views.of(RESOURCECLAIMTEMPLATE)

    async def reconcile(self, ref: Ref) -> Done:
        """Makes the claims of one pod, or gives up what nobody uses of one claim."""
        if ref.kind == POD.resource:
            pod: Pod | None = self._pods.get(ref)
            if pod is not None and pod.metadata.deletion_timestamp is None:
                await self._provide(pod)
            return Done()
        claim: ResourceClaim | None = self._claims.get(ref)
        if claim is not None:
            await self._release(claim)
        return Done()

    async def _provide(self, pod: Pod) -> None:
        if resource_claims.is_done(pod):
            return
        names: dict[str, str] = {}
        for claim in pod.spec.resource_claims:
            try:
                if name := await self._make(pod, claim):
                    names[claim.name] = name
            except APIError as error:
                text = f"PodResourceClaim {claim.name}: create ResourceClaim : {error.message}"
                self._given.events.warning(pod, REASON, text)
                raise
        if names:
            await self._act(plan_names(pod, names))
        elif pod.spec.node_name:
            await self._reserve(pod)

    async def _make(self, pod: Pod, claim: PodResourceClaim) -> str:
        """Makes a claim where it is missing and returns its name; empty where the pod knows it."""
        if not claim.resource_claim_template_name:
            return ""
        start = f"PodResourceClaim {claim.name}: "
        try:
            name = resource_claims.name_of(pod, claim)
        except NotCreated:
            name = ""
        if name is None:
            return ""
        found = self._claim(pod, name) if name else None
        if found is not None:
            if why := resource_claims.check_owner(pod, found):
                raise Permanent(REASON, start + why)
            return ""
        if (present := self._made_for(pod, claim)) is not None:
            return present.metadata.name
        wanted = claim.resource_claim_template_name
        template = self._templates.get(RESOURCECLAIMTEMPLATE.ref(pod.metadata.namespace, wanted))
        if template is None:
            why = f'resourceclaimtemplate.resource.k8s.io "{wanted}" not found'
            raise Permanent(REASON, f'{start}resource claim template "{wanted}": {why}')
        made: ResourceClaim = await self._act(plan_claim(pod, claim, template))
        return made.metadata.name

    def _claim(self, pod: Pod, name: str) -> ResourceClaim | None:
        found: ResourceClaim | None
        found = self._claims.get(RESOURCECLAIM.ref(pod.metadata.namespace, name))
        return found

    def _made_for(self, pod: Pod, claim: PodResourceClaim) -> ResourceClaim | None:
        """Returns a claim that was made and whose name was not noted."""
        found: ResourceClaim
        for found in self._claims.by(ownership.BY_OWNER, pod.metadata.uid):
            if found.metadata.annotations.get(POD_CLAIM_ANNOTATION) == claim.name:
                return found
        return None

    async def _reserve(self, pod: Pod) -> None:
        """Reserves the claims of a pod that came to its node without the scheduler."""
        for name in resource_claims.names_of(pod):
            claim = self._claim(pod, name)
            if claim is None:
                return
            if (patch := plan_reservation(pod, claim)) is not None:
                await self._act(patch)

    async def _release(self, claim: ResourceClaim) -> None:
        valid = [one for one in claim.status.reserved_for if await self._is_valid(claim, one)]
        patch = plan_release(claim, valid)
        going = claim.metadata.deletion_timestamp is not None and not valid
        if patch is not None:
            claim = await self._act(patch)
        if (patch is not None or going) and (unprotect := plan_unprotect(claim)) is not None:
            await self._act(unprotect)
        if not valid and self._is_left(claim):
            await self._act(Delete(RESOURCECLAIM.ref(*claim.key), uid=claim.metadata.uid))

    async def _is_valid(self, claim: ResourceClaim, consumer: Consumer) -> bool:
        """Says whether a consumer may still use a claim; asks the API where a view may be late."""
        if not resource_claims.is_pod(consumer):
            raise Permanent("FailedResourceClaim", f"unsupported ReservedFor entry: {consumer}")
        ref = POD.ref(claim.metadata.namespace, consumer.name)
        pod: Pod | None = self._pods.get(ref)
        if pod is None:
            try:
                pod = await self._given.client.get(ref)
            except NotFound:
                return False
            return pod is not None and pod.metadata.uid == consumer.uid
        return pod.metadata.uid == consumer.uid and not resource_claims.is_done(pod)

    def _is_left(self, claim: ResourceClaim) -> bool:
        """Says whether a claim was made for a pod that will not run."""
        owner = claim.metadata.controller
        if owner is None or owner.kind != POD.name or owner.api_version != "v1":
            return False
        pod: Pod | None = self._pods.get(POD.ref(claim.metadata.namespace, owner.name))
        if pod is None or claim.metadata.deletion_timestamp is not None:
            return False  # the garbage collector looks after owners that are gone
        return pod.metadata.uid != owner.uid or resource_claims.is_done(pod)

    async def _act(self, action: Create | Patch | Delete) -> Any:
        return await act_one(self._given.client, self._given.events, action)
