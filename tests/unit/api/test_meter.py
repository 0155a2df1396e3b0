"""/metrics: requests and objects counted under upstream's names, with labels of our own only."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator

import pytest

from served import Served, config_map, pod, served
from steersman.api.access.authorization import Attributes
from steersman.api.published.meter import BUCKETS, Meter, Series, families, measure, series_of
from steersman.model.errors import Forbidden, Unauthorized
from steersman.model.kinds.pod import POD
from steersman.model.ref import Resource
from steersman.wire import prometheus
from steersman.wire.message import Peer, Request, Response, User

MAPS = "/api/v1/namespaces/default/configmaps"
GET = Series("GET", "", "v1", "pods", "", "resource", "")


def render(meter: Meter, objects: dict[Resource, int], watches: dict[Resource, int]) -> str:
    return prometheus.render(families(meter, objects, watches)).decode()


def asked(verb: str, subresource: str = "", name: str = "x", namespace: str = "n") -> Attributes:
    return Attributes(verb, "", "v1", "pods", subresource, namespace, name)


@pytest.mark.parametrize(
    ("attributes", "query", "media_type", "expected"),
    [
        (asked("get"), "", "", GET),
        (asked("create", name=""), "", "", GET._replace(verb="POST", scope="namespace")),
        (asked("list", name="", namespace=""), "", "", GET._replace(verb="LIST", scope="cluster")),
        (asked("update", "status"), "", "", GET._replace(verb="PUT", subresource="status")),
        (asked("patch"), "", "application/apply-patch+yaml", GET._replace(verb="APPLY")),
        (asked("patch"), "", "application/merge-patch+json", GET._replace(verb="PATCH")),
        (asked("delete"), "dryRun=All", "", GET._replace(verb="DELETE", dry_run="All")),
        (asked("create", "exec"), "", "", GET._replace(verb="CONNECT", subresource="exec")),
        (asked("get", "made-up"), "", "", GET),
    ],
)
def test_a_request_counts_as_what_it_asks(
    attributes: Attributes, query: str, media_type: str, expected: Series
) -> None:
    assert series_of(attributes, POD, query, media_type) == expected


def test_what_is_not_served_has_no_name() -> None:
    assert series_of(asked("get"), None, "", "") == Series("GET", scope="resource")
    path = Attributes("get", path="/made/up", is_resource=False)
    assert series_of(path, None, "", "") == Series("GET")


def test_durations_fall_into_buckets_that_add_up() -> None:
    meter = Meter(0.0)
    for seconds in (0.004, 0.005, 0.03, 100.0):
        meter.of(GET).count(200, seconds)
    text = render(meter, {}, {})
    name = "apiserver_request_duration_seconds"
    found = re.findall(rf'^{name}_bucket{{.*le="([^"]+)"}} (\d+)$', text, re.M)
    assert [int(count) for _, count in found][:3] == [2, 2, 3]
    assert found[-2:] == [("60", "3"), ("+Inf", "4")]
    assert len(found) == len(BUCKETS) + 1
    labels = (
        'component="apiserver",dry_run="",group="",resource="pods",scope="resource",'
        'subresource="",verb="GET",version="v1"'
    )
    assert f"{name}_count{{{labels}}} 4" in text
    assert f"{name}_sum{{{labels}}} 100.039000" in text
    assert f'apiserver_request_total{{code="200",{labels}}} 4' in text


def test_what_others_had_of_a_requests_time_is_not_counted_as_its_own() -> None:
    meter = Meter(0.0)
    dry = GET._replace(dry_run="All")
    meter.of(GET).count(200, 0.004)
    meter.of(dry).count(200, 0.07)
    meter.of(GET).count(200, 2.5, 2.42)
    meter.of(GET).count(504, 90.0)
    text = render(meter, {}, {})
    name = "apiserver_request_sli_duration_seconds"
    found = re.findall(rf'^{name}_bucket{{.*le="([^"]+)"}} (\d+)$', text, re.M)
    assert found[0] == ("0.05", "1")
    assert found[1] == ("0.1", "3")
    assert found[-2:] == [("60", "3"), ("+Inf", "4")]
    assert len(found) == 22
    labels = (
        'component="apiserver",group="",resource="pods",scope="resource",subresource="",'
        'verb="GET",version="v1"'
    )
    assert f"{name}_sum{{{labels}}} 90.154000" in text
    assert f"# HELP {name} [ALPHA] Response latency distribution (not counting webhook" in text


def test_reads_are_counted_by_their_size_in_one_piece_and_in_many() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"a" * 600
        yield b"b" * 600

    async def main() -> Response:
        answer = Response(pieces())
        measure(sizes, answer)
        assert [len(piece) async for piece in answer.body] == [600, 600]
        return answer

    meter = Meter(0.0)
    sizes = meter.of(GET).sizes
    assert sizes is not None
    measure(sizes, Response(b"x" * 1000))
    asyncio.run(main())
    assert (sizes.counts[:3], sizes.sum) == ([1, 1, 0], 2200)
    assert meter.of(GET._replace(verb="POST")).sizes is None
    text = render(meter, {}, {})
    assert re.search(r'^apiserver_response_sizes_bucket{.*le="10000"} 2$', text, re.M)
    assert "# HELP apiserver_response_sizes [STABLE] Response size distribution in bytes" in text


def test_a_read_that_its_client_leaves_ends_and_counts_by_what_was_sent() -> None:
    ended = []

    async def pieces() -> AsyncIterator[bytes]:
        try:
            yield b"a" * 600
            yield b"b" * 600
        finally:
            ended.append("read")

    async def main() -> None:
        read = pieces()
        answer = Response(read)
        measure(sizes, answer)
        body = answer.body
        assert isinstance(body, AsyncGenerator)
        await anext(body)
        await body.aclose()
        assert ended == ["read"]

    sizes = Meter(0.0).of(GET).sizes
    assert sizes is not None
    asyncio.run(main())
    assert (sizes.count, sizes.sum) == (1, 600)


@served
async def test_who_asks_and_whether_they_may_is_counted_by_what_came_of_it(api: Served) -> None:
    peer = Peer("127.0.0.1")
    nobody = Request("GET", "/version", peer=peer)
    wrong = Request("GET", "/version", headers={"authorization": "Bearer no"}, peer=peer)
    secret = Request("GET", "/api/v1/secrets", peer=peer)
    before = (await api.get("/metrics")).document.decode()
    assert 'authentication_attempts{result="' not in before
    api.assembly.api.handle(nobody)
    with pytest.raises(Unauthorized):
        api.assembly.api.handle(wrong)
    with pytest.raises(Forbidden):
        api.assembly.api.handle(secret)
    api.assembly.access._authenticator.allow_anonymous(frozenset({"/livez"}))
    with pytest.raises(Unauthorized):
        api.assembly.api.handle(nobody)
    text = (await api.get("/metrics")).document.decode()
    for result, count in (("success", 2), ("error", 1), ("failure", 1)):
        assert f'\nauthentication_attempts{{result="{result}"}} {count}\n' in text
        assert f'\nauthentication_duration_seconds_count{{result="{result}"}} {count}\n' in text
    assert '\nauthorization_attempts_total{result="no-opinion"} 1\n' in text
    assert re.search(r'^authorization_attempts_total{result="allowed"} \d+$', text, re.M)
    bounds = re.findall(
        r'^authorization_duration_seconds_bucket{.*"allowed".*le="(.+)"}', text, re.M
    )
    assert (bounds[0], bounds[-2], len(bounds)) == ("0.001", "16.384", 16)


def test_objects_and_watches_are_named_by_resource() -> None:
    deployments = Resource("apps", "deployments")
    text = render(Meter(5.0), {deployments: 3}, {deployments: 2, Resource("", "pods"): 0})
    assert 'apiserver_storage_objects{resource="deployments.apps"} 3' in text
    assert 'apiserver_resource_objects{group="apps",resource="deployments"} 3' in text
    assert (
        'apiserver_longrunning_requests{component="apiserver",group="apps",'
        'resource="deployments",verb="WATCH"} 2'
    ) in text
    assert 'resource="pods",verb="WATCH"' not in text
    assert "\nprocess_start_time_seconds 5\n" in text
    assert re.search(r"^process_resident_memory_bytes [1-9]\d{6,}$", text, re.M)
    assert re.search(r"^process_open_fds [1-9]\d*$", text, re.M)


def test_what_is_being_answered_is_told_apart_by_whether_it_changes_something() -> None:
    meter = Meter(0.0)
    for verb in ("POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"):
        meter.begin(meter.of(GET._replace(verb=verb)))
    for verb in ("GET", "LIST", "WATCH"):
        meter.begin(meter.of(GET._replace(verb=verb)))
        meter.begin(meter.of(GET._replace(verb=verb)))
    assert meter.inflight() == {"mutating": 6, "readOnly": 6}
    meter.begin(meter.of(GET._replace(verb="APPLY")))
    meter.end(meter.of(GET))
    text = render(meter, {}, {})
    assert 'apiserver_current_inflight_requests{request_kind="mutating"} 7' in text
    assert 'apiserver_current_inflight_requests{request_kind="readOnly"} 5' in text


def test_a_server_is_busy_while_it_answers_and_not_for_a_stream_to_another() -> None:
    meter = Meter(0.0)
    assert not meter.busy
    stream, read = meter.of(GET._replace(verb="CONNECT")), meter.of(GET)
    meter.begin(stream)
    assert not meter.busy
    meter.begin(read)
    meter.begin(read)
    meter.end(stream)
    meter.end(read)
    assert meter.busy
    meter.end(read)
    assert not meter.busy


def total(text: str, code: int, verb: str, **labels: str) -> int:
    wanted = [f'{name}="{value}"' for name, value in {**labels, "verb": verb}.items()]
    for line in text.splitlines():
        start = line.startswith(f'apiserver_request_total{{code="{code}"')
        if start and all(one in line for one in wanted):
            return int(line.rpartition(" ")[2])
    return 0


OWN = 1  # the server itself writes one: since when the use of tokens is noted


@served
async def test_the_server_counts_what_it_answers(api: Served) -> None:
    (await api.post(MAPS, config_map("a"))).ok()
    assert (await api.post(MAPS, config_map("a"))).code == 409
    (await api.get(f"{MAPS}/a")).ok()
    (await api.get(f"{MAPS}/a")).ok()
    assert (await api.get(f"{MAPS}/b")).code == 404
    assert (await api.get("/api/v1/namespaces/default/made-up/x")).code == 404
    (await api.post("/api/v1/namespaces/default/pods", pod("p"))).ok()
    answer = await api.get("/metrics")
    assert answer.headers is not None
    text = answer.document.decode()
    assert total(text, 201, "POST", resource="configmaps", scope="namespace") == 1 + OWN
    assert total(text, 409, "POST", resource="configmaps") == 1
    assert total(text, 200, "GET", resource="configmaps", scope="resource") == 2
    assert total(text, 404, "GET", resource="configmaps") == 1
    assert total(text, 201, "POST", resource="pods") == 1
    assert "made-up" not in text
    assert 'apiserver_current_inflight_requests{request_kind="mutating"} 0' in text
    assert 'apiserver_storage_objects{resource="pods"} 1' in text


@served
async def test_the_metrics_are_not_for_everybody(api: Served) -> None:
    refused = await api.get("/metrics", user=User("jane", ("system:authenticated",)))
    assert refused.code == 403
    allowed = User("prometheus", ("system:monitoring", "system:authenticated"))
    (await api.get("/metrics", user=allowed)).ok()


@served
async def test_events_of_watches_and_deprecated_versions_are_told(api: Served) -> None:
    watched = await api.watch(MAPS)
    for name in ("a", "b"):
        (await api.post(MAPS, config_map(name))).ok()
        await watched.next()
    watched.close()
    (await api.get("/apis/policy/v1beta1/namespaces/default/poddisruptionbudgets")).ok()
    text = (await api.get("/metrics")).document.decode()
    found = re.search(
        r'^apiserver_watch_events_total\{group="",resource="configmaps",version="v1"\} (\d+)$',
        text,
        re.M,
    )
    assert found is not None and int(found[1]) >= 2
    deprecated = (
        'apiserver_requested_deprecated_apis{group="policy",removed_release="1.25",'
        'resource="poddisruptionbudgets",subresource="",version="v1beta1"} 1'
    )
    assert deprecated in text.splitlines()
    of = re.findall(r'^apiserver_requested_deprecated_apis\{.*resource="(\w+)"', text, re.M)
    # the server itself may have written the Endpoints of the Service `kubernetes` by now
    assert {*of} - {"endpoints"} == {"poddisruptionbudgets"}
    assert re.search(
        r'^kubernetes_build_info\{.*git_version="v1.37.0",.*minor="37",.*\} 1$', text, re.M
    )
