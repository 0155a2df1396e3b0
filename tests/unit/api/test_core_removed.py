"""Objects in versions that 1.37 no longer serves: taken, converted, shown, warned of."""

from __future__ import annotations

from typing import Any

from served import APPLY, MERGE, TABLE, Served, served

NEW = "/apis/networking.k8s.io/v1/namespaces/default/ingresses"
OLD = "/apis/networking.k8s.io/v1beta1/namespaces/default/ingresses"
EXTENSIONS = "/apis/extensions/v1beta1/namespaces/default/ingresses"
WARNING = (
    '299 - "networking.k8s.io/v1beta1 Ingress is deprecated in v1.19+, unavailable in v1.22+; use '
    'networking.k8s.io/v1 Ingress"'
)


def ingress(group: str = "networking.k8s.io", **metadata: Any) -> dict[str, Any]:
    path = {"path": "/foo", "backend": {"serviceName": "service1", "servicePort": 4200}}
    return {
        "apiVersion": f"{group}/v1beta1",
        "kind": "Ingress",
        "metadata": {"name": "fanout", **metadata},
        "spec": {"rules": [{"host": "foo.bar.com", "http": {"paths": [path]}}]},
    }


@served
async def test_an_ingress_of_v1beta1_is_stored_and_read_in_every_version(api: Served) -> None:
    made = await api.post(OLD, ingress())
    assert made.headers["Warning"] == WARNING
    assert made.ok()["apiVersion"] == "networking.k8s.io/v1beta1"
    new = await api.get(f"{NEW}/fanout")
    assert "Warning" not in new.headers
    assert new.ok()["apiVersion"] == "networking.k8s.io/v1"
    assert new.ok()["spec"]["rules"][0]["http"]["paths"] == [
        {
            "path": "/foo",
            "pathType": "ImplementationSpecific",
            "backend": {"service": {"name": "service1", "port": {"number": 4200}}},
        }
    ]
    old = await api.get(f"{OLD}/fanout")
    assert old.headers["Warning"] == WARNING
    assert old.ok() == made.ok()
    other = (await api.get(f"{EXTENSIONS}/fanout")).ok()
    assert other["apiVersion"] == "extensions/v1beta1"
    assert other["spec"] == old.ok()["spec"]
    assert other["metadata"] == old.ok()["metadata"]


@served
async def test_lists_watches_and_tables_of_an_old_version_are_in_it(api: Served) -> None:
    (await api.post(EXTENSIONS, ingress("extensions"))).ok()
    watched = await api.watch(OLD, resourceVersion="0")
    event = await watched.next()
    assert event["object"]["apiVersion"] == "networking.k8s.io/v1beta1"
    assert event["object"]["spec"]["rules"][0]["http"]["paths"][0]["backend"] == {
        "serviceName": "service1",
        "servicePort": 4200,
    }
    watched.close()
    listed = (await api.get(EXTENSIONS)).ok()
    assert (listed["kind"], listed["apiVersion"]) == ("IngressList", "extensions/v1beta1")
    assert listed["items"][0]["spec"] == event["object"]["spec"]
    rows = (await api.get(OLD, accept=TABLE)).ok()["rows"]
    assert [row["cells"][:3] for row in rows] == [["fanout", "<none>", "foo.bar.com"]]


@served
async def test_what_is_wrong_is_said_in_the_words_of_the_stored_version(api: Served) -> None:
    given = ingress()
    given["spec"]["rules"][0]["http"]["paths"][0]["backend"] = {"serviceName": "a"}
    given["spec"]["more"] = 1
    refused = await api.post(OLD, given)
    assert refused.code == 422
    assert refused.document["details"]["group"] == "networking.k8s.io"
    strict = await api.post(OLD, given, fieldValidation="Strict")
    assert strict.code == 400
    assert strict.message.endswith('strict decoding error: unknown field "spec.more"')


