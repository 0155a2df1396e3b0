"""metrics.k8s.io: what nodes say, when they are asked, and what clients are told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import yaml

from served import NAMESPACES, PODS, TABLE, Served, pod, served, serving
from steersman.api.metrics.documents import window
from steersman.api.metrics.scrape import (
    Scrape,
    ScrapeError,
    Usage,
    container_usage,
    node_usage,
    parse,
)
from steersman.api.metrics.simulated import use
from steersman.api.metrics.windows import Windows
from steersman.api.subresources.kubelets import Undelivered
from steersman.world.simulated import SimulatedWorld, simulate

METRICS = "/apis/metrics.k8s.io/v1beta1"
OF_METADATA = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
POD_METRICS = f"{METRICS}/namespaces/default/pods"
PLACE = ("default", "p", "c")


def told(cpu: float, at: int, *, memory: int = 2048, began: float = 1.0) -> bytes:
    """Returns the text of a node with one container, in kubelet's words."""
    labels = 'container="c",namespace="default",pod="p"'
    return f"""# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{{{labels}}} {cpu} {at}
container_memory_working_set_bytes{{{labels}}} {memory} {at}
container_start_time_seconds{{{labels}}} {began}
node_cpu_usage_seconds_total {cpu * 10} {at}
node_memory_working_set_bytes 1.073741824e+09 {at}
pod_cpu_usage_seconds_total{{namespace="default",pod="p"}} 9 {at}
resource_scrape_error 0
""".encode()


def test_processor_time_is_a_difference_over_the_times_of_its_samples() -> None:
    before, now = parse(told(2.0, 10_000), 11.0), parse(told(3.5, 20_000), 99.0)
    assert container_usage(before, now, PLACE) == Usage(150_000_000, 2048, 20.0, 10.0)
    assert node_usage(before, now) == Usage(1_500_000_000, 1 << 30, 20.0, 10.0)
    assert container_usage(before, now, ("default", "p", "other")) is None
    assert node_usage(Scrape(1.0), now) is node_usage(before, Scrape(1.0)) is None


def test_what_a_node_does_not_say_is_not_used() -> None:
    before, now = parse(told(2.0, 10_000), 11.0), parse(told(3.5, 20_000), 21.0)
    for silent in (b"node_cpu", b"node_memory"):
        text = told(3.5, 20_000).replace(silent, b"other")
        assert node_usage(before, parse(text, 21.0)) is None
    for silent in (b"container_cpu", b"container_memory"):
        text = told(3.5, 20_000).replace(silent, b"other")
        assert container_usage(before, parse(text, 21.0), PLACE) is None
    assert node_usage(parse(told(2.0, 10_000).replace(b"node_cpu", b"x"), 11.0), now) is None


def test_samples_without_times_are_of_the_time_of_the_scrape() -> None:
    text = told(2.0, 0).replace(b" 0\n", b"\n")
    before, now = parse(text, 10.0), parse(text.replace(b" 2.0", b" 3.0"), 14.0)
    assert container_usage(before, now, PLACE) == Usage(250_000_000, 2048, 14.0, 4.0)


def test_a_container_that_is_new_is_measured_from_its_beginning() -> None:
    now = parse(told(1.0, 20_000, began=16.0), 20.0)
    assert container_usage(Scrape(15.0), now, PLACE) == Usage(250_000_000, 2048, 20.0, 4.0)
    restarted = parse(told(9.0, 10_000, began=1.0), 15.0)
    assert container_usage(restarted, now, PLACE) == Usage(250_000_000, 2048, 20.0, 4.0)
    assert container_usage(Scrape(17.0), now, PLACE) is None
    fallen = parse(
        told(0.5, 30_000).replace(
            b"node_cpu_usage_seconds_total 5.0", b"node_cpu_usage_seconds_total 1"
        ),
        31.0,
    )
    assert node_usage(now, fallen) is None
    same = parse(told(1.0, 20_000), 21.0)
    assert container_usage(same, same, PLACE) is None


