"""Custom resources served: from a definition to objects, and back to nothing."""

from __future__ import annotations

from typing import Any

import orjson

from customs import CRDS, WIDGETS, definition, establish, gone, version, widget
from served import (
    APPLY,
    JSON_PATCH,
    MAPS,
    NAMESPACES,
    STRATEGIC,
    TABLE,
    Served,
    config_map,
    served,
    serving,
)
from steersman.store.memory import MemoryStore
from steersman.world.simulated import SimulatedWorld, simulate

WIDGET = f"{WIDGETS}/one"
DEFINITION = f"{CRDS}/widgets.example.com"
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def causes(answer: Any) -> list[str]:
    return [f"{one['field']}: {one['message']}" for one in answer.document["details"]["causes"]]


@served
async def test_a_definition_is_established_and_its_resource_served(api: Served) -> None:
    found = await establish(api, definition())
    said = [(one["type"], one["status"], one["reason"]) for one in found["status"]["conditions"]]
    assert said == [
        ("NamesAccepted", "True", "NoConflicts"),
        ("Established", "True", "InitialNamesAccepted"),
    ]
    made = (await api.post(WIDGETS, widget("one", size=3))).ok()
    assert made["spec"] == {"size": 3, "colour": "red"}
    assert made["metadata"]["generation"] == 1
    listed = await api.get(WIDGETS)
    assert (listed.names, listed.document["kind"]) == (["one"], "WidgetList")


@served
async def test_names_that_others_have_are_not_accepted_until_they_are_free(api: Served) -> None:
    await establish(api, definition(shortNames=["wd"]))
    late = definition(kind="Gadget", shortNames=["wd"])
    watch = await api.watch(CRDS, fieldSelector="metadata.name=gadgets.example.com")
    (await api.post(CRDS, late)).ok()
    await watch.next()
    conditions = (await watch.next())["object"]["status"]["conditions"]
    assert [(one["type"], one["reason"], one["message"]) for one in conditions] == [
        ("NamesAccepted", "ShortNamesConflict", '"wd" is already in use'),
        ("Established", "NotAccepted", "not all names are accepted"),
    ]
    gadgets = WIDGETS.replace("widgets", "gadgets")
    assert (await api.get(gadgets)).code == 404
    await api.delete(DEFINITION)
    conditions = (await watch.next())["object"]["status"]["conditions"]
    assert [one["status"] for one in conditions] == ["True", "True"]
    assert (await api.get(gadgets)).code == 200


@served
async def test_unknown_fields_are_pruned_and_told_of(api: Served) -> None:
    await establish(api, definition())
    odd = widget("one", odd=1, free={"kept": [1]})
    strict = await api.post(WIDGETS, odd, fieldValidation="Strict")
    assert strict.message == (
        'Widget in version "v1" cannot be handled as a Widget: strict decoding error: unknown '
        'field "spec.odd"'
    )
    warned = await api.post(WIDGETS, odd)
    assert warned.headers["Warning"] == '299 - "unknown field \\"spec.odd\\""'
    assert warned.ok()["spec"] == {"size": 1, "free": {"kept": [1]}, "colour": "red"}
    silent = await api.put(WIDGET, {**warned.document, "odd": 1}, fieldValidation="Ignore")
    assert "Warning" not in silent.headers and "odd" not in silent.ok()


@served
async def test_an_object_is_validated_in_upstreams_words(api: Served) -> None:
    await establish(api, definition())
    parts = [{"name": "a"}, {"name": "a"}]
    bad = await api.post(WIDGETS, widget("one", size=11, port=True, parts=parts, tags=["x", "x"]))
    assert bad.code == 422
    assert causes(bad) == [
        "spec.size: Invalid value: 11: spec.size in body should be less than or equal to 10",
        'spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: '
        '"boolean"',
        'spec.parts[1]: Duplicate value: {"name":"a"}',
        'spec.tags[1]: Duplicate value: "x"',
    ]
    other = {**widget("one"), "kind": "Gadget"}
    assert causes(await api.post(WIDGETS, other)) == [
        'kind: Invalid value: "Gadget": must be Widget'
    ]
    late = await api.post(WIDGETS, widget("one", api="v9"))
    assert late.message == (
        "the API version in the data (example.com/v9) does not match the expected API version "
        "(example.com/v1)"
    )
    nameless = {name: value for name, value in widget("one").items() if name != "kind"}
    assert "Object 'Kind' is missing in '{" in (await api.post(WIDGETS, nameless)).message
    labels = {**widget("one"), "metadata": {"name": "one", "labels": {"a": 1}}}
    assert (await api.post(WIDGETS, labels)).message.endswith(
        "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string"
    )


