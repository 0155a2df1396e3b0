"""Reads the signals of the machine and what pods use on its disks; in place of it tests give their
own. Nothing is decided here.
"""

from __future__ import annotations

from pathlib import Path

from steersman.node.csi.layout import PLUGIN
from steersman.node.measure.measuring import Measuring
from steersman.node.measure.trees import size_of
from steersman.node.observed import Observed, parse_engine_name
from steersman.node.paths import Paths
from steersman.node.pressure import thresholds
from steersman.node.pressure.ranking import Use
from steersman.node.pressure.thresholds import Level, Signals
from steersman.node.volumes import memory


class SignalSource:
    """The machine as the monitor sees it."""

    def __init__(self, measuring: Measuring, paths: Paths, proc: Path) -> None:
        self._measuring = measuring
        self._paths = paths
        self._proc = proc

    def signals(self) -> Signals:
        """Looks at memory, disks and processes: some five files, no trees."""
        machine = self._measuring.machine()
        whole, node, images = machine.whole, machine.disk, machine.images
        threads = int((self._proc / "loadavg").read_text().split()[3].partition("/")[2])
        capacity, most = whole.limit_bytes, machine.most_processes
        return {
            thresholds.MEMORY: Level(capacity - whole.working_set_bytes, capacity),
            thresholds.NODE_DISK: Level(node.available_bytes, node.capacity_bytes),
            thresholds.NODE_INODES: Level(node.inodes_free, node.inodes),
            thresholds.IMAGE_DISK: Level(images.available_bytes, images.capacity_bytes),
            thresholds.IMAGE_INODES: Level(images.inodes_free, images.inodes),
            thresholds.PROCESSES: Level(most - threads, most),
        }

    async def groups(self) -> dict[str, Use]:
        """Returns memory and processes of every pod that runs, by uid; raises OSError."""
        await self._measuring.look()
        found = {}
        for pod in self._measuring.pods():
            if pod.whole is not None:
                containers = {it.name: (it.reading.working_set_bytes, 0) for it in pod.containers}
                whole = pod.whole
                found[pod.uid] = Use(whole.working_set_bytes, 0, whole.processes, containers)
        return found

    def volumes(self, uid: str) -> dict[str, int]:
        """Returns the sizes of a pod's volumes on the disk, in bytes, by name; what CSI drivers
        have mounted is not the node's, and may not answer."""
        directory = self._paths.pod(uid) / "volumes"
        if not directory.is_dir():
            return {}
        own = (it for it in directory.iterdir() if it.name != PLUGIN)
        places = (it for it in own if not it.is_symlink())
        return {it.name: size_of(it) for it in places if not memory.is_mounted(it)}

    def disk(self, seen: Observed, volumes: int) -> Use:
        """Returns what a pod has on the disk: layers that it wrote, logs, and its volumes."""
        containers: dict[str, int] = {}
        written = self._paths.runtime / "pods" / seen.uid / "containers"
        for directory in written.iterdir() if written.is_dir() else ():
            name = parse_engine_name(directory.name)[0]
            containers[name] = containers.get(name, 0) + size_of(directory / "upper")
        for (uid, run), size in self._measuring.written.items():
            if uid == seen.uid:
                name = parse_engine_name(run)[0]
                containers[name] = containers.get(name, 0) + size
        for name in seen.containers:
            logs = self._paths.pod_logs(seen.namespace, seen.name, seen.uid) / name
            containers[name] = containers.get(name, 0) + size_of(logs)
        total = volumes + sum(containers.values())
        return Use(disk=total, containers={name: (0, it) for name, it in containers.items()})
