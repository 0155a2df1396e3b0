"""`steer cri` as a command: one engine for each directory, and nothing of it left after --clean."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cri_kubelet import IMAGE, SECONDS
from node_cluster import ROOT, build_image
from test_runtime_rig import needs_root

from ports import free_port
from steersman.cli.cri import RUN, id_of
from steersman.client.grpc import Channel, connect_unix
from steersman.cri.messages import containers as c
from steersman.cri.messages import runtime as r
from steersman.cri.messages import sandboxes as s
from steersman.cri.messages.values import ImageSpec
from steersman.wire.rpc.messages import Rpc
from steersman.world.real import RealWorld

pytestmark = needs_root


HELLO = ("sh", "-c", "echo hello > /hello; trap 'exit 7' TERM; httpd -f -p 8080 -h / & wait")


def words(home: Path, *more: str) -> list[str]:
    given = ["cri", "--data-dir", str(home / "data"), "--listen", str(home / "cri.sock")]
    return [sys.executable, "-P", "-m", "steersman", *given, "--pod-cidr", "10.253.0.0/24", *more]


def steer(home: Path, *more: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    return subprocess.run(
        words(home, *more), capture_output=True, text=True, timeout=SECONDS, env=environment
    )


@contextmanager
def engine(home: Path) -> Iterator[subprocess.Popen[str]]:
    """Runs an engine until it is asked to end."""
    environment = {"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    process = subprocess.Popen(words(home), stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        assert {"state": "ready"} in (json.loads(process.stdout.readline()) for _ in range(2))
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()


def call(home: Path, name: str, message: object, answer: type) -> object:
    async def scenario() -> object:
        channel: Channel = await connect_unix(home / "cri.sock", RealWorld(), SECONDS)
        async with channel:
            path = f"/runtime.v1.RuntimeService/{name}"
            return await channel.ask(Rpc(path, type(message), answer), message, SECONDS)

    return asyncio.run(scenario())


def links(home: Path) -> list[str]:
    own = id_of(home / "data")
    return [name for _, name in socket.if_nameindex() if own in name]


def said_at(port: int) -> bytes:
    """Returns what is said at a port of this machine, as critest asks: on loopback."""
    with socket.create_connection(("127.0.0.1", port), SECONDS) as connection:
        connection.sendall(b"GET /hello HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(1000), b""))
    return answer.rpartition(b"\r\n\r\n")[2]


def first_said_at(port: int) -> bytes:
    """The same, once the server in the container listens."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            return said_at(port)
        except ConnectionRefusedError:
            assert time.monotonic() < end
            time.sleep(0.02)


def test_an_engine_serves_outlives_itself_and_is_cleaned_away(tmp_path: Path) -> None:
    build_image(tmp_path / "data" / "images")
    try:
        with engine(tmp_path):
            version = call(tmp_path, "Version", r.VersionRequest(), r.VersionResponse)
            assert isinstance(version, r.VersionResponse)
            assert version.runtime_name == "steersman"
            second = steer(tmp_path)
            assert second.returncode == 1
            assert "this engine is up already (process" in second.stderr
            assert "this engine is up already (process" in steer(tmp_path, "--clean").stderr
            host_port = free_port()
            config = s.PodSandboxConfig(
                metadata=s.PodSandboxMetadata("p", "u", "n"),
                hostname="p",
                port_mappings=(s.PortMapping(0, 8080, host_port),),
            )
            asked = s.RunPodSandboxRequest(config)
            made = call(tmp_path, "RunPodSandbox", asked, s.RunPodSandboxResponse)
            assert isinstance(made, s.RunPodSandboxResponse)
            container = c.ContainerConfig(
                metadata=c.ContainerMetadata("c"), image=ImageSpec(IMAGE), command=HELLO
            )
            wanted = c.CreateContainerRequest(made.pod_sandbox_id, container, config)
            created = call(tmp_path, "CreateContainer", wanted, c.CreateContainerResponse)
            assert isinstance(created, c.CreateContainerResponse)
            start = c.StartContainerRequest(created.container_id)
            call(tmp_path, "StartContainer", start, c.StartContainerResponse)
            assert first_said_at(host_port) == b"hello\n"
        assert len(links(tmp_path)) == 2  # the bridge, and the pod's link
        assert said_at(host_port) == b"hello\n"
        with engine(tmp_path):
            assert said_at(host_port) == b"hello\n"
            asked_pods = s.ListPodSandboxRequest()
            pods = call(tmp_path, "ListPodSandbox", asked_pods, s.ListPodSandboxResponse)
            assert isinstance(pods, s.ListPodSandboxResponse)
            assert [(it.id, it.state) for it in pods.items] == [(made.pod_sandbox_id, s.READY)]
            stop = s.StopPodSandboxRequest(made.pod_sandbox_id)
            call(tmp_path, "StopPodSandbox", stop, s.StopPodSandboxResponse)
            with pytest.raises(ConnectionRefusedError):
                said_at(host_port)
    finally:
        cleaned = steer(tmp_path, "--clean")
    assert cleaned.returncode == 0, cleaned.stderr
    assert links(tmp_path) == []
    assert not (RUN / id_of(tmp_path / "data")).exists()
    assert not (tmp_path / "data" / "records").exists()
    assert str(tmp_path) not in Path("/proc/self/mounts").read_text()


@pytest.mark.parametrize("cidr", ["10.0.0.1/24", "x"])
def test_a_range_that_is_none_is_refused(tmp_path: Path, cidr: str) -> None:
    refused = steer(tmp_path, "--pod-cidr", cidr)
    assert refused.returncode == 1
    assert refused.stderr.startswith("steer: --pod-cidr: ")