@pytest.mark.parametrize(
    "text",
    [b"node_cpu_usage_seconds_total 1e999 1", b"node_cpu_usage_seconds_total -1",
     b"node_cpu_usage_seconds_total 1.2.3", b"x" * (8 * 1024 * 1024 + 1)],
)  # fmt: skip
def test_a_node_that_says_nonsense_is_not_believed(text: bytes) -> None:
    with pytest.raises(ScrapeError):
        parse(text, 1.0)


def test_what_is_no_metric_is_passed_over() -> None:
    assert parse(b"\xff\nfoo\nnode_{\nnode_cpu_usage_seconds_total abc\n", 5.0) == Scrape(5.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(15.2831, "15.283s"), (30.0, "30s"), (60.5, "1m0.5s"), (0.9999, "1s"), (90.0, "1m30s")],
)
def test_a_window_is_written_as_go_writes_durations(seconds: float, text: str) -> None:
    assert window(seconds) == text


def test_simulated_use_is_read_from_annotations() -> None:
    notes = {
        "steersman.dev/cpu-usage": "250m",
        "steersman.dev/memory-usage": "web=1Mi, log=2Ki",
    }
    assert use(notes, "web") == (250_000_000, 1 << 20)
    assert use(notes, "log") == (250_000_000, 2048)
    assert use(notes, "other") == (250_000_000, 0)
    assert use({}, "web") == use({"steersman.dev/cpu-usage": "much"}, "web") == (0, 0)
    assert use({"steersman.dev/cpu-usage": "-1"}, "web") == (0, 0)


class Asked:
    """A node whose container uses half a processor, and how often it was asked."""

    def __init__(self, world: SimulatedWorld) -> None:
        self.world = world
        self.count = 0
        self.silent = False

    async def ask(self, _node: str) -> Scrape:
        """Answers a scrape."""
        self.count += 1
        if self.silent:
            raise Undelivered("connection refused")
        now = self.world.now()
        return parse(told(0.5 * (now - 1000), int(now * 1000)), now)


def windowed(test: Any) -> Any:
    """Makes a test of a function of the world, a node and its windows."""

    def run() -> None:
        async def main(world: SimulatedWorld) -> None:
            asked = Asked(world)
            await test(world, asked, Windows(asked.ask, world))

        simulate(1, main)

    return run


@windowed
async def test_a_node_is_scraped_twice_at_first_and_once_then(
    world: SimulatedWorld, asked: Asked, windows: Windows
) -> None:
    began = world.monotonic()
    first = await windows.of("a")
    assert first is not None and asked.count == 2
    assert world.monotonic() - began == pytest.approx(1.0)
    assert node_usage(first.before, first.now).cpu_nanos == pytest.approx(5e9, rel=0.01)
    await world.sleep(15)
    second = await windows.of("a")
    assert second is not None and asked.count == 3
    assert second.before is first.now
    usage = container_usage(second.before, second.now, PLACE)
    assert usage is not None and usage.window_seconds == pytest.approx(15, abs=0.01)
    await world.sleep(91)
    await windows.of("a")
    assert asked.count == 5


@windowed
async def test_nobody_is_asked_while_nobody_asks_nor_twice_for_a_flood(
    world: SimulatedWorld, asked: Asked, windows: Windows
) -> None:
    await world.sleep(1000)
    assert asked.count == 0
    found = await asyncio.gather(*(windows.of("a") for _ in range(50)))
    assert asked.count == 2 and all(one is found[0] for one in found)
    await world.sleep(4.9)
    assert await windows.of("a") is found[0]
    await world.sleep(0.2)
    assert await windows.of("a") is not found[0]
    assert asked.count == 3
    await windows.of("b")
    assert asked.count == 5


@windowed
async def test_a_node_that_is_silent_says_nothing_and_is_asked_again(
    world: SimulatedWorld, asked: Asked, windows: Windows
) -> None:
    asked.silent = True
    assert await windows.of("a") is None
    asked.silent = False
    assert await windows.of("a") is not None
    await world.sleep(10)
    asked.silent = True
    assert await windows.of("a") is None


