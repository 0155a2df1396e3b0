"""Times of taints, selectors that compile, admin access, and who may write which status."""

from __future__ import annotations

from typing import Any

from tests.served import Served, served

from steersman.wire.message import User

GROUP = "/apis/resource.k8s.io/v1"
CLASSES = f"{GROUP}/deviceclasses"
CLAIMS = f"{GROUP}/namespaces/default/resourceclaims"
TEMPLATES = f"{GROUP}/namespaces/default/resourceclaimtemplates"
SLICES = f"{GROUP}/resourceslices"
RULES = f"{GROUP}/devicetaintrules"
MERGE = "application/merge-patch+json"


def named(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": spec}


def cel(expression: str) -> dict[str, Any]:
    return {"selectors": [{"cel": {"expression": expression}}]}


def claim(name: str = "c", **exactly: Any) -> dict[str, Any]:
    request = {"name": "r", "exactly": {"deviceClassName": "gpu", **exactly}}
    return named(name, devices={"requests": [request]})


TAINT = {"key": "k", "effect": "NoSchedule"}


def slice_of(*taints: dict[str, Any]) -> dict[str, Any]:
    pool = {"name": "p", "resourceSliceCount": 1}
    devices = [{"name": "d0", "taints": list(taints)}, {"name": "d1"}]
    return named("s", driver="d.example", pool=pool, allNodes=True, devices=devices)


@served
async def test_taints_say_since_when(api: Served) -> None:
    old = {**TAINT, "timeAdded": "2020-01-01T00:00:00Z"}
    made = (await api.post(SLICES, slice_of(TAINT, old))).ok()
    taints = made["spec"]["devices"][0]["taints"]
    assert taints[0]["timeAdded"] == made["metadata"]["creationTimestamp"]
    assert taints[1] == old
    assert "taints" not in made["spec"]["devices"][1]


@served
async def test_a_rules_taint_is_as_old_as_its_effect(api: Served) -> None:
    made = (await api.post(RULES, named("t", taint=TAINT))).ok()
    begun = made["spec"]["taint"]["timeAdded"]
    assert begun == made["metadata"]["creationTimestamp"]
    await api.world.sleep(60)
    value = {"spec": {"taint": {"value": "v"}}}
    kept = (await api.patch(f"{RULES}/t", value, MERGE)).ok()
    assert kept["spec"]["taint"]["timeAdded"] == begun
    effect = {"spec": {"taint": {"effect": "NoExecute"}}}
    moved = (await api.patch(f"{RULES}/t", effect, MERGE)).ok()
    assert moved["spec"]["taint"]["timeAdded"] > begun
    assert moved["metadata"]["generation"] == 3
    chosen = {"spec": {"taint": {"effect": "None", "timeAdded": "2020-01-01T00:00:00Z"}}}
    told = (await api.patch(f"{RULES}/t", chosen, MERGE)).ok()
    assert told["spec"]["taint"]["timeAdded"] == "2020-01-01T00:00:00Z"


@served
async def test_selectors_are_compiled_where_they_are_written(api: Served) -> None:
    good = 'device.attributes["d.example"].memory.compareTo(quantity("1Gi")) >= 0'
    (await api.post(CLASSES, named("good", **cel(good)))).ok()
    bad = await api.post(CLASSES, named("bad", **cel("device.nothing")))
    assert bad.code == 422
    cause = bad.document["details"]["causes"][0]
    assert cause["field"] == "spec.selectors[0].cel.expression"
    assert "compilation failed: ERROR: <input>:1:7: undefined field 'nothing'" in cause["message"]
    text = await api.post(CLASSES, named("text", **cel("device.driver")))
    assert "must evaluate to bool or the unknown type, not string" in text.message
    dear = (
        "device.attributes.all(a, device.attributes.all(b, device.attributes.all(c, a.matches(b))))"
    )
    dear = f"device.attributes.all(d, {dear})"
    costly = await api.post(CLASSES, named("dear", **cel(dear)))
    assert "Forbidden: too complex, exceeds cost limit" in costly.message
    changed = await api.patch(f"{CLASSES}/good", {"spec": cel("1")}, MERGE)
    assert "must evaluate to bool or the unknown type, not int" in changed.message
    long = await api.post(CLASSES, named("long", **cel("true || " * 2000 + "true")))
    assert "Too long: may not be more than 10240 bytes" in long.message


@served
async def test_selectors_of_claims_and_templates_are_compiled_too(api: Served) -> None:
    for path, prefix, wrap in ((CLAIMS, "spec", False), (TEMPLATES, "spec.spec", True)):
        document = claim(**cel("?"))
        alternative = {"name": "a", "deviceClassName": "gpu", **cel("1")}
        other = {"name": "q", "firstAvailable": [alternative]}
        document["spec"]["devices"]["requests"].append(other)
        if wrap:
            document["spec"] = {"spec": document["spec"]}
        refused = await api.post(path, document)
        assert [cause["field"] for cause in refused.document["details"]["causes"]] == [
            f"{prefix}.devices.requests[0].exactly.selectors[0].cel.expression",
            f"{prefix}.devices.requests[1].firstAvailable[0].selectors[0].cel.expression",
        ]


@served
async def test_admin_access_is_for_namespaces_with_the_label(api: Served) -> None:
    refused = await api.post(CLAIMS, claim(adminAccess=True))
    assert refused.code == 422
    assert (
        "spec.devices.requests[0].adminAccess: Forbidden: admin access to devices requires the "
        "`resource.kubernetes.io/admin-access: true` label on the containing namespace"
    ) in refused.message
    (await api.post(CLAIMS, claim("plain"))).ok()
    granted = {"status": {"allocation": {"devices": {"results": [result(adminAccess=True)]}}}}
    late = await api.patch(f"{CLAIMS}/plain/status", granted, MERGE)
    assert "status.allocation.devices.results[0].adminAccess: Forbidden: admin" in late.message
    label = {"metadata": {"labels": {"resource.kubernetes.io/admin-access": "true"}}}
    (await api.patch("/api/v1/namespaces/default", label, MERGE)).ok()
    (await api.post(CLAIMS, claim(adminAccess=True))).ok()
    (await api.patch(f"{CLAIMS}/plain/status", granted, MERGE)).ok()
    unlabelled = {"metadata": {"labels": {"resource.kubernetes.io/admin-access": None}}}
    (await api.patch("/api/v1/namespaces/default", unlabelled, MERGE)).ok()
    reserved = {"status": {"reservedFor": [{"resource": "pods", "name": "p", "uid": "u"}]}}
    (await api.patch(f"{CLAIMS}/plain/status", reserved, MERGE)).ok()


def result(**fields: Any) -> dict[str, Any]:
    names = {"request": "r", "driver": "d.example", "pool": "p", "device": "d0"}
    return {**names, **fields}


RBAC = "/apis/rbac.authorization.k8s.io/v1"
SUBJECT = {"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"}


async def allow(api: Served, name: str, resource: str, *verbs: str, of: str = "") -> None:
    rule = {"apiGroups": ["resource.k8s.io"], "resources": [resource], "verbs": list(verbs)}
    if of:
        rule["resourceNames"] = [of]
    role = {"metadata": {"name": name}, "rules": [rule]}
    (await api.post(f"{RBAC}/clusterroles", role)).ok()
    reference = {"kind": "ClusterRole", "name": name, "apiGroup": "rbac.authorization.k8s.io"}
    binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [SUBJECT]}
    (await api.post(f"{RBAC}/clusterrolebindings", binding)).ok()


