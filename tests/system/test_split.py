"""`steer up --split`: a cluster whose controllers and scheduler are a process of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from steersman.cli.directory import Directory
from steersman.client.client import APIClient, whole
from steersman.client.http import HTTPTransport, Target
from steersman.cluster.control import LEASES, MANAGER, SCHEDULER, groups_of
from steersman.model.errors import Forbidden
from steersman.model.kinds.configmap import CONFIGMAP
from steersman.model.kinds.deployment import DEPLOYMENT
from steersman.model.kinds.lease import LEASE
from steersman.model.kinds.pod import POD
from steersman.model.kinds.replicaset import REPLICASET
from steersman.reconcile.leader import JITTER, LEASE_SECONDS, RETRY_SECONDS
from steersman.wire.message import Request
from steersman.world.real import RealWorld

pytestmark = pytest.mark.system
SOURCE = Path(__file__).parent.parent.parent / "src"
READY_SECONDS = 240.0
# Longer than a lease: a control that was killed cannot give its leases up
TAKEOVER_SECONDS = 120.0
# A lease, the two looks of a candidate before and after it, and what a busy machine takes
FOLLOWED_SECONDS = LEASE_SECONDS + 2 * RETRY_SECONDS * (1 + JITTER) + 5.0
MANY = 200
ADMIN = ("kubernetes-admin", ("system:masters", "system:authenticated"))


def steer(*words: str) -> subprocess.Popen[bytes]:
    """Starts a command; its standard output is read by the test."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "steersman", *words],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )


def end(process: subprocess.Popen[bytes]) -> int:
    """Ends a command as Ctrl-C does; returns its exit code."""
    assert process.stdout is not None
    process.send_signal(signal.SIGTERM)
    with process.stdout:
        return process.wait(READY_SECONDS)


class Cluster:
    """A cluster that is up; clients reach it over its socket."""

    def __init__(self, directory: Directory, ready: dict[str, Any]) -> None:
        self.directory = directory
        self.server = ready["server"]
        self.processes: dict[str, int] = ready["processes"]
        self.socket = directory.run(directory.identity()) / "api.sock"

    @contextlib.asynccontextmanager
    async def client(
        self, user: str = ADMIN[0], groups: tuple[str, ...] = ADMIN[1]
    ) -> AsyncIterator[APIClient]:
        target = Target(socket=str(self.socket), user=user, groups=groups)
        client = APIClient(HTTPTransport(target, identity=user), RealWorld())
        try:
            yield client
        finally:
            await client.close()

    def run(self, test: Callable[[APIClient], Coroutine[Any, Any, None]]) -> None:
        """Runs a test as the administrator."""

        async def scenario() -> None:
            async with asyncio.timeout(READY_SECONDS), self.client() as client:
                await test(client)

        asyncio.run(scenario())


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    path = tmp_path_factory.mktemp("split")
    words = ["--split", "--no-node", "--simulated-nodes", "3", "-o", "json"]
    places = ["--data-dir", str(path / "data"), "--kubeconfig", str(path / "config")]
    supervisor = steer("up", *words, *places)
    try:
        assert supervisor.stdout is not None
        line = supervisor.stdout.readline()
        assert line, "the cluster did not start"
        yield Cluster(Directory(path / "data"), json.loads(line))
    finally:
        code = end(supervisor)
    assert code == 0
    assert not Directory(path / "data").run(Directory(path / "data").identity()).exists()


def deployment(name: str, replicas: int) -> dict[str, Any]:
    labels = {"app": name}
    container = {"name": "web", "image": "nginx"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template},
    }


async def until_running(client: APIClient, name: str, count: int) -> None:
    """Waits until so many pods of an application run, and no more than that are there."""
    listing = await client.list(POD, "default", labels=f"app={name}")
    pods = {pod.metadata.name: pod for pod in listing.items}
    if _running(pods) == count:
        return
    watching = client.watch(POD, "default", after=listing.revision, labels=f"app={name}")
    async for changes in watching:
        for change in changes:
            if change.object is not None:
                pods[change.object.metadata.name] = change.object
        assert len(pods) <= count
        if _running(pods) == count:
            return


def _running(pods: dict[str, Any]) -> int:
    return sum(1 for pod in pods.values() if pod.status.phase == "Running")


async def holders(client: APIClient) -> set[str]:
    """Who holds the leases of the parts."""
    found = [await client.get(LEASE.ref("kube-system", name)) for name in LEASES.values()]
    return {lease.spec.holder_identity for lease in found}


def test_controllers_and_scheduler_run_in_a_process_of_their_own(cluster: Cluster) -> None:
    assert set(cluster.processes) == {"server", "control"}
    for name, process in cluster.processes.items():
        assert Path(f"/proc/{process}/comm").read_text() == f"steer-{name}\n"

    async def test(client: APIClient) -> None:
        (holder,) = await holders(client)
        assert holder.endswith(f"_{cluster.processes['control']}")

    cluster.run(test)


async def asked(socket: Path, path: str) -> str:
    """Returns what the administrator is answered over a socket."""
    transport = HTTPTransport(Target(socket=str(socket), user=ADMIN[0], groups=ADMIN[1]))
    try:
        return (await whole(await transport.send(Request("GET", path)))).decode()
    finally:
        await transport.close()


