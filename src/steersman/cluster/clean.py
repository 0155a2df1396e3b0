"""Removes what a node of an ended cluster left on its machine: only what bears the cluster's id.

To be called when no agent runs. Repeatable, and from what is on disk and in the kernel alone; what
pods have on disk stays for the next start, but for what is mounted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import signal
from pathlib import Path

from steersman.cluster.node import cgroup_of, warm_socket
from steersman.network.clean import clean
from steersman.node import warm
from steersman.node.csi.layout import Layout
from steersman.node.objects import BadConfiguration
from steersman.node.paths import Paths
from steersman.node.volumes import memory, mounting, sharing
from steersman.node.volumes.iscsi import sessions
from steersman.runtime import state
from steersman.runtime.engine import Engine, EngineError
from steersman.runtime.kernel import cgroups
from steersman.world.real import RealWorld

log = logging.getLogger(__name__)
END_SECONDS = 10.0  # the warm parent ends at once; a machine may be slow


def clean_node(cluster: str, directory: Path, run: Path) -> None:
    """Ends all shims and containers; removes mounts, control groups and the network."""
    paths = Paths(directory)
    asyncio.run(_end_pods(paths, run))
    asyncio.run(_end_elsewhere(paths, cluster))
    _end_warm(warm_socket(run))
    _release(paths)
    group = cgroups.opener(cgroups.find_hierarchies())(cgroup_of(cluster))
    cgroups.kill(group)
    group.remove()
    cgroups.remove_everywhere(cgroups.find_hierarchies(), cgroup_of(cluster))
    clean(cluster, run.parent)


async def _end_pods(paths: Paths, run: Path) -> None:
    """Ends every pod whose shim lives, then what dead shims left."""
    engine = Engine(str(warm_socket(run)), str(paths.runtime))
    living = [it.pod for it in await engine.connect() if not it.lost]
    async with asyncio.TaskGroup() as group:
        for pod in living:
            group.create_task(engine.remove_sandbox(pod))
    await engine.close()
    left = paths.runtime / "pods"
    for name in os.listdir(left) if left.is_dir() else ():
        state.clean_up(str(left / name))


async def _end_elsewhere(paths: Paths, cluster: str) -> None:
    """Ends the pods of a node whose engine is a container runtime; where that does not answer they
    stay, which is told."""
    if not paths.endpoint.exists():
        return
    from steersman.cri.client.calls import Calls
    from steersman.cri.client.naming import CLUSTER
    from steersman.cri.client.removal import remove_all

    endpoint = Path(paths.endpoint.read_text())
    calls = Calls(endpoint, RealWorld())
    try:
        await remove_all(calls, {CLUSTER: cluster})
    except EngineError as error:
        log.warning("pods stay in the container runtime at %s: %s", endpoint, error)
    finally:
        calls.close()


def _end_warm(socket: Path) -> None:
    process = warm.ask(socket)
    if not process:
        return
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return
    try:
        os.kill(process, signal.SIGTERM)
        ready, _, _ = select.select([handle], [], [], END_SECONDS)
        if not ready:
            os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)


def _log_out(pod: Path, pods: Path) -> None:
    try:
        sessions.release(pod, pods)
    except BadConfiguration as error:
        log.warning("%s", error)


def _release(paths: Paths) -> None:
    """Takes away what is mounted for pods; the drivers that mounted it may be gone."""
    layout = Layout(paths.root)
    sharing.unshare(layout.plugins)
    if paths.pods.is_dir():
        for pod in paths.pods.iterdir():
            memory.unmount_below(paths.subpaths(pod.name))
            memory.unmount_below(layout.volumes(pod.name))
            mounting.unmount(paths, pod.name)
            _log_out(pod, paths.pods)
    sharing.unshare(paths.pods)