@served
async def test_the_parts_of_a_status_have_their_own_permissions(api: Served) -> None:
    selector = {
        "nodeSelectorTerms": [
            {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}
        ]
    }
    allocation = {"devices": {"results": [result()]}, "nodeSelector": selector}
    bound = {"status": {"allocation": allocation}}
    told = {"status": {"devices": [{"driver": "d.example", "pool": "p", "device": "d0"}]}}
    user = User("u", ("system:authenticated",))
    here = User("u", user.groups, extra={"authentication.kubernetes.io/node-name": ("n",)})
    there = User("u", user.groups, extra={"authentication.kubernetes.io/node-name": ("m",)})
    (await api.post(CLAIMS, claim())).ok()
    path = f"{CLAIMS}/c/status"
    await allow(api, "status", "resourceclaims/status", "patch")

    refused = await api.patch(path, bound, MERGE, user=user)
    assert refused.code == 422
    assert 'requires the verb "patch" on resourceclaims/binding "c"' in refused.message
    await allow(api, "binding", "resourceclaims/binding", "patch")
    (await api.patch(path, bound, MERGE, user=user)).ok()

    node = "associated-node:patch"
    await allow(api, "driver", "resourceclaims/driver", node, of="d.example")
    for other in (user, there):
        refused = await api.patch(path, told, MERGE, user=other)
        assert 'requires the verb "arbitrary-node:patch"' in refused.message
    (await api.patch(path, told, MERGE, user=here)).ok()
    deallocated = {"status": {"allocation": None}}
    freed = (await api.patch(path, deallocated, MERGE, user=user)).ok()
    assert freed["status"] == {}
    both = {"status": {**bound["status"], **told["status"]}}
    (await api.patch(path, both, MERGE)).ok()
    gone = {"status": {"devices": None}}
    assert (await api.patch(path, gone, MERGE, user=there)).code == 422
    await allow(api, "any", "resourceclaims/driver", "arbitrary-node:patch")
    (await api.patch(path, gone, MERGE, user=there)).ok()
