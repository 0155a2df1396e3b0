"""What becomes of what a client sends, beside what is checked (pkg/registry/*/*/strategy.go)."""

from __future__ import annotations

from typing import Any

from served import PODS, Served, pod, served
from steersman.model.kinds.podcertificaterequest import PODCERTIFICATEREQUEST

SPACE = "/api/v1/namespaces/default"


@served
async def test_a_reference_to_a_secret_of_an_account_is_a_name(api: Served) -> None:
    secrets = [{"name": "a", "kind": "Secret", "namespace": "x", "uid": "u"}, {"kind": "Secret"}]
    account = {"metadata": {"name": "a"}, "secrets": secrets}
    made = (await api.post(f"{SPACE}/serviceaccounts", account)).ok()
    assert made["secrets"] == [{"name": "a"}, {}]
    changed = await api.put(f"{SPACE}/serviceaccounts/a", {**made, "secrets": secrets[:1]})
    assert changed.ok()["secrets"] == [{"name": "a"}]


@served
async def test_limits_without_a_name_are_named(api: Served) -> None:
    names = set()
    for _ in range(2):
        made = (await api.post(f"{SPACE}/limitranges", {"spec": {"limits": []}})).ok()
        names.add(made["metadata"]["name"])
    assert [len(name) for name in names] == [36, 36]
    prefixed = {"metadata": {"generateName": "a-"}, "spec": {"limits": []}}
    made = (await api.post(f"{SPACE}/limitranges", prefixed)).ok()
    assert made["metadata"]["name"].startswith("a-")


@served
async def test_a_runtime_class_comes_to_be_by_a_put_and_changes_by_its_revision(
    api: Served,
) -> None:
    path = "/apis/node.k8s.io/v1/runtimeclasses/a"
    given: dict[str, Any] = {"metadata": {"name": "a"}, "handler": "h"}
    assert (await api.put(path, given)).code == 201
    answer = await api.put(path, given)
    assert answer.code == 422
    assert "metadata.resourceVersion: Invalid value: 0" in answer.message


@served
async def test_a_status_keeps_whose_a_pod_is_and_may_change_its_labels(api: Served) -> None:
    owner = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}
    one = pod("a")
    one["metadata"]["ownerReferences"] = [owner]
    made = (await api.post(PODS, one)).ok()
    sent = {**made, "metadata": {**made["metadata"], "labels": {"a": "b"}}}
    del sent["metadata"]["ownerReferences"]
    found = (await api.put(f"{PODS}/a/status", {**sent, "status": {"phase": "Running"}})).ok()
    assert found["metadata"]["ownerReferences"] == [owner]
    assert found["metadata"]["labels"] == {"a": "b"}
    assert found["status"] == {"phase": "Running", "qosClass": "BestEffort"}


@served
async def test_an_autoscaler_counts_what_is_wanted_of_it(api: Served) -> None:
    path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"maxReplicas": 3, "scaleTargetRef": target}
    made = (await api.post(path, {"metadata": {"name": "a"}, "spec": spec})).ok()
    assert made["metadata"]["generation"] == 1
    changed = (await api.patch(f"{path}/a", {"spec": {"maxReplicas": 4}})).ok()
    assert changed["metadata"]["generation"] == 2
    labelled = (await api.patch(f"{path}/a", {"metadata": {"labels": {"a": "b"}}})).ok()
    assert labelled["metadata"]["generation"] == 2
    condition = {"type": "X", "status": "True", "observedGeneration": -1}
    answer = await api.patch(f"{path}/a/status", {"status": {"conditions": [condition]}})
    assert answer.code == 422
    assert "status.conditions[0].observedGeneration: Invalid value: -1" in answer.message


def test_decisions_about_a_pods_request_stay_as_they_were_made() -> None:
    issued = {"type": "Issued", "status": "True", "reason": "A"}
    before = {"status": {"conditions": [issued]}}
    now = {"status": {"conditions": [{**issued, "reason": "B"}, {"type": "X", "reason": "C"}]}}
    made = PODCERTIFICATEREQUEST.prepare(now, before, "status")
    assert made["status"]["conditions"] == [issued, {"type": "X", "reason": "C"}]
    assert PODCERTIFICATEREQUEST.prepare(now, {}, "status") == now
