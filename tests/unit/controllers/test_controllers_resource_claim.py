"""What is planned for claims for devices: their creation, reservation and release."""

from __future__ import annotations

from typing import Any

from views import decoded, pod

from steersman.controllers import resource_claim
from steersman.controllers.resource_claim import prefix_of
from steersman.model.kinds.resourceclaim import RESOURCECLAIM, Consumer, ResourceClaim
from steersman.model.kinds.resourceclaimtemplate import ResourceClaimTemplate
from steersman.model.resource_claims import FINALIZER
from steersman.model.types.podspec import PodResourceClaim
from steersman.reconcile.actions import Patch

ALLOCATION = {"devices": {"results": []}}
REF = RESOURCECLAIM.ref("default", "c")
POD = Consumer(resource="pods", name="p", uid="u")
OTHER = Consumer(resource="pods", name="q", uid="v")


def claim(*consumers: Consumer, allocated: bool = True, **metadata: Any) -> ResourceClaim:
    reserved = [resource_claim.document_of(one) for one in consumers]
    status = {"reservedFor": reserved, **({"allocation": ALLOCATION} if allocated else {})}
    base = {"name": "c", "namespace": "default", "uid": "x", "resourceVersion": "7"}
    found: ResourceClaim
    found = decoded({"metadata": {**base, **metadata}, "status": status}, ResourceClaim)
    return found


def patched(**fields: Any) -> Patch:
    return Patch(REF, {"status": fields}, "status", "x", 7)


def test_names_of_claims_begin_with_both_names_cut_in_proportion() -> None:
    assert prefix_of("web", "gpu") == "web-gpu-"
    assert prefix_of("p" * 46, "c" * 9) == "p" * 46 + "-" + "c" * 9 + "-"
    assert prefix_of("p" * 60, "c" * 30) == "p" * 37 + "-" + "c" * 18


def test_a_claim_is_what_its_template_says_and_is_owned_by_the_pod() -> None:
    inner = {"devices": {"requests": [{"name": "r"}]}}
    given = {"labels": {"a": "b"}, "annotations": {"c": "d"}}
    template = decoded({"spec": {"metadata": given, "spec": inner}}, ResourceClaimTemplate)
    create = resource_claim.plan_claim(pod("web"), PodResourceClaim(name="gpu"), template)
    metadata = create.document["metadata"]
    assert create.namespace == "default"
    assert bytes(create.document["spec"]) == b'{"devices":{"requests":[{"name":"r"}]}}'
    assert metadata["generateName"] == "web-gpu-"
    assert metadata["labels"] == {"a": "b"}
    assert metadata["annotations"] == {"c": "d", "resource.kubernetes.io/pod-claim-name": "gpu"}
    assert [(one["kind"], one["name"]) for one in metadata["ownerReferences"]] == [("Pod", "web")]


def test_names_that_were_known_stay_in_the_status_of_a_pod() -> None:
    known = [{"name": "a", "resourceClaimName": "x"}, {"name": "none"}]
    found = pod("web", status={"resourceClaimStatuses": known})
    patch = resource_claim.plan_names(found, {"b": "y"})
    assert patch.patch == {
        "status": {"resourceClaimStatuses": [*known, {"name": "b", "resourceClaimName": "y"}]}
    }


def test_a_pod_on_its_node_reserves_what_is_allocated() -> None:
    found = pod("p", uid="u")
    entry = {"resource": "pods", "name": "p", "uid": "u"}
    other = {"resource": "pods", "name": "q", "uid": "v"}
    assert resource_claim.plan_reservation(found, claim(OTHER)) == patched(
        reservedFor=[other, entry]
    )
    assert resource_claim.plan_reservation(found, claim(POD)) is None
    assert resource_claim.plan_reservation(found, claim(allocated=False)) is None
    many = [Consumer(resource="pods", name=str(n), uid=str(n)) for n in range(256)]
    assert resource_claim.plan_reservation(found, claim(*many)) is None
    assert resource_claim.plan_reservation(found, claim(*many[1:])) is not None


def test_the_allocation_goes_with_the_last_consumer() -> None:
    held = claim(POD, OTHER, finalizers=[FINALIZER])
    kept = [resource_claim.document_of(OTHER)]
    assert resource_claim.plan_release(held, [POD, OTHER]) is None
    assert resource_claim.plan_release(held, [OTHER]) == patched(reservedFor=kept)
    assert resource_claim.plan_release(held, []) == patched(reservedFor=None, allocation=None)
    foreign = claim(POD)  # no finalizer: allocated by somebody else
    assert resource_claim.plan_release(foreign, []) == patched(reservedFor=None)
    unused = claim(finalizers=[FINALIZER])
    assert resource_claim.plan_release(unused, []) is None
    going = claim(finalizers=[FINALIZER], deletionTimestamp="2026-01-01T00:00:00Z")
    assert resource_claim.plan_release(going, []) == patched(allocation=None)


def test_the_finalizer_goes_when_nothing_is_allocated() -> None:
    free = claim(allocated=False, finalizers=["a.b/c", FINALIZER])
    expected = Patch(REF, {"metadata": {"finalizers": ["a.b/c"]}}, uid="x", revision=7)
    assert resource_claim.plan_unprotect(free) == expected
    assert resource_claim.plan_unprotect(claim(finalizers=[FINALIZER])) is None
    assert resource_claim.plan_unprotect(claim(allocated=False)) is None
