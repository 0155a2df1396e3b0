"""Which ResourceClaims a pod has: named by it, or made for it of a template
(dynamic-resource-allocation/resourceclaim)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from steersman.model.kinds.pod import Pod
from steersman.model.kinds.resourceclaim import Consumer, ResourceClaim
from steersman.model.types.podspec import PodResourceClaim

FINALIZER: Final = "resource.kubernetes.io/delete-protection"
# on a claim: which claim of the pod it was made for
POD_CLAIM_ANNOTATION: Final = "resource.kubernetes.io/pod-claim-name"
# on a claim: it was made for extended resources of the pod that owns it
EXTENDED_ANNOTATION: Final = "resource.kubernetes.io/extended-resource-claim"
MOST_CONSUMERS: Final = 256  # ResourceClaimReservedForMaxSize


class NotCreated(Exception):
    """A claim of a template was not made yet; the text is upstream's."""


def name_of(pod: Pod, claim: PodResourceClaim) -> str | None:
    """Returns the name of a pod's claim, None where none is needed; raises NotCreated."""
    if claim.resource_claim_name:
        return claim.resource_claim_name
    for status in pod.status.resource_claim_statuses:
        if status.name == claim.name:
            return status.resource_claim_name
    names = f"{pod.metadata.namespace}/{pod.metadata.name}"
    raise NotCreated(f'pod "{names}": ResourceClaim not created yet')


def names_of(pod: Pod) -> Iterator[str]:
    """Yields the names of a pod's claims, as far as they are known."""
    for claim in pod.spec.resource_claims:
        try:
            name = name_of(pod, claim)
        except NotCreated:
            continue
        if name:
            yield name
    if (extended := pod.status.extended_resource_claim_status) is not None:
        yield extended.resource_claim_name


def is_extended(claim: ResourceClaim) -> bool:
    """Tells whether a claim was made for extended resources."""
    return claim.metadata.annotations.get(EXTENDED_ANNOTATION) == "true"


def check_owner(pod: Pod, claim: ResourceClaim) -> str:
    """Returns why a claim cannot be the one made for a pod, empty where it is."""
    owner = claim.metadata.controller
    if owner is not None and owner.uid == pod.metadata.uid:
        return ""
    namespace, name = pod.metadata.namespace, pod.metadata.name
    return (
        f"ResourceClaim {claim.metadata.namespace}/{claim.metadata.name} was not created for pod "
        f"{namespace}/{name} (pod is not owner)"
    )


def is_reserved(pod: Pod, claim: ResourceClaim) -> bool:
    """Tells whether a pod may use what was allocated to a claim."""
    return any(one.uid == pod.metadata.uid for one in claim.status.reserved_for)


def is_pod(consumer: Consumer) -> bool:
    """Tells whether a consumer is a Pod."""
    return not consumer.api_group and consumer.resource == "pods"


def is_done(pod: Pod) -> bool:
    """Tells whether it is certain that no container of a pod runs or will run."""
    deleted = pod.metadata.deletion_timestamp is not None
    return pod.status.phase in ("Succeeded", "Failed") or (deleted and not pod.spec.node_name)