@windowed
async def test_nodes_that_nobody_asks_about_are_forgotten(
    world: SimulatedWorld, asked: Asked, windows: Windows
) -> None:
    for number in range(3):
        await windows.of(f"n{number}")
    await world.sleep(100)
    await windows.of("last")
    assert list(windows._nodes) == ["last"]


def test_a_node_that_hangs_is_given_up() -> None:
    async def main(world: SimulatedWorld) -> None:
        async def hang(_node: str) -> Scrape:
            await asyncio.get_running_loop().create_future()
            raise AssertionError("never")

        began = world.monotonic()
        assert await Windows(hang, world).of("a") is None
        assert world.monotonic() - began == pytest.approx(10.0, abs=0.01)

    simulate(1, main)


async def populate(api: Served) -> None:
    """Makes two simulated nodes, one real one that does not answer, and their pods."""
    for name, simulated in (("sim-a", "true"), ("sim-b", "true"), ("real", "")):
        labels = {"steersman.dev/simulated": simulated, "zone": name[-1]}
        made = {"metadata": {"name": name, "labels": labels}}
        (await api.post("/api/v1/nodes", made)).ok()
    side = {"name": "side", "image": "b", "restartPolicy": "Always"}
    for name, node, cpu, phase in (
        ("a", "sim-a", "250m", "Running"),
        ("b", "sim-b", "main=1,side=500m", "Running"),
        ("c", "real", "9", "Running"),
        ("d", "sim-a", "9", "Succeeded"),
    ):
        made = pod(name, nodeName=node, initContainers=[side] if name == "b" else [])
        notes = {"steersman.dev/cpu-usage": cpu, "steersman.dev/memory-usage": "1Mi"}
        made["metadata"] |= {"annotations": notes, "labels": {"app": name}}
        (await api.post(PODS, made)).ok()
        (await api.patch(f"{PODS}/{name}/status", {"status": {"phase": phase}})).ok()


@served
async def test_pods_and_nodes_are_told_with_what_they_use(api: Served) -> None:
    await populate(api)
    found = (await api.get(POD_METRICS)).ok()
    assert (found["kind"], found["apiVersion"]) == ("PodMetricsList", "metrics.k8s.io/v1beta1")
    assert [one["metadata"]["name"] for one in found["items"]] == ["a", "b"]
    a, b = found["items"]
    assert a["containers"] == [{"name": "main", "usage": {"cpu": "250000000n", "memory": "1024Ki"}}]
    assert a["metadata"]["namespace"] == "default" and a["metadata"]["labels"] == {"app": "a"}
    assert (a["window"], a["timestamp"]) == ("30s", a["metadata"]["creationTimestamp"])
    assert [it["usage"]["cpu"] for it in b["containers"]] == ["1000000000n", "500000000n"]
    nodes = (await api.get(f"{METRICS}/nodes")).ok()
    assert nodes["kind"] == "NodeMetricsList"
    assert {one["metadata"]["name"]: one["usage"] for one in nodes["items"]} == {
        "sim-a": {"cpu": "250000000n", "memory": "1024Ki"},
        "sim-b": {"cpu": "1500000000n", "memory": "2048Ki"},
    }
    one = (await api.get(f"{METRICS}/nodes/sim-a")).ok()
    assert (one["kind"], one["usage"]["cpu"]) == ("NodeMetrics", "250000000n")
    one = (await api.get(f"{POD_METRICS}/b")).ok()
    assert (one["kind"], one["apiVersion"]) == ("PodMetrics", "metrics.k8s.io/v1beta1")


