"""A containerd of a test's own: root, state, socket, configuration and network below one folder,
and images out of an archive, since no registry can be reached.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node_cluster import BUSYBOX, IMAGE, build_image

from steersman.cri.client.calls import Calls
from steersman.cri.client.removal import remove_all
from steersman.images import archive
from steersman.images.building.build import Request, build
from steersman.images.references import parse
from steersman.images.store import Store
from steersman.world.real import RealWorld

PLUGINS = Path("/usr/lib/cni")
needs_containerd = pytest.mark.skipif(
    not (shutil.which("containerd") and shutil.which("ctr") and (PLUGINS / "ptp").exists()),
    reason="containerd and containernetworking-plugins: not installed here",
)
PAUSE = "localhost/steer-pause:1"
START_SECONDS = 30.0
_FILE = """FROM scratch
COPY busybox /bin/busybox
ENTRYPOINT ["/bin/busybox", "sleep", "1000000000"]
"""
_CONFIG = """version = 2
root = "{home}/root"
state = "{home}/state"
disabled_plugins = [{disabled}]

[grpc]
address = "{socket}"

[ttrpc]
address = "{socket}.ttrpc"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
stream_server_address = "127.0.0.1"
stream_server_port = "0"
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{home}/cni"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.other]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.other.options]
Root = "{home}/other"
"""
_DISABLED = (
    *("io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs"),
    *("io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"),
    *("io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing"),
)


def render_network(number: int, home: Path) -> dict[str, Any]:
    """Returns a network in which every pod is routed on this machine, with a range of its own."""
    ranges = [[{"subnet": f"10.249.{number}.0/24"}]]
    routes = [{"dst": "0.0.0.0/0"}]
    ipam = {"type": "host-local", "dataDir": str(home / "addresses"), "ranges": ranges}
    pairs = {"type": "ptp", "ipMasq": False, "ipam": {**ipam, "routes": routes}}
    return {"cniVersion": "0.4.0", "name": f"test{number}", "plugins": [pairs]}


class Containerd:
    """One that runs."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.socket = home / "c.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, again too, and waits until it answers."""
        (self.home / "cni").mkdir(parents=True, exist_ok=True)
        network = render_network(os.getpid() % 250, self.home)
        (self.home / "cni" / "10-test.conflist").write_text(json.dumps(network))
        config = self.home / "config.toml"
        disabled = ", ".join(f'"{it}"' for it in _DISABLED)
        config.write_text(
            _CONFIG.format(
                home=self.home, socket=self.socket, pause=PAUSE, plugins=PLUGINS, disabled=disabled
            )
        )
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["containerd", "-c", str(config)], stdout=log, stderr=log, start_new_session=True
            )
        self._await()

    def _await(self) -> None:
        assert self._process is not None
        until = time.monotonic() + START_SECONDS
        while self.ctr("version", check=False).returncode != 0:
            assert self._process.poll() is None, (self.home / "log").read_text()[-2000:]
            assert time.monotonic() < until, (self.home / "log").read_text()[-2000:]
            time.sleep(0.05)

    def ctr(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Asks it by its own tool."""
        command = ["ctr", "-a", str(self.socket), "-n", "k8s.io", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert not check or done.returncode == 0, done
        return done

    def load(self) -> None:
        """Gives it the image of the tests and that of sandboxes."""
        images = self.home / "images"
        build_image(images)
        context = self.home / "context"
        context.mkdir()
        shutil.copy(BUSYBOX, context / "busybox")
        (context / "Containerfile").write_text(_FILE)
        store = Store(images)
        build(store, Request(context, (parse(PAUSE),), time.time()))
        found = [store.find(parse(name)) for name in (IMAGE, PAUSE)]
        with (self.home / "images.tar").open("wb") as file:
            archive.save(store, [it for it in found if it is not None], file.write)
        self.ctr("image", "import", str(self.home / "images.tar"))

    def left(self) -> list[str]:
        """Returns what still runs in it."""
        return self.ctr("container", "ls", "-q").stdout.split()

    def stop(self) -> None:
        """Ends it; what runs goes on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(START_SECONDS)

    def clean(self) -> None:
        """Ends what a failed test may have left in it, and it."""
        try:
            asyncio.run(self._remove_pods())
        finally:
            self.stop()
        mounted = Path("/proc/self/mounts").read_text().splitlines()
        for line in reversed([it for it in mounted if str(self.home) in it]):
            subprocess.run(["umount", line.split()[1]], capture_output=True, check=False)

    async def _remove_pods(self) -> None:
        calls = Calls(self.socket, RealWorld())
        await remove_all(calls, {})
        calls.close()


@contextlib.contextmanager
def containerds(home: Path) -> Iterator[Containerd]:
    """A containerd that is there for a while, with the tests' images."""
    made = Containerd(home)
    try:
        made.start()
        made.load()
        yield made
    finally:
        made.clean()
