"""Reading: objects, lists, pages, revisions, selectors, presentations."""

from __future__ import annotations

import asyncio
import base64

import orjson
import pytest
import yaml

from served import (
    DEPLOYMENTS,
    MAPS,
    METADATA,
    PODS,
    TABLE,
    Served,
    config_map,
    deployment,
    pod,
    served,
)
from steersman.api import read
from steersman.api.tokens.legacy_tracking import NAME
from steersman.wire.message import Request, Response

ALL_MAPS = "/api/v1/configmaps"


async def some_maps(api: Served, *names: str) -> None:
    for name in names:
        given = config_map(name, k="0")
        given["metadata"]["labels"] = {"name": name, "half": "low" if name < "c" else "high"}
        (await api.post(MAPS, given)).ok()


@served
async def test_a_list_is_in_order_of_namespace_and_name(api: Served) -> None:
    for namespace in ("b", "a-b", "a"):
        (await api.post("/api/v1/namespaces", {"metadata": {"name": namespace}})).ok()
        path = f"/api/v1/namespaces/{namespace}/configmaps"
        for name in ("z", "a", "m.1", "m-1"):
            (await api.post(path, config_map(name))).ok()
    listed = await api.get(ALL_MAPS)
    metas = [item["metadata"] for item in listed.document["items"]]
    places = [(meta["namespace"], meta["name"]) for meta in metas]
    assert places == [
        (namespace, name)
        for namespace in ("a-b", "a", "b")  # as the keys of a store stand: "a-b/" before "a/"
        for name in ("a", "m-1", "m.1", "z")
    ] + [("kube-system", NAME)]
    pages = []
    token = ""
    while True:
        page = await api.get(ALL_MAPS, limit="5", **({"continue": token} if token else {}))
        pages += page.names
        if not (token := page.document["metadata"].get("continue", "")):
            break
    assert pages == [name for _, name in places]


@served
async def test_pages_show_one_moment_whatever_is_written_between_them(api: Served) -> None:
    await some_maps(api, "a", "b", "c", "d", "e")
    first = await api.get(MAPS, limit="2")
    assert first.names == ["a", "b"]
    assert first.document["metadata"]["remainingItemCount"] == 3
    (await api.delete(f"{MAPS}/c")).ok()
    (await api.post(MAPS, config_map("bb"))).ok()
    (await api.patch(f"{MAPS}/d", {"data": {"k": "1"}})).ok()
    second = await api.get(MAPS, limit="2", **{"continue": first.document["metadata"]["continue"]})
    assert second.names == ["c", "d"]
    assert second.document["items"][1]["data"] == {"k": "0"}
    assert second.revision == first.revision
    assert second.document["metadata"]["remainingItemCount"] == 1
    third = await api.get(MAPS, limit="2", **{"continue": second.document["metadata"]["continue"]})
    assert third.names == ["e"]
    assert "continue" not in third.document["metadata"]
    assert "remainingItemCount" not in third.document["metadata"]


@served
async def test_pages_of_what_has_no_namespace_hold_every_object_once(api: Served) -> None:
    nodes = "/api/v1/nodes"
    names = [f"n{number}" for number in range(5)]
    for name in names:
        (await api.post(nodes, {"metadata": {"name": name}})).ok()
    found, token = [], ""
    for _ in range(3):
        page = await api.get(nodes, limit="2", **({"continue": token} if token else {}))
        found.append(page.names)
        token = page.document["metadata"].get("continue", "")
    assert found == [names[:2], names[2:4], names[4:]]
    assert token == ""


@served
async def test_pages_with_a_selector_are_full_and_do_not_count_what_remains(api: Served) -> None:
    await some_maps(api, "a", "b", "c", "d", "e")
    first = await api.get(MAPS, limit="2", labelSelector="half=high")
    assert first.names == ["c", "d"]
    assert "remainingItemCount" not in first.document["metadata"]
    token = first.document["metadata"]["continue"]
    (await api.post(MAPS, config_map("f"))).ok()
    second = await api.get(MAPS, limit="2", labelSelector="half=high", **{"continue": token})
    assert second.names == ["e"]
    assert "continue" not in second.document["metadata"]