@served
async def test_an_old_version_is_patched_applied_replaced_and_deleted(api: Served) -> None:
    applied = await api.patch(f"{OLD}/fanout", ingress(), APPLY, fieldManager="me")
    assert applied.code == 201
    backend = {"serviceName": "other", "servicePort": "web"}
    merged = await api.patch(f"{OLD}/fanout", {"spec": {"backend": backend}}, agent="kubectl")
    assert merged.ok()["spec"]["backend"] == backend
    new = (await api.get(f"{NEW}/fanout")).ok()
    assert new["spec"]["defaultBackend"] == {"service": {"name": "other", "port": {"name": "web"}}}
    owned = {it["manager"]: it["fieldsV1"] for it in new["metadata"]["managedFields"]}
    service = {".": {}, "f:serviceName": {}, "f:servicePort": {}}
    assert owned["kubectl"]["f:spec"] == {"f:backend": service}
    replaced = (await api.put(f"{EXTENSIONS}/fanout", ingress("extensions"))).ok()
    assert "backend" not in replaced["spec"]
    assert replaced["metadata"]["generation"] == 3
    (await api.delete(f"{OLD}/fanout")).ok()
    assert (await api.get(f"{NEW}/fanout")).code == 404


@served
async def test_discovery_prefers_what_is_there_and_tells_extensions_last(api: Served) -> None:
    group = (await api.get("/apis/networking.k8s.io")).ok()
    assert group["preferredVersion"]["version"] == "v1"
    assert [it["version"] for it in group["versions"]] == ["v1", "v1beta1"]
    groups = [it["name"] for it in (await api.get("/apis")).ok()["groups"]]
    assert groups.index("extensions") > groups.index("storagemigration.k8s.io")
    found = (await api.get("/apis/extensions/v1beta1")).ok()["resources"]
    assert {"deployments", "ingresses", "ingresses/status"} <= {it["name"] for it in found}
    assert not any({"shortNames", "categories"} & set(one) for one in found)


@served
async def test_openapi_describes_removed_versions(api: Served) -> None:
    document = (await api.get("/openapi/v3/apis/networking.k8s.io/v1beta1")).ok()
    backend = document["components"]["schemas"]["io.k8s.api.networking.v1beta1.IngressBackend"]
    assert backend["properties"]["serviceName"]["description"]
    assert OLD.replace("default", "{namespace}") in document["paths"]
    whole = (await api.get("/openapi/v2")).ok()
    assert "io.k8s.api.extensions.v1beta1.Ingress" in whole["definitions"]


@served
async def test_protobuf_is_not_offered_for_a_removed_version(api: Served) -> None:
    (await api.post(OLD, ingress())).ok()
    binary = "application/vnd.kubernetes.protobuf"
    shown = await api.get(f"{OLD}/fanout", accept=f"{binary},application/json")
    assert shown.ok()["kind"] == "Ingress"
    assert (await api.get(f"{OLD}/fanout", accept=binary)).code == 406


@served
async def test_quotas_and_default_classes_hold_for_old_versions_too(api: Served) -> None:
    quota = {
        "metadata": {"name": "q"},
        "spec": {"hard": {"count/ingresses.networking.k8s.io": "1"}},
    }
    (await api.post("/api/v1/namespaces/default/resourcequotas", quota)).ok()
    annotation = {"ingressclass.kubernetes.io/is-default-class": "true"}
    classed = {
        "metadata": {"name": "mine", "annotations": annotation},
        "spec": {"controller": "example.com/ingress"},
    }
    (await api.post("/apis/networking.k8s.io/v1/ingressclasses", classed)).ok()
    made = (await api.post(EXTENSIONS, ingress("extensions"))).ok()
    assert made["spec"]["ingressClassName"] == "mine"
    refused = await api.post(EXTENSIONS, ingress("extensions", name="second"))
    assert refused.code == 403
    assert "exceeded quota: q" in refused.message


@served
async def test_a_policy_about_the_new_version_holds_for_the_old_ones(api: Served) -> None:
    rule = {
        "apiGroups": ["networking.k8s.io"],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["ingresses"],
    }
    seen = "object.spec.rules[0].http.paths[0].backend.service.name != 'service1'"
    policy = {
        "metadata": {"name": "p"},
        "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": seen, "message": "not that one"}],
        },
    }
    root = "/apis/admissionregistration.k8s.io/v1"
    (await api.post(f"{root}/validatingadmissionpolicies", policy)).ok()
    binding = {
        "metadata": {"name": "b"},
        "spec": {"policyName": "p", "validationActions": ["Deny"]},
    }
    (await api.post(f"{root}/validatingadmissionpolicybindings", binding)).ok()
    for path, group in ((OLD, "networking.k8s.io"), (EXTENSIONS, "extensions")):
        refused = await api.post(path, ingress(group))
        assert refused.code == 422, refused.document
        assert "not that one" in refused.message


