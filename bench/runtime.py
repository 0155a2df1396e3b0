"""Start and exit of one container: ours warm and cold, crun and runc, in turns on one machine.

Run as root: `PYTHONPATH=src python bench/runtime.py [--rounds N] [--json]`. Every runtime gets
the same busybox `true` with new mount, pid, network, ipc, uts and cgroup namespaces, masked
paths and control groups; ours has the default seccomp profile and an overlay on top of that.
crun 1.8 refuses hybrid control groups, so all peers run where /sys/fs/cgroup/unified is hidden.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from steersman.runtime import spec
from steersman.runtime.engine import Engine, warm_command

MAIN = os.path.join(os.path.dirname(spec.__file__), "__main__.py")
HIDDEN = "umount /sys/fs/cgroup/unified 2>/dev/null; exec"
PODS_AT_ONCE = 50


def make_bundle(directory: pathlib.Path) -> None:
    """A bundle that all runtimes take."""
    binaries = directory / "rootfs" / "bin"
    binaries.mkdir(parents=True)
    shutil.copy("/usr/bin/busybox", binaries / "busybox")
    (binaries / "true").symlink_to("busybox")
    for name in ("proc", "dev", "sys"):
        (directory / "rootfs" / name).mkdir()
    document = spec.container_document(
        args=["true"], layers=["x"], sandbox_pid=1, env=["PATH=/bin"]
    )
    del document["steersman"]
    kinds = ("mount", "pid", "network", "ipc", "uts", "cgroup")
    document["ociVersion"] = "1.0.2"
    document["root"] = {"path": "rootfs", "readonly": False}
    document["linux"]["namespaces"] = [{"type": kind} for kind in kinds]
    document["linux"]["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    (directory / "config.json").write_text(json.dumps(document))


def timed(command: list[str]) -> float:
    """Seconds that a command takes."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


async def container(engine: Engine, sandbox: Any, name: str, layer: str) -> None:
    """One container from creation to its end."""
    document = spec.container_document(
        args=["true"], layers=[layer], sandbox_pid=sandbox.pid, env=["PATH=/bin"], shm=sandbox.shm
    )
    await engine.create(sandbox.pod, name, document)
    await engine.start(sandbox.pod, name)
    await engine.wait(sandbox.pod, name, 60)


class Warm:
    """Measures through a warm parent."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.layer = str(directory / "rootfs")
        self.engine = Engine(str(directory / "run" / "s"), str(directory / "pods"))
        command = warm_command(str(directory / "run" / "s"), str(directory / "pods"))
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.process.stdout.readline()
        self.count = 0

    async def pod(self) -> Any:
        self.count += 1
        spec_ = {"cgroup_parent": f"/steer-bench-{os.getpid()}/p{self.count}", "hostname": "b"}
        return await self.engine.start_sandbox(f"p{self.count}", spec_)

    async def in_sandbox(self, sandbox: Any) -> float:
        self.count += 1
        start = time.perf_counter()
        await container(self.engine, sandbox, f"c{self.count}", self.layer)
        taken = time.perf_counter() - start
        await self.engine.delete(sandbox.pod, f"c{self.count}")
        return taken

    async def with_sandbox(self) -> float:
        start = time.perf_counter()
        sandbox = await self.pod()
        await container(self.engine, sandbox, "only", self.layer)
        taken = time.perf_counter() - start
        await self.engine.remove_sandbox(sandbox.pod)
        return taken

    async def many(self) -> float:
        async def one() -> Any:
            sandbox = await self.pod()
            await container(self.engine, sandbox, "only", self.layer)
            return sandbox

        start = time.perf_counter()
        sandboxes = await asyncio.gather(*(one() for _ in range(PODS_AT_ONCE)))
        taken = time.perf_counter() - start
        await asyncio.gather(*(self.engine.remove_sandbox(made.pod) for made in sandboxes))
        return taken


def proportional_bytes(pid: int) -> int:
    """Memory of a process, shared pages divided by how many share them."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no Pss")


def processor_seconds(*pids: int) -> float:
    """Processor time of this process, its ended children, and of `pids` with theirs."""
    own, children = (
        resource.getrusage(resource.RUSAGE_SELF),
        resource.getrusage(resource.RUSAGE_CHILDREN),
    )
    total = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")
    return total


async def measure(directory: pathlib.Path, rounds: int) -> dict[str, list[float]]:
    """All measurements, taken in turns so that the machine's load is the same for all."""
    warm = Warm(directory)
    sandbox = await warm.pod()
    bundle, root = str(directory), str(directory / "root")
    cold = [sys.executable, "-I", "-S", MAIN, "--root", root, "run", "-b", bundle, "x"]
    peers: dict[str, Callable[[], float]] = {"steer-runtime run (cold)": lambda: timed(cold)}
    for name in ("crun", "runc"):
        if shutil.which(name):
            command = [name, "--root", root, "run", "-b", bundle, "x"]
            peers[f"{name} run"] = lambda command=command: timed(command)
    results: dict[str, list[float]] = {}
    used: dict[str, float] = {}

    def note(name: str, taken: float, before: float) -> None:
        results.setdefault(name, []).append(taken)
        used[name] = used.get(name, 0.0) + processor_seconds(sandbox.pid) - before

    for _ in range(rounds):
        before = processor_seconds(sandbox.pid)
        note("warm, existing sandbox", await warm.in_sandbox(sandbox), before)
        results.setdefault("warm, new sandbox", []).append(await warm.with_sandbox())
        for name, peer in peers.items():
            before = processor_seconds(sandbox.pid)
            note(name, peer(), before)
    for name, seconds in used.items():
        results[f"  processor: {name}"] = [seconds / rounds]
    results[f"warm, {PODS_AT_ONCE} pods at once"] = [await warm.many() for _ in range(3)]
    results["PSS of warm parent, MB"] = [proportional_bytes(warm.process.pid) / 1e9]
    results["PSS of a shim, MB"] = [proportional_bytes(sandbox.pid) / 1e9]
    await warm.engine.remove_sandbox(sandbox.pod)
    warm.process.terminate()
    warm.process.communicate()
    return results


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        again = [sys.executable, *sys.argv, "--inside"]
        os.execvp("unshare", ["unshare", "-m", "sh", "-c", f'{HIDDEN} "$@"', "sh", *again])
    directory = pathlib.Path(tempfile.mkdtemp(prefix="steer-bench-"))
    try:
        make_bundle(directory)
        results = asyncio.run(measure(directory, options.rounds))
    finally:
        shutil.rmtree(directory)
    if options.json:
        print(json.dumps(results))
        return
    for name, values in results.items():
        low, middle = min(values) * 1000, statistics.median(values) * 1000
        print(f"{name:28}  median {middle:7.1f}  least {low:7.1f}  ({len(values)} times, ms)")


if __name__ == "__main__":
    main()