@served
async def test_what_was_wrong_before_does_not_stop_other_changes(api: Served) -> None:
    await establish(api, definition())
    (await api.post(WIDGETS, widget("one", size=9, label="abc"))).ok()
    tight = (await api.get(DEFINITION)).document
    schema = tight["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["size"]["maximum"] = 5
    (await api.put(DEFINITION, tight)).ok()
    assert (await api.patch(WIDGET, {"spec": {"label": "b"}})).ok()["spec"]["label"] == "b"
    assert (await api.patch(WIDGET, {"spec": {"size": 8}})).code == 422


@served
async def test_patches_of_three_kinds_are_served_and_strategic_merge_is_not(api: Served) -> None:
    await establish(api, definition())
    (await api.post(WIDGETS, widget("one", parts=[{"name": "a", "count": 1}]))).ok()
    assert (await api.patch(WIDGET, {"spec": {"size": 2}})).ok()["metadata"]["generation"] == 2
    replace = [{"op": "replace", "path": "/spec/size", "value": 3}]
    assert (await api.patch(WIDGET, replace, JSON_PATCH)).ok()["spec"]["size"] == 3
    refused = await api.patch(WIDGET, {"spec": {"size": 4}}, STRATEGIC)
    assert (refused.code, refused.message) == (
        415,
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
    )
    applied = widget("one", size=3, parts=[{"name": "b", "count": 2}])
    found = (await api.patch(WIDGET, applied, APPLY, fieldManager="me")).ok()
    assert [part["name"] for part in found["spec"]["parts"]] == ["a", "b"]
    clash = await api.patch(WIDGET, widget("one", size=9), APPLY, fieldManager="me")
    assert clash.code == 409 and clash.message.endswith(".spec.size")


@served
async def test_status_and_scale_have_paths_of_their_own(api: Served) -> None:
    await establish(api, definition())
    made = {**widget("one", size=3), "status": {"phase": "Up"}}
    assert "status" not in (await api.post(WIDGETS, made)).ok()
    change = {"status": {"replicas": 2}, "spec": {"size": 9}, "metadata": {"labels": {"a": "b"}}}
    found = (await api.patch(f"{WIDGET}/status", change)).ok()
    assert (found["status"], found["spec"]["size"]) == ({"replicas": 2}, 3)
    assert found["metadata"]["generation"] == 1 and "labels" not in found["metadata"]
    bad = await api.patch(f"{WIDGET}/status", {"status": {"phase": 1}})
    assert causes(bad) == [
        'status.phase: Invalid value: "integer": phase in body must be of type string: "integer"'
    ]
    scale = (await api.get(f"{WIDGET}/scale")).ok()
    assert (scale["spec"], scale["status"]) == ({"replicas": 3}, {"replicas": 2})
    scaled = (await api.put(f"{WIDGET}/scale", {**scale, "spec": {"replicas": 4}})).ok()
    assert scaled["spec"] == {"replicas": 4}
    patched = (await api.patch(f"{WIDGET}/scale", {"spec": {"replicas": 5}})).ok()
    assert patched["spec"] == {"replicas": 5}
    found = (await api.get(WIDGET)).ok()
    assert (found["spec"]["size"], found["metadata"]["generation"]) == (5, 3)
    assert (await api.get(f"{WIDGET}/nothing")).code == 404


@served
async def test_columns_and_selectors_read_objects_by_json_paths(api: Served) -> None:
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1},
        {"name": "Free", "type": "string", "jsonPath": ".spec.free"},
        {"name": "First", "type": "string", "jsonPath": ".spec.parts[0].name"},
        {"name": "Made", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        {"name": "None", "type": "number", "jsonPath": ".spec.absent"},
    ]
    fields = [{"jsonPath": ".spec.colour"}]
    await establish(
        api, definition(version(additionalPrinterColumns=columns, selectableFields=fields))
    )
    more = {"free": {"b": 1, "a": [True]}, "parts": [{"name": "p"}]}
    (await api.post(WIDGETS, widget("one", colour="green", **more))).ok()
    (await api.post(WIDGETS, widget("two"))).ok()
    table = (await api.get(WIDGETS, accept=TABLE)).ok()
    assert [row["cells"] for row in table["rows"]] == [
        ["one", 1, '{"b":1,"a":[true]}', "p", "0s", None],
        ["two", 1, None, None, "0s", None],
    ]
    told = [(one["name"], one["type"], one["priority"]) for one in table["columnDefinitions"]]
    assert told[:2] == [("Name", "string", 0), ("Size", "integer", 1)]
    assert table["columnDefinitions"][1]["description"] == (
        "Custom resource definition column (in JSONPath format): .spec.size"
    )
    assert (await api.get(WIDGETS, fieldSelector="spec.colour=green")).names == ["one"]
    assert (await api.get(WIDGETS, fieldSelector="spec.colour=red")).names == ["two"]
    other = await api.get(WIDGETS, fieldSelector="spec.size=1")
    assert (other.code, other.message) == (400, "field label not supported: spec.size")