@served
async def test_a_version_that_differs_in_its_name_alone_loses_no_field_that_came_after(
    api: Served,
) -> None:
    path = "/apis/autoscaling/{}/namespaces/default/horizontalpodautoscalers"
    target = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
    behavior = {"scaleUp": {"tolerance": "50m"}}
    spec = {"maxReplicas": 2, "scaleTargetRef": target, "behavior": behavior}
    made = await api.post(path.format("v2"), {"metadata": {"name": "h"}, "spec": spec})
    assert made.ok()["spec"]["behavior"]["scaleUp"]["tolerance"] == "50m"
    old = f"{path.format('v2beta2')}/h"
    applied = {
        "apiVersion": "autoscaling/v2beta2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h"},
        "spec": {"maxReplicas": 3, "scaleTargetRef": target},
    }
    strict = {"fieldValidation": "Strict"}
    (await api.patch(old, applied, APPLY, fieldManager="me", force="true", **strict)).ok()
    (await api.patch(old, {"spec": {"minReplicas": 2}}, **strict)).ok()
    (await api.put(old, (await api.get(old)).ok(), **strict)).ok()
    found = (await api.get(f"{path.format('v2')}/h")).ok()["spec"]
    assert found["behavior"]["scaleUp"]["tolerance"] == "50m"
    assert (found["minReplicas"], found["maxReplicas"]) == (2, 3)


@served
async def test_the_rules_of_a_definition_are_checked_in_every_version(api: Served) -> None:
    rule = {"rule": "self.nothing == 1"}
    schema = {"type": "object", "x-kubernetes-validations": [rule]}
    names = {"plural": "widgets", "kind": "Widget"}
    version = {"name": "v1", "served": True, "storage": True}
    spec = {"group": "example.com", "scope": "Cluster", "names": names, "versions": [version]}
    version["schema"] = {"openAPIV3Schema": schema}
    document = {"metadata": {"name": "widgets.example.com"}, "spec": spec}
    refused = await api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", document)
    assert refused.code == 422
    assert "undefined field 'nothing'" in refused.message


@served
async def test_fields_are_owned_by_the_names_of_the_version_they_were_written_in(
    api: Served,
) -> None:
    (await api.post(OLD, ingress(), fieldManager="maker")).ok()
    old = {"spec": {"backend": {"serviceName": "a", "servicePort": 1}}}
    (await api.patch(f"{OLD}/fanout", old, MERGE, fieldManager="changer")).ok()
    owned = await owners(api)
    backend = {".": {}, "f:serviceName": {}, "f:servicePort": {}}
    assert owned["changer"] == ("networking.k8s.io/v1beta1", {"f:spec": {"f:backend": backend}})

    wanted = {**ingress(), "spec": {"backend": {"serviceName": "a", "servicePort": 2}}}
    refused = await api.patch(f"{OLD}/fanout", wanted, APPLY, fieldManager="applier")
    assert (refused.code, refused.document["details"]["causes"][0]["field"]) == (
        409,
        ".spec.backend.servicePort",
    )

    new = {"spec": {"defaultBackend": {"service": {"name": "b"}}}}
    (await api.patch(f"{NEW}/fanout", new, MERGE, fieldManager="newer")).ok()
    owned = await owners(api)
    backend = {".": {}, "f:servicePort": {}}
    assert owned["changer"] == ("networking.k8s.io/v1beta1", {"f:spec": {"f:backend": backend}})
    name = {"f:defaultBackend": {"f:service": {"f:name": {}}}}
    assert owned["newer"] == ("networking.k8s.io/v1", {"f:spec": name})
    # also where others wrote in the version of the write
    port = {"spec": {"defaultBackend": {"service": {"port": {"number": 3}}}}}
    (await api.patch(f"{NEW}/fanout", port, MERGE, fieldManager="newest")).ok()
    owned = await owners(api)
    left = {"f:spec": {"f:backend": {}}}
    assert owned["changer"] == ("networking.k8s.io/v1beta1", left)


async def owners(api: Served) -> dict[str, tuple[str, dict[str, Any]]]:
    """Returns what each manager owns, and in which version."""
    entries = (await api.get(f"{NEW}/fanout")).ok()["metadata"]["managedFields"]
    return {entry["manager"]: (entry["apiVersion"], entry["fieldsV1"]) for entry in entries}