@served
async def test_a_page_with_a_selector_gathers_from_all_that_is_left(api: Served) -> None:
    await some_maps(api, "a", "b", "c", "d", "e", "f", "g", "h")
    wanted = {"limit": "2", "labelSelector": "name in (a, c, e, g, h)"}
    first = await api.get(MAPS, **wanted)
    second = await api.get(MAPS, **wanted, **{"continue": first.document["metadata"]["continue"]})
    third = await api.get(MAPS, **wanted, **{"continue": second.document["metadata"]["continue"]})
    assert (first.names, second.names, third.names) == (["a", "c"], ["e", "g"], ["h"])
    assert "remainingItemCount" not in second.document["metadata"]
    assert "continue" not in third.document["metadata"]


@served
async def test_a_page_is_no_longer_than_asked_for_where_the_end_holds_more(api: Served) -> None:
    await some_maps(api, "a", "b", "c", "d", "e", "f")
    wanted = {"limit": "2", "labelSelector": "name != c"}
    first = await api.get(MAPS, **wanted)
    # d is found beside c, which is none; e and f come with the end of the store
    second = await api.get(MAPS, **wanted, **{"continue": first.document["metadata"]["continue"]})
    third = await api.get(MAPS, **wanted, **{"continue": second.document["metadata"]["continue"]})
    assert (first.names, second.names, third.names) == (["a", "b"], ["d", "e"], ["f"])
    assert "continue" not in third.document["metadata"]


@served
async def test_a_page_behind_a_compaction_is_gone(api: Served) -> None:
    await some_maps(api, "a", "b", "c")
    first = await api.get(MAPS, limit="1")
    (await api.patch(f"{MAPS}/c", {"data": {"k": "1"}})).ok()
    await api.store.compact(api.revision)
    token = first.document["metadata"]["continue"]
    answer = await api.get(MAPS, limit="1", **{"continue": token})
    assert (answer.code, answer.document["reason"]) == (410, "Expired")
    assert answer.message == (
        "The provided continue parameter is too old to display a consistent list result. You can "
        "start a new list without the continue parameter, or use the continue token in this "
        "response to retrieve the remainder of the results. Continuing with the provided token "
        "results in an inconsistent list - objects that were created, modified, or deleted between "
        "the time the first chunk was returned and now may show up in the list."
    )
    token = answer.document["metadata"]["continue"]
    rest = await api.get(MAPS, limit="1", **{"continue": token})
    assert rest.names == ["b"]
    assert rest.revision == str(api.revision)
    token = rest.document["metadata"]["continue"]
    assert (await api.get(MAPS, **{"continue": token})).names == ["c"]
    answer = await api.get(MAPS, resourceVersion=first.revision, resourceVersionMatch="Exact")
    assert (answer.code, answer.message) == (
        410,
        "The resourceVersion for the provided list is too old.",
    )


@pytest.mark.parametrize(
    "token",
    [
        "x",
        "%%%",
        base64.urlsafe_b64encode(b"[]").decode(),
        base64.urlsafe_b64encode(b'{"v":"v9","rv":1,"start":"a"}').decode(),
        base64.urlsafe_b64encode(b'{"v":"meta.k8s.io/v1","rv":"x","start":"a"}').decode(),
    ],
)
@served
async def test_a_continue_token_of_somebody_elses_making_is_refused(
    api: Served, token: str
) -> None:
    answer = await api.get(MAPS, limit="1", **{"continue": token})
    assert answer.code == 400
    assert answer.message.startswith("invalid continue token: continue key is not valid: ")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"v": "v9", "rv": 1, "start": "a"}, 'server does not recognize this encoded version "v9"'),
        (
            {"v": "meta.k8s.io/v1", "start": "a"},
            "incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
        ),
        ({"v": "meta.k8s.io/v1", "rv": 1}, "encoded start key empty (version meta.k8s.io/v1)"),
        ({"v": "meta.k8s.io/v1", "rv": 1, "start": "../a"}, "../a"),
    ],
)
@served
async def test_a_continue_token_that_cannot_be_ours_is_refused_as_upstream_refuses_it(
    api: Served, said: dict[str, object], why: str
) -> None:
    token = base64.urlsafe_b64encode(orjson.dumps(said)).decode().rstrip("=")
    answer = await api.get(MAPS, **{"continue": token})
    message = f"invalid continue token: continue key is not valid: {why}"
    assert (answer.code, answer.message) == (400, message)


