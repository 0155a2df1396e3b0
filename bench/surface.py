"""What clients of the API server ask beside creations and reads: watches fanned out, server-side
apply, custom resources with rules, selected lists, a mix of everything.

Gives rows to `run.py`; `client` is what a process of its own does for one row.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import first
import processes
import uvloop
from pump import connect, request, send
from row import Row

WATCHERS = 1_000
WRITES = 50
WRITES_SECOND = 10
APPLIES = 6_000
CREATIONS = 6_000
PODS = 10_000
MIX = 2_000
MIX_SECOND = 200
MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
WIDGETS = "/apis/bench.example.com/v1/namespaces/default/widgets"
POD_PATH = "/api/v1/namespaces/default/pods"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
RULES = ("self.minimum <= self.maximum", "self.parts.all(p, p.size() < 64)",
         "!has(self.note) || self.note != ''")  # fmt: skip


class Cluster(Protocol):
    """What is asked of a cluster."""

    config: Path

    @property
    def server(self) -> int:
        """The server's process."""

    def kubectl(self, *words: str, text: str | None = None) -> str:
        """Runs kubectl."""


def container() -> dict[str, Any]:
    return {"name": "main", "image": "nginx", "ports": [{"containerPort": 80}]}


def deployment(name: str, turn: int = 0) -> dict[str, Any]:
    """Returns a Deployment without pods, as a person applies it."""
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container()]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name, "turn": str(turn)}},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": name}},
            "template": template,
        },
    }


def definition() -> dict[str, Any]:
    """Returns the definition of a kind with a schema and three rules."""
    text, number = {"type": "string"}, {"type": "integer"}
    spec = {
        "type": "object",
        "required": ["minimum", "maximum"],
        "properties": {
            "minimum": number,
            "maximum": number,
            "note": text,
            "parts": {
                "type": "array",
                "maxItems": 32,
                "items": {"type": "string", "maxLength": 64},
            },
        },
        "x-kubernetes-validations": [{"rule": rule} for rule in RULES],
    }
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.bench.example.com"},
        "spec": {
            "group": "bench.example.com",
            "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


def widget(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "bench.example.com/v1",
        "kind": "Widget",
        "metadata": {"name": f"w-{number:06}", "labels": {"app": "bench"}},
        "spec": {"minimum": 1, "maximum": number + 1, "parts": ["one", "two", "three"]},
    }


def pod(number: int) -> dict[str, Any]:
    labels = {"app": "bench", "number": str(number)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"p-{number:06}", "labels": labels},
        "spec": {"schedulerName": "nobody", "containers": [container()]},
    }