@served
async def test_selectors_namespaces_and_tables_are_served(api: Served) -> None:
    await populate(api)

    async def names(path: str, **query: str) -> list[str]:
        return (await api.get(path, **query)).names

    assert await names(POD_METRICS, labelSelector="app in (b, c)") == ["b"]
    assert await names(f"{METRICS}/pods", labelSelector="app!=a") == ["b"]
    assert await names(f"{METRICS}/pods", fieldSelector="metadata.name=a") == ["a"]
    assert await names(f"{METRICS}/pods", fieldSelector="metadata.namespace!=default") == []
    assert await names(f"{METRICS}/nodes", labelSelector="zone=b") == ["sim-b"]
    (await api.post(NAMESPACES, {"metadata": {"name": "other"}})).ok()
    assert await names(f"{METRICS}/namespaces/other/pods") == []
    assert (await api.get(POD_METRICS, labelSelector="a=(")).code == 400
    table = (await api.get(POD_METRICS, accept=TABLE)).ok()
    assert [column["name"] for column in table["columnDefinitions"]] == [
        "Name",
        "cpu",
        "memory",
        "window",
    ]
    assert [row["cells"] for row in table["rows"]] == [
        ["a", "250000000n", "1024Ki", "30s"],
        ["b", "1500000000n", "2048Ki", "30s"],
    ]
    nodes = (await api.get(f"{METRICS}/nodes/sim-a", accept=TABLE)).ok()
    assert [row["cells"] for row in nodes["rows"]] == [["sim-a", "250000000n", "1024Ki", "30s"]]


@served
async def test_what_there_is_not_is_refused_in_plain_words(api: Served) -> None:
    await populate(api)
    missing = await api.get(f"{POD_METRICS}/c")
    assert (missing.code, missing.message) == (404, 'pods.metrics.k8s.io "c" not found')
    missing = await api.get(f"{METRICS}/nodes/real")
    assert (missing.code, missing.message) == (404, 'nodes.metrics.k8s.io "real" not found')
    for path in (
        f"{METRICS}/things",
        f"{METRICS}/namespaces/default/nodes",
        f"{POD_METRICS}/a/status",
        "/apis/metrics.k8s.io/v1/pods",
    ):
        assert (await api.get(path)).code == 404, path
    assert (await api.post(POD_METRICS, {})).code == 405
    assert (await api.get(f"{METRICS}/pods/a")).code == 405
    assert (await api.get(POD_METRICS, watch="1")).code == 405
    assert (await api.get(POD_METRICS, accept=OF_METADATA)).code == 406


@served
async def test_yaml_is_spoken_on_request(api: Served) -> None:
    await populate(api)
    listed = await api.get(POD_METRICS, accept="application/yaml")
    assert yaml.safe_load(listed.document)["kind"] == "PodMetricsList"


@served
async def test_discovery_and_the_api_service_name_it(api: Served) -> None:
    listed = (await api.get(METRICS)).ok()
    assert listed["resources"] == [
        {
            "name": "nodes",
            "singularName": "nodemetrics",
            "namespaced": False,
            "kind": "NodeMetrics",
            "verbs": ["get", "list"],
        },
        {
            "name": "pods",
            "singularName": "podmetrics",
            "namespaced": True,
            "kind": "PodMetrics",
            "verbs": ["get", "list"],
        },
    ]
    groups = (await api.get("/apis")).ok()["groups"]
    assert "metrics.k8s.io" in [group["name"] for group in groups]
    services = "/apis/apiregistration.k8s.io/v1/apiservices"
    found = (await api.get(f"{services}/v1beta1.metrics.k8s.io")).ok()
    assert found["spec"] == {
        "group": "metrics.k8s.io",
        "version": "v1beta1",
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
    }
    (condition,) = found["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("Available", "True")
    assert (condition["reason"], condition["message"]) == (
        "Local",
        "Local APIServices are always available",
    )
    assert (await api.get("/openapi/v3")).code == 200
    assert (await api.get("/openapi/v2")).code == 200
    assert (await api.get(POD_METRICS)).code == 200
    named = {"spec": {"service": {"namespace": "kube-system", "name": "metrics-server"}}}
    (await api.patch(f"{services}/v1beta1.metrics.k8s.io", named)).ok()
    assert (await api.get(POD_METRICS)).code == 503  # somebody else's, who is not there


def test_another_metrics_server_stays_when_the_server_starts_again() -> None:
    async def main(world: SimulatedWorld) -> None:
        path = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io"
        async with serving(world) as api:
            named = {"spec": {"service": {"namespace": "kube-system", "name": "other"}}}
            (await api.patch(path, named)).ok()
            store = api.store
        async with serving(world, store) as api:
            assert (await api.get(path)).ok()["spec"]["service"]["name"] == "other"

    simulate(1, main)