@served
async def test_a_continue_token_with_a_revision_below_zero_goes_on_with_what_is_there(
    api: Served,
) -> None:
    await some_maps(api, "a", "b")
    said = {"v": "meta.k8s.io/v1", "rv": -5, "start": "default/a"}
    token = base64.urlsafe_b64encode(orjson.dumps(said)).decode().rstrip("=")
    assert (await api.get(MAPS, **{"continue": token})).names == ["b"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("ten", "invalid syntax"),
        ("1_0", "invalid syntax"),
        (" 1", "invalid syntax"),
        ("+", "invalid syntax"),
        ("\u0661", "invalid syntax"),
        (str(1 << 63), "value out of range"),
        (str(-(1 << 63) - 1), "value out of range"),
        ("9" * 5000, "value out of range"),
    ],
)
@served
async def test_a_number_of_the_query_is_read_as_go_reads_it(
    api: Served, text: str, why: str
) -> None:
    message = f'strconv.ParseInt: parsing "{text}": {why}'
    for answer in (
        await api.get(MAPS, limit=text),
        await api.get(MAPS, timeoutSeconds=text),
        await api.refused_watch(MAPS, timeoutSeconds=text),
        await api.delete(f"{MAPS}/a", gracePeriodSeconds=text),
    ):
        assert (answer.code, answer.message) == (400, message)


@served
async def test_large_and_signed_numbers_of_the_query_are_numbers(api: Served) -> None:
    await some_maps(api, "a", "b")
    for text in ("+1", "01"):
        assert (await api.get(MAPS, limit=text)).names == ["a"]
    for text in (str((1 << 63) - 1), str(-(1 << 63)), "0", ""):
        assert (await api.get(MAPS, limit=text)).names == ["a", "b"]


@served
async def test_a_continue_token_and_a_revision_exclude_each_other(api: Served) -> None:
    await some_maps(api, "a", "b")
    token = (await api.get(MAPS, limit="1")).document["metadata"]["continue"]
    answer = await api.get(MAPS, resourceVersion="1", **{"continue": token})
    message = "specifying resource version is not allowed when using continue"
    assert (answer.code, answer.message) == (400, message)


@served
async def test_the_revision_of_a_list_says_how_old_it_may_be(api: Served) -> None:
    await some_maps(api, "a")
    past = str(api.revision)
    await some_maps(api, "b")
    now = str(api.revision)
    assert (await api.get(MAPS, resourceVersion="0")).names == ["a", "b"]
    assert (await api.get(MAPS, resourceVersion=past)).names == ["a", "b"]
    newer = {"resourceVersion": past, "resourceVersionMatch": "NotOlderThan"}
    assert (await api.get(MAPS, **newer)).revision == now
    exact = await api.get(MAPS, resourceVersion=past, resourceVersionMatch="Exact")
    assert (exact.names, exact.revision) == (["a"], past)
    exact = await api.get(MAPS, resourceVersion=now, resourceVersionMatch="Exact")
    assert (exact.names, exact.revision) == (["a", "b"], now)
    bounded = await api.get(MAPS, resourceVersion=past, limit="5")
    assert (bounded.names, bounded.revision) == (["a"], past)
    assert (await api.get(MAPS, limit="5", **newer)).revision == now