@served
async def test_defaults_that_come_later_are_seen_in_what_is_stored(api: Served) -> None:
    await establish(api, definition())
    (await api.post(WIDGETS, widget("one", label="abc"))).ok()
    watch = await api.watch(WIDGETS)
    await watch.next()
    changed = (await api.get(DEFINITION)).document
    schema = changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    fields = schema["properties"]["spec"]["properties"]
    fields["more"] = {"type": "integer", "default": 7}
    del fields["label"]
    (await api.put(DEFINITION, changed)).ok()
    await watch.end()
    found = (await api.get(WIDGET)).ok()["spec"]
    assert found == {"size": 1, "colour": "red", "more": 7}
    assert (await api.get(WIDGETS)).document["items"][0]["spec"] == found
    assert (await api.get(WIDGETS, resourceVersion="0")).document["items"][0]["spec"] == found


@served
async def test_what_defaults_or_time_make_larger_than_a_store_takes_is_refused(api: Served) -> None:
    made = definition()
    fields = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    many = {"type": "object", "properties": {"a": {"type": "string", "default": "x" * 1000}}}
    added = {**fields["properties"], "many": {"type": "array", "items": many}}
    made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"] = {
        **fields,
        "properties": added,
    }
    await establish(api, made)
    refused = await api.post(WIDGETS, widget("large", many=[{}] * 1600))
    assert (refused.code, refused.message) == (500, "etcdserver: request is too large")
    assert "reason" not in refused.document
    assert (await api.get(f"{WIDGETS}/large")).code == 404
    (await api.post(WIDGETS, widget("one", many=[{}] * 1400))).ok()
    change = {"spec": {"free": {"a": "x" * 300_000}}}
    grown = await api.patch(WIDGET, change, "application/merge-patch+json")
    assert (grown.code, grown.message) == (500, "etcdserver: request is too large")
    assert "free" not in (await api.get(WIDGET)).document["spec"]
    for size, code in ((2_000_000, 201), (3_200_000, 500)):  # shorter in Protocol Buffers
        environment = [{"name": "A", "value": "x" * size}]
        containers = [{"name": "a", "image": "i", "env": environment}]
        made = {"metadata": {"name": "long"}, "template": {"spec": {"containers": containers}}}
        answer = await api.post("/api/v1/namespaces/default/podtemplates", made)
        assert answer.code == code
        await api.delete("/api/v1/namespaces/default/podtemplates/long")


