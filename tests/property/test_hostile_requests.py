"""Whatever a client sends is answered by success or by the client's own mistake (4xx), and the
server goes on: requests, patches, schemas of custom resources."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from hostile import SCHEMAS, TEXTS, VALUES, WORDS, mutated, patches
from served import (
    DEPLOYMENTS,
    MAPS,
    METADATA,
    PODS,
    TABLE,
    Answer,
    Served,
    config_map,
    deployment,
    pod,
    prepare,
    serving,
)
from steersman.world.simulated import SimulatedWorld, simulate

EXAMPLES = settings(max_examples=25)
INGRESSES = "/apis/networking.k8s.io/v1beta1/namespaces/default/ingresses"
ROLES = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
AUTOSCALERS = "/apis/autoscaling/v2beta1/namespaces/default/horizontalpodautoscalers"
OLD_DEFINITIONS = "/apis/apiextensions.k8s.io/v1beta1/customresourcedefinitions"
SERVICES = "/api/v1/namespaces/default/services"
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
RANGES = "/api/v1/namespaces/default/limitranges"
BOUNDS = {name: {"cpu": "1"} for name in ("min", "max", "maxLimitRequestRatio")}
SELECTED = {"requirements": [{"key": "a", "operator": "In", "values": ["b"]}]}
NOTED = ("metrics", "current-metrics", "conditions", "behavior")
PATHS = (
    *("/api", "/apis", "/version", "/openapi/v3", "/healthz/ping", "/metrics"),
    *(PODS, MAPS, DEPLOYMENTS, INGRESSES, ROLES, DEFINITIONS, SERVICES, AUTOSCALERS, REVIEWS),
    *(f"{PODS}/p", f"{MAPS}/m", f"{DEPLOYMENTS}/d", f"{DEPLOYMENTS}/d/scale", f"{PODS}/p/status"),
    *(f"{PODS}/p/eviction", f"{PODS}/p/binding", f"{PODS}/p/log", "/api/v1/namespaces/default"),
    *("/api/v1/nodes", "/api/v1/componentstatuses", POLICIES, "/api/v1/watch/pods"),
)
SOUND = (
    (PODS, pod("p2")),
    (MAPS, config_map("m2", a="b")),
    (DEPLOYMENTS, deployment("d2")),
    (SERVICES, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}),
    (ROLES, {"metadata": {"name": "r"}, "rules": [{"verbs": ["get"], "resources": ["pods"]}]}),
    (INGRESSES, {"metadata": {"name": "i"}, "spec": {"backend": {"serviceName": "s"}}}),
    (AUTOSCALERS, {"metadata": {"name": "a"}, "spec": {"maxReplicas": 1, "metrics": [{}]}}),
    (POLICIES, {"metadata": {"name": "p"}, "spec": {"validations": [{"expression": "1 =="}]}}),
    (PODS, pod("p3", volumes=[{"name": "v", "projected": {"sources": [{"secret": {}}]}}])),
    (RANGES, {"metadata": {"name": "l"}, "spec": {"limits": [{"type": "Pod", **BOUNDS}]}}),
    (REVIEWS, {"spec": {"user": "u", "resourceAttributes": {"fieldSelector": SELECTED}}}),
)
QUERIES = st.dictionaries(
    st.sampled_from(
        (
            *("limit", "continue", "labelSelector", "fieldSelector", "resourceVersion", "dryRun"),
            *("resourceVersionMatch", "fieldValidation", "fieldManager", "force", "pretty"),
            *("timeoutSeconds", "propagationPolicy", "gracePeriodSeconds", "allowWatchBookmarks"),
        )
    ),
    st.one_of(
        TEXTS, st.integers(-2, 9).map(str), st.sampled_from(("a=b", "a in (", "All", "true"))
    ),
    max_size=3,
)
ACCEPTS = st.sampled_from(
    ("", "*/*", TABLE, METADATA, "application/yaml", "application/cbor", "a", ";;,", "text/html")
)
CONTENTS = st.sampled_from(
    ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "x", "")
)
BODIES = st.one_of(VALUES.map(lambda value: _bytes(value)), st.binary(max_size=40))


def _bytes(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except (TypeError, orjson.JSONEncodeError):  # an integer or a text that JSON here cannot hold
        return b'{"a": 123456789012345678901234567890}'


def served(test: Callable[[Served], Coroutine[Any, Any, None]]) -> None:
    """Runs a test on a server with some objects, which must serve them at the end as well."""

    async def main(world: SimulatedWorld) -> None:
        async with serving(world) as api:
            await prepare(api)
            for path, document in ((PODS, pod("p")), (MAPS, config_map("m"))):
                (await api.post(path, document)).ok()
            (await api.post(DEPLOYMENTS, deployment("d"))).ok()
            await test(api)
            kept = (await api.post(MAPS, config_map("afterwards"))).ok()
            assert kept["metadata"]["name"] == "afterwards"

    simulate(1, main)


def sound(answer: Answer, *what: Any) -> None:
    """Says that an answer is a success, or blames the client: with 4xx, or with one of the plain
    errors that upstream answers with 500 and no reason (a patch that cannot be merged)."""
    code, told = answer.code, answer.document if isinstance(answer.document, dict) else {}
    blames = 400 <= code < 500 or (code == 500 and not told.get("reason"))
    assert 200 <= code < 300 or blames, (code, told.get("message"), *what)


METHODS = st.sampled_from(("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "X"))
KNOWN = st.sampled_from(PATHS)
BELOW = st.sampled_from(("/", "//", "/x", "/..", "/status/x"))
PARTS = st.sampled_from(("api", "apis", "v1", "", "..", "namespaces", *WORDS))
PLACES = st.one_of(
    KNOWN,
    st.tuples(KNOWN, BELOW).map("".join),
    st.lists(PARTS, max_size=6).map(lambda parts: "/" + "/".join(parts)),
)
REQUESTS = st.tuples(METHODS, PLACES, BODIES, CONTENTS, ACCEPTS, QUERIES)


@EXAMPLES
@given(st.lists(REQUESTS, min_size=1, max_size=15))
def test_any_request_is_answered(requests: list[Any]) -> None:
    async def test(api: Served) -> None:
        for method, path, body, content, accept, query in requests:
            answer = await api.ask(method, path, body, content=content, accept=accept, **query)
            sound(answer, method, path, body, query)

    served(test)


@EXAMPLES
@given(
    st.lists(
        st.sampled_from(SOUND).flatmap(lambda it: st.tuples(st.just(it[0]), mutated(it[1]))),
        min_size=1,
        max_size=12,
    )
)
def test_any_object_is_stored_or_refused(objects: list[tuple[str, Any]]) -> None:
    async def test(api: Served) -> None:
        for path, document in objects:
            answer = await api.ask("POST", path, _bytes(document))
            sound(answer, path, document)
            listed = await api.get(path, accept=TABLE)
            sound(listed, path, document)

    served(test)


@EXAMPLES
@given(
    st.lists(
        st.sampled_from((("d", DEPLOYMENTS, deployment("d")), ("p", PODS, pod("p")))).flatmap(
            lambda it: st.tuples(st.just(f"{it[1]}/{it[0]}"), patches(it[2]))
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(("", "/status", "/scale")),
)
def test_any_patch_is_made_or_refused(found: list[Any], below: str) -> None:
    async def test(api: Served) -> None:
        for path, (how, body) in found:
            query = {"fieldManager": "f"} if "apply" in how else {}
            answer = await api.ask("PATCH", path + below, _bytes(body), content=how, **query)
            sound(answer, path, how, body)

    served(test)


@EXAMPLES
@given(SCHEMAS)
def test_any_schema_of_an_old_definition_is_served_or_refused(schema: Any) -> None:
    async def test(api: Served) -> None:
        found = definition(schema)
        spec = {**found["spec"], "version": "v1", "validation": {"openAPIV3Schema": schema}}
        del spec["versions"]
        made = await api.ask("POST", OLD_DEFINITIONS, _bytes({**found, "spec": spec}))
        sound(made, schema)
        sound(await api.get(OLD_DEFINITIONS), schema)

    served(test)


@EXAMPLES
@given(st.sampled_from(NOTED), st.one_of(VALUES, st.lists(VALUES, max_size=2)), VALUES)
def test_any_annotation_of_an_autoscaler_is_kept_or_dropped(
    name: str, value: Any, metric: Any
) -> None:
    async def test(api: Served) -> None:
        for found in (value, [{"type": "Pods", "pods": metric}], {"scaleUp": metric}):
            annotations = {f"autoscaling.alpha.kubernetes.io/{name}": _bytes(found).decode()}
            target = {"kind": "Deployment", "name": "d"}
            document = {
                "metadata": {"generateName": "a", "annotations": annotations},
                "spec": {"maxReplicas": 1, "scaleTargetRef": target},
            }
            for path in (AUTOSCALERS, AUTOSCALERS.replace("v2beta1", "v1")):
                answer = await api.post(path, document)
                sound(answer, path, found)
                sound(await api.get(path), found)

    served(test)


def definition(schema: Any) -> dict[str, Any]:
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "widgets", "kind": "Widget"}
    spec = {"group": "example.com", "scope": "Cluster", "names": names, "versions": [version]}
    return {"metadata": {"name": "widgets.example.com"}, "spec": spec}


@EXAMPLES
@given(SCHEMAS, st.lists(VALUES, max_size=4))
def test_any_schema_is_served_or_refused(schema: Any, values: list[Any]) -> None:
    async def test(api: Served) -> None:
        path = "/apis/example.com/v1/widgets"
        made = await api.ask("POST", DEFINITIONS, _bytes(definition(schema)))
        sound(made, schema)
        for value in values:
            widget = {
                "apiVersion": "example.com/v1",
                "kind": "Widget",
                "metadata": {"name": "w"},
                **(value if isinstance(value, dict) else {"spec": value}),
            }
            for method, where, how in (
                ("POST", path, "application/json"),
                ("PATCH", f"{path}/w", "application/merge-patch+json"),
                ("PATCH", f"{path}/w", "application/apply-patch+yaml"),
            ):
                query = {"fieldManager": "f"} if "apply" in how else {}
                answer = await api.ask(method, where, _bytes(widget), content=how, **query)
                sound(answer, schema, widget)
        for where in (path, "/openapi/v3/apis/example.com/v1"):
            answer = await api.get(where, accept=TABLE)
            sound(answer, schema)
        sound(await api.get("/openapi/v2"), schema)

    served(test)