@served
async def test_a_revision_of_the_future_is_waited_for_and_then_refused(api: Served) -> None:
    future = str(api.revision + 1)
    waiting = asyncio.create_task(api.get(MAPS, resourceVersion=future))
    await asyncio.sleep(1)
    assert not waiting.done()
    (await api.post(MAPS, config_map("a"))).ok()
    assert (await waiting).names == ["a"]
    one = asyncio.create_task(api.get(f"{MAPS}/b", resourceVersion=str(api.revision + 1)))
    await asyncio.sleep(1)
    (await api.post(MAPS, config_map("b"))).ok()
    assert (await one).ok()["metadata"]["name"] == "b"
    exact = {"resourceVersionMatch": "Exact"}
    for path, how in ((MAPS, {}), (f"{MAPS}/a", {}), (MAPS, exact)):
        answer = await api.get(path, resourceVersion="999999", **how)
        assert (answer.code, answer.document["reason"]) == (504, "Timeout")
        assert answer.message == (
            f"Timeout: Too large resource version: 999999, current: {api.revision}"
        )
        (cause,) = answer.document["details"]["causes"]
        assert cause["reason"] == "ResourceVersionTooLarge"
        assert answer.headers["Retry-After"] == "1"


MATCH = "resourceVersionMatch"


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({MATCH: "Exact"}, f"{MATCH} is forbidden unless resourceVersion is provided"),
        (
            {MATCH: "Exact", "resourceVersion": "0"},
            f'{MATCH} "exact" is forbidden for resourceVersion "0"',
        ),
        (
            {MATCH: "Exact", "resourceVersion": "1", "continue": "x"},
            f"{MATCH} is forbidden when continue is provided",
        ),
    ],
)
@served
async def test_list_options_that_mean_nothing_are_refused(
    api: Served, query: dict[str, str], why: str
) -> None:
    answer = await api.get(MAPS, **query)
    assert (answer.code, answer.message) == (
        422,
        f'ListOptions.meta.k8s.io "" is invalid: {MATCH}: Forbidden: {why}',
    )


@served
async def test_other_list_options_that_mean_nothing_are_refused(api: Served) -> None:
    answer = await api.get(MAPS, resourceVersionMatch="Roughly", resourceVersion="1")
    assert answer.message.endswith(
        'Unsupported value: "Roughly": supported values: "Exact", "NotOlderThan", ""'
    )
    answer = await api.get(MAPS, sendInitialEvents="true")
    assert answer.message.endswith("Forbidden: sendInitialEvents is forbidden for list")
    assert (await api.get(MAPS, resourceVersion="x")).code == 400
    assert (await api.get(MAPS, resourceVersion="-1")).code == 400
    assert (await api.get(MAPS, limit="x")).code == 400
    assert (await api.get(f"{MAPS}/a", resourceVersion="x")).code == 400


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("name=a", ["a"]),
        ("name==a", ["a"]),
        ("name!=a", ["b", "c"]),
        ("name in (a,c)", ["a", "c"]),
        ("name notin (a,c)", ["b"]),
        ("half", ["a", "b", "c"]),
        ("!half", []),
        ("half=low,name!=a", ["b"]),
        ("other!=x", ["a", "b", "c"]),
    ],
)
@served
async def test_label_selectors_select(api: Served, selector: str, names: list[str]) -> None:
    await some_maps(api, "a", "b", "c")
    assert (await api.get(MAPS, labelSelector=selector)).names == names


@served
async def test_field_selectors_select(api: Served) -> None:
    await some_maps(api, "a", "b")
    assert (await api.get(MAPS, fieldSelector="metadata.name=a")).names == ["a"]
    assert (await api.get(MAPS, fieldSelector="metadata.name!=a")).names == ["b"]
    assert (await api.get(ALL_MAPS, fieldSelector="metadata.name=a")).names == ["a"]
    assert (await api.get(ALL_MAPS, fieldSelector="metadata.namespace=other")).names == []
    both = {"fieldSelector": "metadata.name=a", "labelSelector": "name=b"}
    assert (await api.get(MAPS, **both)).names == []
    (await api.post(PODS, pod("p"))).ok()
    (await api.post(PODS, pod("q", nodeName="n"))).ok()
    for further, names in (("spec.nodeName=n", ["q"]), ("spec.nodeName!=n", [])):
        assert (await api.get(PODS, fieldSelector=f"metadata.name=q,{further}")).names == names
    assert (await api.get(PODS, fieldSelector="spec.nodeName=n")).names == ["q"]
    assert (await api.get(PODS, fieldSelector="spec.nodeName=,status.phase=Pending")).names == ["p"]


