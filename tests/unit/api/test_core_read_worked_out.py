"""What is worked out when it is read: the renewals of a lease that are not written."""

from __future__ import annotations

import pytest

from served import Served, served
from steersman.model.kind import Document
from steersman.model.kinds.lease import RENEWS_EVERY, as_read

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
BEGAN = "2026-01-01T00:00:00.500000Z"


def lease(every: str | None = "10", **spec: object) -> Document:
    marks = {} if every is None else {RENEWS_EVERY: every}
    spec = {"holderIdentity": "one", "renewTime": BEGAN, **spec}
    return {"metadata": {"name": "one", "annotations": marks}, "spec": spec}


@served
async def test_a_lease_that_renews_itself_is_shown_as_renewed(api: Served) -> None:
    await api.post("/api/v1/namespaces", {"metadata": {"name": "kube-node-lease"}})
    (await api.post(LEASES, lease())).ok()
    await api.world.sleep(3 * 86400 + 27)
    found = (await api.get(f"{LEASES}/one")).document
    assert found["spec"]["renewTime"] == "2026-01-04T00:00:20.500000Z"
    (listed,) = (await api.get(LEASES)).document["items"]
    assert listed["spec"] == found["spec"]
    assert listed["metadata"]["resourceVersion"] == found["metadata"]["resourceVersion"]


@served
async def test_a_lease_that_ended_says_when(api: Served) -> None:
    await api.post("/api/v1/namespaces", {"metadata": {"name": "kube-node-lease"}})
    (await api.post(LEASES, lease())).ok()
    patch = {"metadata": {"annotations": {RENEWS_EVERY: None}}}
    (await api.patch(f"{LEASES}/one", patch)).ok()
    await api.world.sleep(1000)
    assert (await api.get(f"{LEASES}/one")).document["spec"]["renewTime"] == BEGAN


@pytest.mark.parametrize("every", [None, "", "0", "-1", "1.5", "x", "9" * 40, "²"])
def test_a_lease_without_a_time_that_can_be_is_shown_as_it_is(every: str | None) -> None:
    document = lease(every)
    assert as_read(document, 2e9) is document


def test_a_lease_that_was_never_renewed_or_not_yet_is_shown_as_it_is() -> None:
    document = lease(renewTime=None)
    assert as_read(document, 2e9) is document
    assert as_read(lease(), 0.0) == lease()