@served
async def test_versions_differ_in_their_schema_and_share_their_objects(api: Served) -> None:
    narrow = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {"size": {"type": "integer"}, "extra": {"type": "string"}},
            }
        },
    }
    old = version("v1alpha1", storage=False, schema={"openAPIV3Schema": narrow}, subresources={})
    await establish(api, definition(version(), old))
    early = WIDGETS.replace("/v1/", "/v1alpha1/")
    body = widget("one", api="v1alpha1", extra="gone")
    made = (await api.post(early, body)).ok()
    assert (made["apiVersion"], made["spec"]) == ("example.com/v1alpha1", {"size": 1})
    found = (await api.get(WIDGET)).ok()
    assert (found["apiVersion"], found["spec"]) == ("example.com/v1", {"size": 1, "colour": "red"})
    assert (await api.get(early)).document["items"][0]["spec"] == {"size": 1}
    watch = await api.watch(early)
    assert (await watch.next())["object"]["apiVersion"] == "example.com/v1alpha1"
    group = (await api.get("/apis/example.com")).ok()
    assert [one["version"] for one in group["versions"]] == ["v1", "v1alpha1"]


@served
async def test_the_storage_version_may_change_under_stored_objects(api: Served) -> None:
    await establish(api, definition(version(), version("v2", storage=False)))
    (await api.post(WIDGETS, widget("one"))).ok()
    changed = (await api.get(DEFINITION)).document
    for one in changed["spec"]["versions"]:
        one["storage"] = one["name"] == "v2"
    stored = (await api.put(DEFINITION, changed)).ok()["status"]["storedVersions"]
    assert stored == ["v1", "v2"]
    later = WIDGETS.replace("/v1/", "/v2/")
    for path, name in ((WIDGETS, "v1"), (later, "v2")):
        found = (await api.get(f"{path}/one")).ok()
        assert (found["apiVersion"], found["spec"]["size"]) == (f"example.com/{name}", 1)
    (await api.patch(WIDGET, {"spec": {"size": 2}})).ok()
    table = api.assembly.definitions.table
    assert len(table) == 1
    (entry,) = api.assembly.cache.table(("example.com", "widgets")).ordered()  # type: ignore[arg-type]
    assert orjson.loads(entry.value)["apiVersion"] == "example.com/v2"


@served
async def test_discovery_and_documents_follow_definitions(api: Served) -> None:
    assert (await api.get("/apis/example.com")).code == 404
    made = definition(shortNames=["wd"], categories=["all"])
    await establish(api, made)
    (widgets, scale, status) = (await api.get("/apis/example.com/v1")).ok()["resources"]
    assert (widgets["shortNames"], widgets["categories"]) == (["wd"], ["all"])
    assert (scale["name"], scale["group"], status["name"]) == (
        "widgets/scale",
        "autoscaling",
        "widgets/status",
    )
    listed = orjson.loads((await api.get("/apis", accept=AGGREGATED)).document)["items"]
    assert "example.com" in [one["metadata"]["name"] for one in listed]
    shown = (await api.get("/openapi/v3/apis/example.com/v1")).ok()["components"]["schemas"]
    spec = shown["com.example.v1.Widget"]["properties"]["spec"]["properties"]
    assert spec["port"]["anyOf"] == [{"type": "integer"}, {"type": "string"}]
    assert shown["com.example.v1.WidgetList"]["required"] == ["items"]
    old = (await api.get("/openapi/v2")).ok()["definitions"]["com.example.v1.Widget"]
    assert "type" not in old["properties"]["spec"]["properties"]["free"]
    await api.delete(DEFINITION)
    await gone(api, DEFINITION)
    assert (await api.get("/apis/example.com")).code == 404
    assert (await api.get("/openapi/v3/apis/example.com/v1")).code == 404