@served
async def test_selectors_that_cannot_be_read_are_refused(api: Served) -> None:
    answer = await api.get(MAPS, labelSelector="a in b")
    assert answer.code == 400
    assert "unable to parse requirement: found 'b' expected: '('" in answer.message
    answer = await api.get(PODS, fieldSelector="spec.color=red")
    assert (answer.code, answer.message) == (400, "field label not supported: spec.color")
    answer = await api.get(MAPS, fieldSelector="data.k=0")
    assert (answer.code, answer.message) == (
        400,
        '"data.k" is not a known field selector: only "metadata.name", "metadata.namespace"',
    )
    assert (await api.get(MAPS, fieldSelector="metadata.name")).code == 400


@served
async def test_a_table_has_the_kinds_columns_and_each_rows_metadata(api: Served) -> None:
    (await api.post(DEPLOYMENTS, deployment("a", replicas=2))).ok()
    table = (await api.get(DEPLOYMENTS, accept=TABLE)).ok()
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [column["name"] for column in table["columnDefinitions"]] == [
        "Name",
        "Ready",
        "Up-to-date",
        "Available",
        "Age",
        "Containers",
        "Images",
        "Selector",
    ]
    (row,) = table["rows"]
    assert row["cells"][:4] == ["a", "0/2", 0, 0]
    assert row["object"]["metadata"]["uid"]
    whole = (await api.get(f"{DEPLOYMENTS}/a", accept=TABLE, includeObject="Object")).ok()
    assert whole["rows"][0]["object"]["spec"]["replicas"] == 2
    none = (await api.get(f"{DEPLOYMENTS}/a", accept=TABLE, includeObject="None")).ok()
    assert none["rows"][0]["object"] is None
    for watch in ("false", "true"):
        other = await api.get(DEPLOYMENTS, accept=TABLE, includeObject="All", watch=watch)
        assert (other.code, other.message) == (
            400,
            'Unable to convert to Table as requested: includeObject: Invalid value: "All": '
            "must be 'Metadata', 'Object', 'None', or empty",
        )
    empty = (await api.get(MAPS, accept=TABLE)).ok()
    assert empty["rows"] == []


@served
async def test_metadata_alone_is_shown_on_request(api: Served) -> None:
    made = (await api.post(MAPS, config_map("a"))).ok()
    shown = (await api.get(f"{MAPS}/a", accept=METADATA)).ok()
    assert shown == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": made["metadata"],
    }


@served
async def test_yaml_is_spoken_on_request(api: Served) -> None:
    text = b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  key: 'yes'\n"
    made = await api.post(MAPS, text, content="application/yaml", accept="application/yaml")
    assert made.code == 201
    assert yaml.safe_load(made.document)["data"] == {"key": "yes"}
    one = await api.get(f"{MAPS}/a", accept="application/yaml")
    assert yaml.safe_load(one.document) == (await api.get(f"{MAPS}/a")).document
    listed = await api.get(MAPS, accept="application/yaml")
    assert yaml.safe_load(listed.document)["items"][0]["metadata"]["name"] == "a"


@served
async def test_a_long_answer_in_yaml_is_json_which_is_yaml_too(api: Served) -> None:
    for name in ("a", "b"):
        (await api.post(MAPS, config_map(name, k="x" * 600_000))).ok()
    answer = await api.get(MAPS, accept="application/yaml")
    assert answer.document[:1] == b"{"
    assert len(yaml.safe_load(answer.document)["items"]) == 2
    one = await api.get(f"{MAPS}/a", accept="application/yaml")
    assert one.document.startswith(b"kind: ConfigMap\n")


@pytest.mark.parametrize(
    "accept", ["application/pdf", "application/json;as=Chair;g=meta.k8s.io;v=v1", "text/html"]
)
@served
async def test_what_nobody_can_show_is_refused(api: Served, accept: str) -> None:
    answer = await api.get(MAPS, accept=accept)
    assert (answer.code, answer.document["reason"]) == (406, "NotAcceptable")
    assert answer.message == (
        "only the following media types are accepted: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "",
        "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io,application/json",
        "application/json;as=Table;v=v9;g=meta.k8s.io,application/json",
        "text/html, application/*;q=0.8",
        "application/json; charset=utf-8",
        "application/yaml;q=0.5,application/json",
    ],
)
@served
async def test_the_first_form_that_can_be_shown_is(api: Served, accept: str) -> None:
    assert (await api.get(MAPS, accept=accept)).ok()["kind"] == "ConfigMapList"