def applies() -> Iterator[bytes]:
    """Yields changes by server-side apply, over and over, to some hundred Deployments."""
    for number in range(APPLIES):
        name = f"d-{number % 100:03}"
        body = json.dumps(deployment(name, number // 100)).encode()
        yield request("PATCH", f"{DEPLOYMENTS}/{name}?fieldManager=bench&force=true", body, APPLY)


def creations(path: str, documents: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    for document in documents:
        yield request("POST", path, json.dumps(document).encode())


def selected() -> Iterator[bytes]:
    """Yields lists of one pod among all, by its label."""
    for number in range(0, PODS, PODS // 500):
        yield request("GET", f"{POD_PATH}?labelSelector={quote(f'number={number}')}")


def mixed() -> Iterator[bytes]:
    """Yields a mix of everything that clients ask, without end."""
    applied = next(applies())
    for number in cycle(range(PODS)):
        one = f"{POD_PATH}/p-{number:06}"
        patch = json.dumps({"metadata": {"labels": {"turn": str(number)}}}).encode()
        named = json.dumps({"data": {"turn": str(number)}}).encode()
        yield from (
            request("GET", one),
            request("PATCH", one, patch, MERGE),
            request("GET", f"{POD_PATH}?limit=50"),
            request("GET", f"{POD_PATH}?labelSelector=number%3D{number}"),
            request("PATCH", f"{MAPS}/mixed", named, MERGE),
            request("GET", f"{MAPS}/mixed"),
            request("GET", "/apis/apps/v1"),
            applied,
            request("GET", one),
            request("GET", DEPLOYMENTS + "?limit=10"),
        )


def ask(config: Path, what: str) -> tuple[float, list[tuple[int, float]]]:
    """Has a process of its own send the requests of a row."""
    answered = config.with_name(f"{what}.json")
    subprocess.run([sys.executable, __file__, str(config), what, str(answered)], check=True)
    took, answers = json.loads(answered.read_text())
    bad = [code for code, _ in answers if not 200 <= code < 300]
    if bad:
        raise RuntimeError(f"{what}: {len(bad)} of {len(answers)} were refused, first {bad[0]}")
    return took, answers


def rate(took: float, times: list[float]) -> str:
    """Says how many were answered in a second."""
    return f"{len(times) / took:.0f}/s, p50 {statistics.median(times):.1f} ms"


def middle(_took: float, times: list[float]) -> str:
    """Says how long one of them took."""
    return f"p50 {statistics.median(times):.2f} ms"


def tail(_took: float, times: list[float]) -> str:
    """Says how long the slow ones took."""
    return f"p50 {statistics.median(times):.1f} ms, p99 {times[len(times) * 99 // 100]:.1f} ms"


def row(
    made: Cluster, name: str, what: str, wanted: str, shown: Callable[[float, list[float]], str]
) -> Row:
    """Has the requests of a kind sent; returns what is shown of them, with the least time, eight
    between, and the longest."""
    before = processes.cpu_seconds(made.server)
    took, answers = ask(made.config, name)
    used = (processes.cpu_seconds(made.server) - before) / len(answers)
    times = sorted(seconds * 1000 for _, seconds in answers)
    ninths = [times[(len(times) - 1) * part // 9] for part in range(10)]
    return Row(what, shown(took, times), wanted, f"{used * 1e6:.0f} µs", ninths)


def measure(made: Cluster) -> list[Row]:
    """Returns the rows, on a cluster without nodes."""
    what = "server-side apply of a Deployment, 32 connections"
    rows = [row(made, "applies", what, "3,000/s", rate)]
    times = first.compiled(made.config, deployment("first")["spec"]["template"])
    what = f"a kind's validators, made at its first use (longest of {len(times)} kinds)"
    rows.append(Row(what, f"{max(times) * 1000:.1f} ms", "10 ms", raw=times))
    seen = first.served(made.config, definition(), WIDGETS)
    rows.append(Row("a definition sent to its kind served", f"{seen * 1000:.0f} ms", "100 ms"))
    what = "creations of a custom resource with three rules, 32 connections"
    rows.append(row(made, "widgets", what, "3,000/s", rate))
    made.kubectl("delete", "crd", "widgets.bench.example.com", "--wait=false")
    ask(made.config, "pods")
    what = f"LIST of one Pod of {PODS} by a label, one at a time"
    rows.append(row(made, "selected", what, "under 2 ms", middle))
    made.kubectl("create", "configmap", "mixed")
    made.kubectl("delete", "deployments", "--all")
    made.kubectl("create", "-f", "-", text=json.dumps(deployment("d-000")))
    what = f"a mix of everything, {MIX_SECOND} requests a second over {PODS} Pods"
    rows.append(row(made, "mixed", what, "p99 under 20 ms", tail))
    return [*rows, *fan_out(made)]


def fan_out(made: Cluster) -> list[Row]:
    """1,000 watchers of what is written ten times a second."""
    before = processes.pss_bytes(made.server)
    answered = made.config.with_name("watchers.json")
    command = [sys.executable, __file__, str(made.config), "watchers", str(answered)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as watching:
        assert watching.stdout is not None and watching.stdin is not None
        assert watching.stdout.readline() == b"open\n"
        held = (processes.pss_bytes(made.server) - before) / WATCHERS
        began = processes.cpu_seconds(made.server)
        watching.stdin.write(b"go\n")
        watching.stdin.flush()
        watching.wait()
        used = (processes.cpu_seconds(made.server) - began) / (WRITES * WATCHERS)
    times = [seconds * 1000 for seconds in json.loads(answered.read_text())]
    shown = f"median {statistics.median(times):.0f} ms, longest {max(times):.0f} ms"
    what = f"write to last delivery, {WATCHERS} watchers over TLS, {WRITES_SECOND} writes a second"
    return [
        Row(what, shown, "40 ms", f"{used * 1e6:.1f} µs an event", times),
        Row("memory of an idle watcher", f"{held / 1000:.0f} kB", "50 kB"),
    ]


class _Watcher(asyncio.Protocol):
    """Counts the events of one watch."""

    def __init__(self, heard: Any) -> None:
        self.opened = asyncio.get_running_loop().create_future()
        self._heard = heard
        self._tail = b""

    def connection_made(self, transport: Any) -> None:
        """Asks for the watch of one object's kind."""
        transport.write(request("GET", f"{MAPS}?watch=true&fieldSelector=metadata.name%3Dwatched"))

    def data_received(self, data: bytes) -> None:
        """Takes note of each write."""
        if not self.opened.done():
            self.opened.set_result(None)
        data = self._tail + data
        count = data.count(b'"MODIFIED"')
        self._tail = data[-10:] if not data.endswith(b'"MODIFIED"') else b""
        for _ in range(count):
            self._heard()


async def watch(config: Path) -> list[float]:
    """Opens the watches, and at a word writes what they watch; returns the seconds that each write
    took to reach the last of them."""
    await send(config, creations(MAPS, iter([{"metadata": {"name": "watched"}}])), 1)
    loop, heard, left = asyncio.get_running_loop(), asyncio.Event(), 0

    def hear() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            heard.set()

    opened = [await connect(config, lambda: _Watcher(hear)) for _ in range(WATCHERS)]
    await asyncio.gather(*(one.opened for one in opened))
    print("open", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)
    took = []
    for number in range(WRITES):
        heard.clear()
        left = WATCHERS
        body = json.dumps({"data": {"number": str(number)}}).encode()
        began = time.perf_counter()
        await send(config, iter([request("PATCH", f"{MAPS}/watched", body, MERGE)]), 1)
        await heard.wait()
        took.append(time.perf_counter() - began)
        await asyncio.sleep(max(0.0, 1 / WRITES_SECOND - took[-1]))
    return took


def client(config: Path, what: str) -> Any:
    """Does what one row asks of its client."""
    if what == "watchers":
        return uvloop.run(watch(config))
    made: dict[str, tuple[Iterator[bytes], int, float]] = {
        "applies": (applies(), 32, 0),
        "widgets": (creations(WIDGETS, map(widget, range(CREATIONS))), 32, 0),
        "pods": (creations(POD_PATH, map(pod, range(PODS))), 32, 0),
        "selected": (selected(), 1, 0),
        "mixed": (islice(mixed(), MIX), 16, MIX_SECOND),
    }
    return uvloop.run(send(config, *made[what]))


if __name__ == "__main__":
    Path(sys.argv[3]).write_text(json.dumps(client(Path(sys.argv[1]), sys.argv[2])))