@served
async def test_a_definition_goes_after_its_objects(api: Served) -> None:
    await establish(api, definition())
    held = widget("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    for one in (widget("one"), held):
        (await api.post(WIDGETS, one)).ok()
    watch = await api.watch(WIDGETS)
    going = (await api.delete(DEFINITION)).ok()
    assert going["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    assert going["metadata"]["deletionTimestamp"] and going["metadata"]["generation"] == 1
    assert going["status"]["conditions"][-1]["reason"] == "InstanceDeletionPending"
    late = await api.post(WIDGETS, widget("late"))
    assert (late.code, late.message) == (
        403,
        'widgets.example.com "late" is forbidden: create not allowed while custom resource '
        "definition is terminating",
    )
    await api.world.sleep(1)
    assert (await api.get(WIDGETS)).names == ["held"]
    found = (await api.get(DEFINITION)).ok()["status"]["conditions"][-1]
    assert (found["type"], found["reason"]) == ("Terminating", "InstanceDeletionInProgress")
    (await api.patch(f"{WIDGETS}/held", {"metadata": {"finalizers": None}})).ok()
    await gone(api, DEFINITION)
    await watch.end()
    assert (await api.get(WIDGETS)).code == 404
    await establish(api, definition())
    assert (await api.get(WIDGETS)).names == []


@served
async def test_a_cluster_scoped_resource_has_no_namespaces(api: Served) -> None:
    await establish(api, definition(scope="Cluster"))
    path = "/apis/example.com/v1/widgets"
    (await api.post(path, widget("one"))).ok()
    assert (await api.get(f"{path}/one")).code == 200
    assert (await api.get(WIDGETS)).code == 404
    assert (await api.get(path, fieldSelector="metadata.name=one")).names == ["one"]


@served
async def test_an_update_names_its_revision_and_a_dry_run_stores_nothing(api: Served) -> None:
    await establish(api, definition())
    for size in (1, 2):  # the second answer is not the first one's
        dry = (await api.post(WIDGETS, widget("one", size=size), dryRun="All")).ok()
        assert dry["spec"]["size"] == size
    assert (await api.get(WIDGET)).code == 404
    (await api.post(WIDGETS, widget("one"))).ok()
    assert causes(await api.put(WIDGET, widget("one", size=2))) == [
        "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    ]


@served
async def test_finalizers_without_a_domain_are_remarked_on(api: Served) -> None:
    await establish(api, definition())
    body = widget("one")
    body["metadata"]["finalizers"] = ["hold", "example.com/hold"]
    answer = await api.post(WIDGETS, body)
    assert answer.headers["Warning"] == (
        '299 - "metadata.finalizers: \\"hold\\": prefer a domain-qualified finalizer name to avoid '
        'accidental conflicts with other finalizer writers"'
    )


@served
async def test_whoever_uses_a_deprecated_version_is_told(api: Served) -> None:
    old = version("v1beta1", storage=False, deprecated=True)
    told = version("v1beta2", storage=False, deprecated=True, deprecationWarning="use v1")
    await establish(api, definition(version(), old, told))
    early = WIDGETS.replace("/v1/", "/v1beta1/")
    answer = await api.post(early, widget("one", api="v1beta1", odd=1))
    assert answer.headers["Warning"] == (
        '299 - "example.com/v1beta1 Widget is deprecated", 299 - "unknown field \\"spec.odd\\""'
    )
    answer = await api.get(early.replace("v1beta1", "v1beta2"))
    assert answer.headers["Warning"] == '299 - "use v1"'
    assert "Warning" not in (await api.get(WIDGETS)).headers


@served
async def test_documents_of_other_groups_are_kept_when_definitions_change(api: Served) -> None:
    index = (await api.get("/openapi/v3")).ok()["paths"]
    await establish(api, definition())
    later = (await api.get("/openapi/v3")).ok()["paths"]
    assert {path for path in later if later[path] != index.get(path)} == {"apis/example.com/v1"}
    before = (await api.get("/openapi/v3/apis/example.com/v1")).headers["etag"]
    changed = (await api.get(DEFINITION)).document
    changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = "New."
    (await api.put(DEFINITION, changed)).ok()
    shown = await api.get("/openapi/v3/apis/example.com/v1")
    assert shown.headers["etag"] != before
    assert shown.ok()["components"]["schemas"]["com.example.v1.Widget"]["description"] == "New."


@served
async def test_embedded_objects_are_pruned_and_checked_as_objects(api: Served) -> None:
    inner = {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "x-kubernetes-preserve-unknown-fields": True,
    }
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"of": inner}}},
    }
    await establish(api, definition(version(schema={"openAPIV3Schema": schema}, subresources={})))
    held = {**config_map("x", a="b"), "metadata": {"name": "x", "odd": 1}}
    answer = await api.post(WIDGETS, {**widget("one"), "spec": {"of": held}})
    assert answer.ok()["spec"]["of"] == config_map("x", a="b")
    assert '\\"spec.of.metadata.odd\\"' in answer.headers["Warning"]
    bad = await api.post(WIDGETS, {**widget("two"), "spec": {"of": {"kind": "X"}}})
    assert causes(bad) == ["spec.of.apiVersion: Required value"]
    bad = await api.post(
        WIDGETS, {**widget("two"), "spec": {"of": {**held, "metadata": {"labels": 1}}}}
    )
    assert bad.code == 400 and bad.message.startswith("Widget in version")