def test_controllers_and_scheduler_tell_what_they_count_on_a_socket_of_their_own(
    cluster: Cluster,
) -> None:
    async def test(client: APIClient) -> None:
        await client.create(DEPLOYMENT, deployment("counted", 2), namespace="default")
        await until_running(client, "counted", 2)

    cluster.run(test)
    own = cluster.socket.with_name("control.sock")
    text = asyncio.run(asked(own, "/metrics"))
    for line in (
        r'workqueue_adds_total\{name="deployment"\} [1-9]\d*',
        r'scheduler_schedule_attempts_total\{profile="default-scheduler",result="scheduled"\} \d+',
        r'rest_client_requests_total\{code="201",host="localhost",method="POST"\} [1-9]\d*',
        r"process_resident_memory_bytes [1-9]\d*",
    ):
        assert re.search(f"^{line}$", text, re.M), line
    assert asyncio.run(asked(own, "/healthz")) == "ok"
    assert asyncio.run(asked(own, "/api")) == "404 page not found\n"
    servers = asyncio.run(asked(cluster.socket, "/metrics"))
    assert "apiserver_request_total" in servers
    assert "workqueue_" not in servers and "scheduler_" not in servers


def test_a_deployment_comes_to_run(cluster: Cluster) -> None:
    async def test(client: APIClient) -> None:
        await client.create(DEPLOYMENT, deployment("web", 3), namespace="default")
        await until_running(client, "web", 3)

    cluster.run(test)


def test_parts_over_the_socket_have_their_own_rights_and_no_more(cluster: Cluster) -> None:
    async def test(_: APIClient) -> None:
        for user in (MANAGER, SCHEDULER):
            async with cluster.client(user, groups_of(user)) as client:
                assert (await client.list(POD, "default")).revision
                with pytest.raises(Forbidden, match=f'User "{user}" cannot create resource'):
                    document = {"metadata": {"name": "x", "namespace": "default"}}
                    await client.create(CONFIGMAP, document, namespace="default")

    cluster.run(test)


def test_over_tcp_nobody_can_forge_who_they_are(cluster: Cluster) -> None:
    authority = cluster.directory.certificates / "ca.crt"
    context = ssl.create_default_context(cafile=str(authority))
    forged = {"X-Remote-User": ADMIN[0], "X-Remote-Group": "system:masters"}
    url = f"{cluster.server}/api/v1/namespaces"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(url, headers=forged), context=context)
    with refused.value as answer:
        assert answer.code == 403
        assert 'User "system:anonymous" cannot list' in json.load(answer)["message"]


def test_a_second_control_waits_and_takes_over_when_the_first_is_killed(cluster: Cluster) -> None:
    second = steer("control", "--data-dir", str(cluster.directory.path), "--simulated-nodes", "3")
    assert second.stdout is not None
    try:
        assert json.loads(second.stdout.readline()) == {"state": "ready"}

        async def test(client: APIClient) -> None:
            before = await holders(client)
            assert before == {f"{os.uname().nodename.lower()}_{cluster.processes['control']}"}
            listing = await client.list(LEASE, "kube-system")
            os.kill(cluster.processes["control"], signal.SIGKILL)
            changed = set()
            watching = client.watch(LEASE, "kube-system", after=listing.revision)
            async with asyncio.timeout(TAKEOVER_SECONDS):
                async for changes in watching:
                    changed |= {
                        change.object.metadata.name
                        for change in changes
                        if change.object and change.object.spec.holder_identity not in before
                    }
                    if changed >= set(LEASES.values()):
                        break
            await client.create(DEPLOYMENT, deployment("after", 2), namespace="default")
            await until_running(client, "after", 2)

        cluster.run(test)
    finally:
        assert end(second) == 0


def test_a_leader_killed_in_the_middle_of_its_work_is_followed_within_a_lease_and_nothing_twice(
    cluster: Cluster,
) -> None:
    standby = steer("control", "--data-dir", str(cluster.directory.path))
    assert standby.stdout is not None
    killed = set()
    try:
        assert json.loads(standby.stdout.readline()) == {"state": "ready"}

        async def test(client: APIClient) -> None:
            begun = (await client.list(POD, "default")).revision
            await client.create(DEPLOYMENT, deployment("during", MANY), namespace="default")
            async with asyncio.timeout(READY_SECONDS):
                async for _ in client.watch(POD, "default", after=begun, labels="app=during"):
                    break  # its first pods are there, most of them are not
            leads = LEASE.ref("kube-system", LEASES[MANAGER])
            leader = (await client.get(leads)).spec.holder_identity
            killed.add(int(leader.rpartition("_")[2]))
            os.kill(*killed, signal.SIGKILL)
            then = RealWorld().now()
            await until_running(client, "during", MANY)
            lease = await client.get(leads)
            assert lease.spec.holder_identity != leader
            assert lease.spec.acquire_time.timestamp() - then < FOLLOWED_SECONDS
            made = set()
            async with asyncio.timeout(READY_SECONDS):
                async for changes in client.watch(POD, "default", after=begun, labels="app=during"):
                    made |= {it.object.metadata.uid for it in changes if it.object is not None}
                    if len(made) >= MANY:
                        break
            assert len(made) == MANY
            present = (await client.list(POD, "default", labels="app=during")).items
            assert {it.metadata.uid for it in present} == made
            sets = (await client.list(REPLICASET, "default", labels="app=during")).items
            assert len(sets) == 1

        cluster.run(test)
    finally:
        # it may have been the leader: the test before gave the leases up
        assert end(standby) == (-signal.SIGKILL if standby.pid in killed else 0)
