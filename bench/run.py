"""All benchmarks in one run, ours and the peers', written to docs/benchmarks.md.

Run as root from the checkout: `PYTHONPATH=src python bench/run.py [--kload PATH]`. Nothing is
switched off: TLS, durable, default flags, ownership recorded, controllers on.
"""

from __future__ import annotations

import argparse
import asyncio
import compileall
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bound
import clock
import etcd
import lists
import pods
import processes
import scale
import surface
from row import Row

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "docs" / "benchmarks.md"
KLOAD = ROOT.parent / "shared" / "bench" / "kload"
PORT = 26443
PODS = 5_000
ETCD_PUTS = 20_000
PARTS = ("start", "requests", "surface", "pods", "containers", "bound", "scale", "clock")
WANTED = {
    "warm, existing sandbox": "at most crun's",
    "warm, new sandbox": "at most crun's",
    "steer-runtime run (cold)": "at most runc's",
}


class Cluster:
    """A cluster made for one benchmark."""

    def __init__(self, place: Path) -> None:
        self.directory = place / "cluster"
        self.config = place / "kubeconfig"

    def steer(self, *words: str) -> str:
        """Runs a command of steer and returns what it prints."""
        command = [sys.executable, "-P", "-m", "steersman", *words]
        command += ["--data-dir", str(self.directory)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout

    def up(self, *words: str) -> float:
        """Starts the cluster; returns the seconds from process start to ready."""
        began = time.perf_counter()
        ready = ["--detach", "--kubeconfig", str(self.config), "--port", str(PORT)]
        self.steer("up", *ready, *words)
        return time.perf_counter() - began

    @property
    def server(self) -> int:
        """The server's process."""
        return processes.find("steer-server", str(self.directory))

    def kubectl(self, *words: str, text: str | None = None) -> str:
        """Runs kubectl on the cluster."""
        command = ["kubectl", "--kubeconfig", str(self.config), *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True, input=text)
        return done.stdout


@contextmanager
def cluster(*words: str) -> Iterator[tuple[Cluster, float]]:
    """Runs a new cluster; gives it and how long it took to be ready."""
    with tempfile.TemporaryDirectory(dir=ROOT.parent, prefix="bench-") as place:
        made = Cluster(Path(place))
        try:
            yield made, made.up(*words)
        finally:
            made.steer("down")


def start_up(rounds: int) -> list[Row]:
    """How long a start on an empty directory takes."""
    rows = []
    for what, wanted, words in (
        ("`steer up --no-node` on an empty directory, process start to ready", "0.3 s",
         ("--no-node",)),
        ("`steer up` to node Ready and default ServiceAccount", "1 s", ()),
    ):  # fmt: skip
        seconds = []
        for _ in range(rounds):
            with cluster(*words) as (_made, took):
                seconds.append(took)
        rows.append(Row(what, f"{statistics.median(seconds):.2f} s", wanted, raw=seconds))
    return rows


def idle(made: Cluster) -> Row:
    """Memory and processor of a server that has nothing to do."""
    time.sleep(5)
    before = processes.cpu_seconds(made.server)
    time.sleep(20)
    used = (processes.cpu_seconds(made.server) - before) / 20 * 100
    megabytes = processes.pss_bytes(made.server) / 1e6
    what = "memory of the server, idle (PSS); idle processor"
    return Row(what, f"{megabytes:.0f} MB; {used:.2f} %", "60 MB; under 0.3 %")


def load(made: Cluster, kload: Path, scenario: str, *words: str) -> tuple[list[Any], float]:
    """Runs kload; returns its lines and the server's processor time."""
    before = processes.cpu_seconds(made.server)
    command = [str(kload), "-kubeconfig", str(made.config), "-scenario", scenario, "-h1", *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    if any(line["errors"] for line in lines):
        raise RuntimeError(f"kload met errors: {done.stdout}")
    return lines, processes.cpu_seconds(made.server) - before


def requests(kload: Path) -> list[Row]:
    """Creations, reads and lists over TLS on a durable store, with etcd's puts beside."""
    with cluster("--no-node") as (made, _):
        rows = [idle(made)]
        made.kubectl("create", "namespace", "kload")
        watch = subprocess.Popen(
            ["kubectl", "--kubeconfig", str(made.config), "get", "pods", "-A", "-w"],
            stdout=subprocess.DEVNULL,
        )
        lines, used = load(made, kload, "create", "-n", str(PODS), "-c", "64", "-conns", "64")
        watch.terminate()
        watch.wait()
        stored = made.kubectl("get", "--raw", "/api/v1/namespaces/kload/pods/p-000000")
        peer, peer_cpu = etcd_puts(len(stored))
        counted = len(made.kubectl("get", "pods", "-n", "kload", "-o", "name").split())
        rate = lines[0]["per_second"]
        wanted = f"etcd's rate in this run: {peer:.0f}/s; at most 120 µs"
        what = f"Pod creations a second, 64 connections, one watcher ({counted} counted after)"
        per = f"{used / PODS * 1e6:.0f} µs (etcd {peer_cpu:.0f} µs)"
        rows.append(Row(what, f"{rate:.0f}/s, p50 {lines[0]['p50_ms']} ms", wanted, per, lines))
        rows += reads(made, kload)
        return rows


def reads(made: Cluster, kload: Path) -> list[Row]:
    """GET and LIST."""
    lines, used = load(made, kload, "get", "-n", str(PODS), "-c", "16", "-conns", "16")
    found = lines[0]
    measured = f"{found['per_second']:.0f}/s, p50 {found['p50_ms']} ms, p99 {found['p99_ms']} ms"
    wanted = "16,000/s, median under 1 ms, p99 under 5 ms, at most 35 µs"
    per = f"{used / found['n'] * 1e6:.0f} µs"
    rows = [Row("GET of a Pod, 16 connections", measured, wanted, per, lines)]
    lines, used = load(made, kload, "list", "-n", str(PODS), "-c", "4", "-conns", "4")
    found = next(line for line in lines if line["scenario"] == "list_consistent")
    what = f"LIST of {PODS} Pods (four at once)"
    rows.append(Row(what, f"p50 {found['p50_ms']:.0f} ms", "60 ms", raw=lines))
    return [*rows, *lists_alone(made)]


def lists_alone(made: Cluster) -> list[Row]:
    """One LIST at a time, and what a client that GETs waits meanwhile."""
    path = "/api/v1/namespaces/kload/pods"
    before = processes.cpu_seconds(made.server)
    found = lists.alone(made.config, path)
    used = (processes.cpu_seconds(made.server) - before) / lists.LISTS
    first, whole = (statistics.median(times) * 1000 for times in zip(*found, strict=True))
    shown = f"{whole:.0f} ms, first byte {first:.1f} ms"
    what = f"LIST of {PODS} Pods, one at a time"
    rows = [Row(what, shown, "60 ms, first byte 5 ms", f"{used * 1000:.1f} ms", found)]
    waits = lists.beside(made.config, path, f"{path}/p-000000")
    longest = [f"{max(times) * 1000:.1f} ms" for times in waits]
    shown = f"{longest[1]} (without LISTs {longest[0]})"
    what = f"longest wait of a client's GETs while another LISTs {PODS} Pods"
    return [*rows, Row(what, shown, "10 ms", raw=[max(times) for times in waits])]


def etcd_puts(value_bytes: int) -> tuple[float, float]:
    """Returns etcd's puts a second and its processor time in µs for each."""
    with (
        tempfile.TemporaryDirectory(dir=ROOT.parent, prefix="bench-") as place,
        etcd.running(Path(place)) as (port, process),
    ):
        rate = etcd.put(port, value_bytes, ETCD_PUTS, 64)
        return rate, processes.cpu_seconds(process) / ETCD_PUTS * 1e6


def surface_of_the_server() -> list[Row]:
    """What else clients ask of the API server: see `surface.py`."""
    with cluster("--no-node") as (made, _):
        return surface.measure(made)


def pods_of_a_node() -> list[Row]:
    """What a node's pods cost: see `pods.py`."""
    with cluster() as (made, _):
        context = pods.context(made.config.parent)
        made.steer("build", "-t", pods.IMAGE, str(context))
        return asyncio.run(pods.measure(made.config, made.directory))


def containers() -> list[Row]:
    """Start and exit of a container, ours and the peers'."""
    command = [sys.executable, str(ROOT / "bench" / "runtime.py"), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, list[float]] = json.loads(done.stdout)
    rows = []
    for name, seconds in found.items():
        if name.startswith(" "):
            continue
        used = found.get(f"  processor: {name}", [])
        cpu = f"{statistics.median(used) * 1000:.1f} ms" if used else ""
        wanted = WANTED.get(name, "")
        unit = "MB" if name.startswith("PSS") else "ms"  # both in thousandths
        measured = f"{statistics.median(seconds) * 1000:.1f} {unit}"
        rows.append(Row(f"container: {name}", measured, wanted, cpu, seconds))
    return rows


def build_kload() -> Path:
    """Builds the load generator from the shared folder."""
    target = Path(tempfile.gettempdir()) / f"kload-{os.getpid()}"
    subprocess.run(["go", "build", "-o", str(target), "."], check=True, cwd=KLOAD)
    return target


def render(rows: list[Row], load: float) -> str:
    """Returns the document; load is the machine's before the first row was measured."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `bench/run.py` in one run on one machine: TLS, durable, default flags, nothing",
        "switched off. Processor time is the server's, from the kernel's accounting, for each",
        "operation. Load generators saturate first on two cores, so compare processor times too.",
        "",
        f"Machine: {os.cpu_count()} cores, {os.uname().machine}, Linux {os.uname().release}, "
        f"Python {sys.version.split()[0]}, load before the run {load:.2f}.",
        "",
        "| what | measured | to reach | processor |",
        "|---|---|---|---|",
    ]
    lines += [f"| {row.what} | {row.measured} | {row.wanted} | {row.cpu} |" for row in rows]
    lines += ["", "## Raw results", "", "```json"]
    lines += [json.dumps({"what": row.what, "raw": row.raw}) for row in rows if row.raw]
    return "\n".join([*lines, "```", ""])


def main() -> None:
    """Runs everything."""
    # What pip installs is compiled; some machines' shells keep a checkout from being so
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(ROOT / "src", quiet=1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kload", type=Path, help="a built load generator")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=PARTS)
    arguments = parser.parse_args()
    kload = arguments.kload or build_kload()
    parts = {
        "start": lambda: start_up(arguments.rounds),
        "requests": lambda: requests(kload),
        "surface": surface_of_the_server,
        "pods": pods_of_a_node,
        "containers": containers,
        "bound": bound.rows,
        "scale": scale.rows,
        "clock": clock.measure,
    }
    chosen = [arguments.only] if arguments.only else list(parts)
    load = os.getloadavg()[0]
    text = render([row for name in chosen for row in parts[name]()], load)
    if arguments.only:
        print(text)
    else:
        TARGET.write_text(text)


if __name__ == "__main__":
    main()