def test_custom_resources_outlive_their_server() -> None:
    async def main(world: SimulatedWorld) -> None:
        store = MemoryStore(world)
        async with serving(world, store) as api:
            await establish(api, definition())
            (await api.post(WIDGETS, widget("one"))).ok()
        async with serving(world, store) as api:
            assert (await api.get(WIDGETS)).names == ["one"]
            (await api.post(WIDGETS, widget("two"))).ok()
            (await api.delete(DEFINITION)).ok()
        async with serving(world, store) as api:
            await gone(api, DEFINITION)
            assert (await api.get(WIDGETS)).code == 404

    simulate(1, main)
    assert MAPS.startswith(NAMESPACES)


def scaled_definition() -> Any:
    number = {"type": "integer"}
    fields = {"replicas": number, "note": {"type": "string"}}
    state = {"n": number, "s": {"type": "string"}}
    schema = {
        "type": "object",
        "properties": {
            "spec": {"type": "object", "properties": fields},
            "status": {"type": "object", "properties": state},
        },
    }
    scale = {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.n",
        "labelSelectorPath": ".status.s",
    }
    subresources = {"status": {}, "scale": scale}
    return definition(version(schema={"openAPIV3Schema": schema}, subresources=subresources))


@served
async def test_a_scale_without_replicas_is_none_until_they_are_set(api: Served) -> None:
    await establish(api, scaled_definition())
    made = {**widget("one"), "spec": {"note": "x"}}
    (await api.post(WIDGETS, made)).ok()
    missing = await api.get(f"{WIDGET}/scale")
    assert (missing.code, missing.message) == (
        500,
        'Internal error occurred: the spec replicas field ".spec.replicas" does not exist',
    )
    empty = await api.patch(f"{WIDGET}/scale", {"metadata": {"labels": {"a": "b"}}})
    assert (empty.code, empty.message) == (
        400,
        'the spec replicas field ".spec.replicas" cannot be empty',
    )
    scaled = (await api.patch(f"{WIDGET}/scale", {"spec": {"replicas": 3}})).ok()
    assert (scaled["spec"], scaled["status"]) == ({"replicas": 3}, {"replicas": 0})
    found = (await api.get(WIDGET)).ok()
    assert found["spec"] == {"note": "x", "replicas": 3}
    (await api.patch(f"{WIDGET}/status", {"status": {"n": 2, "s": "a=b"}})).ok()
    scale = (await api.get(f"{WIDGET}/scale")).ok()
    assert scale["status"] == {"replicas": 2, "selector": "a=b"}
    assert {"name", "namespace", "uid", "creationTimestamp"} <= set(scale["metadata"])
    scale["metadata"]["resourceVersion"] = "1"
    assert (await api.put(f"{WIDGET}/scale", scale)).code == 409
    down = {"metadata": {"name": "one"}, "spec": {"replicas": 0}}
    assert (await api.put(f"{WIDGET}/scale", down)).ok()["spec"] == {}
    negative = {**down, "spec": {"replicas": -1}}
    refused = await api.put(f"{WIDGET}/scale", negative)
    assert refused.code == 422
    assert (await api.get(WIDGET)).ok()["spec"]["replicas"] == 0