@pytest.mark.parametrize(
    "accept", ["application/json;q=0.5,application/yaml", "*/*, application/*, application/yaml"]
)
@served
async def test_what_a_client_likes_best_or_names_comes_first(api: Served, accept: str) -> None:
    assert (await api.get(MAPS, accept=accept)).document.startswith(b"kind: ConfigMapList\n")


@served
async def test_a_long_list_goes_out_in_pieces(api: Served) -> None:
    text = "x" * 100_000
    for number in range(8):
        (await api.post(MAPS, config_map(f"m{number}", k=text))).ok()
    response = api.assembly.api.handle(Request("GET", MAPS, user=_admin()))
    assert isinstance(response, Response)
    assert not isinstance(response.body, bytes)
    pieces = [piece async for piece in response.body]  # type: ignore[union-attr]
    assert len(pieces) > 2
    assert max(map(len, pieces)) < read.PIECE_BYTES + 120_000
    assert len(orjson.loads(b"".join(pieces))["items"]) == 8


def _admin() -> object:
    from served import ADMIN

    return ADMIN


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "*",
        "//",
        "/api//",
        "/api/v1/",
        "/api/v1/namespaces//pods",
        "/api/v1/namespaces/default/pods/a/b/c/d",
        "/apis/apps",
        "/apis/apps/v1/namespaces/default",
        "/apis/nobody.example.com/v1/things",
        "/api/v1/watch",
    ],
)
@served
async def test_strange_paths_are_answered(api: Served, path: str) -> None:
    for method in ("GET", "POST", "DELETE", "PATCH", "OPTIONS", "BREW"):
        answer = await api.ask(method, path, {})
        assert answer.code in (200, 403, 404, 405, 415), (method, answer.document)


@served
async def test_nothing_outside_a_namespace_is_reached_through_it(api: Served) -> None:
    (await api.post("/api/v1/nodes", {"metadata": {"name": "n"}})).ok()
    for path in (
        "/api/v1/namespaces/default/nodes",
        "/api/v1/namespaces/default/nodes/n",
        "/api/v1/namespaces/default/namespaces",
        "/api/v1/namespaces/default/namespaces/kube-system",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/default/clusterroles",
        "/apis/rbac.authorization.k8s.io/v1/namespaces/default/clusterroles/view",
    ):
        answer = await api.get(path)
        assert (answer.code, answer.message) == (
            404,
            "the server could not find the requested resource",
        )
    (await api.get("/api/v1/namespaces/default")).ok()
    (await api.get("/api/v1/namespaces/default/status")).ok()


@served
async def test_a_table_of_a_converted_version_is_made_of_what_is_stored(api: Served) -> None:
    about = {"kind": "Pod", "namespace": "default", "name": "p"}
    event = {"metadata": {"name": "e"}, "involvedObject": about, "reason": "R", "message": "M"}
    (await api.post("/api/v1/namespaces/default/events", event)).ok()
    path = "/apis/events.k8s.io/v1/namespaces/default/events"
    table = (await api.get(path, accept=TABLE, includeObject="Object")).ok()
    (row,) = table["rows"]
    assert row["cells"][2:4] == ["R", "pod/p"]
    assert row["object"]["regarding"]["name"] == "p"
    metric = {"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 7}}}
    metric["resource"]["target"]["type"] = "Utilization"
    target = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
    spec = {"maxReplicas": 2, "scaleTargetRef": target, "metrics": [metric]}
    path = "/apis/autoscaling/{}/namespaces/default/horizontalpodautoscalers"
    (await api.post(path.format("v2"), {"metadata": {"name": "h"}, "spec": spec})).ok()
    shown = [await api.get(path.format(version), accept=TABLE) for version in ("v1", "v2")]
    cells = [answer.ok()["rows"][0]["cells"] for answer in shown]
    assert cells[0] == cells[1]
    assert "cpu: <unknown>/7%" in cells[0]
