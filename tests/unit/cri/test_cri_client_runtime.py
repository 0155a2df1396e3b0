"""Who a runtime is and whether it is well, its images, its words for failures, what it measures."""

from __future__ import annotations

import asyncio
import gzip
import os
from pathlib import Path
from typing import Any, cast

import pytest

from steersman.cli.failure import Failure
from steersman.cli.options import kubelet
from steersman.cluster.clean import _end_elsewhere
from steersman.cri.client.calls import error_of
from steersman.cri.client.engine import CRIEngine, _pid
from steersman.cri.client.images import KeptImages, RuntimeImages
from steersman.cri.client.known import Run
from steersman.cri.client.reading import read_stats
from steersman.cri.client.rotation import Rotation
from steersman.cri.client.status import (
    DOWN,
    Health,
    decide_trouble,
    knows_image_volumes,
    read_features,
)
from steersman.cri.client.translating import parse_status
from steersman.cri.messages import containers as c
from steersman.cri.messages import images as i
from steersman.cri.messages import runtime as r
from steersman.cri.messages import stats as st
from steersman.cri.messages.values import Int64Value, UInt64Value
from steersman.images.credentials import Login
from steersman.images.errors import ImageError
from steersman.images.pull import NotPresent
from steersman.node.engine.interface import Features, Handler
from steersman.node.machine import Facts
from steersman.node.paths import Paths
from steersman.node.register import Place, render_status
from steersman.runtime.engine import EngineError
from steersman.runtime.logs import MAX_FILES
from steersman.wire.http2 import grpc
from steersman.wire.http2.grpc import Failed
from steersman.world.interface import World
from steersman.world.real import RealWorld
from steersman.world.simulated import simulate
from unit.cri.scripted_runtime import Scripted

VERSION = r.VersionResponse("0.1.0", "containerd", "1.6.20", "v1")
READY = tuple(r.RuntimeCondition(it, True) for it in ("RuntimeReady", "NetworkReady"))


def runtime(*conditions: r.RuntimeCondition, **more: Any) -> Scripted:
    made = Scripted()
    status = r.StatusResponse(r.RuntimeStatus(conditions or READY), **more)
    made.answers |= {"Version": lambda _: VERSION, "Status": lambda _: status}
    return made


def features(made: Scripted) -> Features:
    return asyncio.run(read_features(cast(Any, made)))


def test_a_runtime_says_who_it_is_and_what_it_can_do() -> None:
    assert features(runtime()) == Features("containerd", "1.6.20", {})
    handler = r.RuntimeHandler("kata", r.RuntimeHandlerFeatures(True, True))
    able = runtime(
        runtime_handlers=(handler, r.RuntimeHandler("")),
        features=r.RuntimeFeatures(supplemental_groups_policy=True),
    )
    found = features(able)
    assert found.handlers == {"kata": Handler(True, True), "": Handler()}
    assert found.groups_policy


def test_a_runtime_that_cannot_be_used_is_refused_in_plain_words() -> None:
    old = runtime()
    del old.answers["Version"]
    with pytest.raises(EngineError, match="CRI v1 runtime API is not implemented for endpoint"):
        features(old)
    systemd = runtime()
    driver = r.RuntimeConfigResponse(r.LinuxRuntimeConfiguration(r.SYSTEMD))
    systemd.answers["RuntimeConfig"] = lambda _: driver
    with pytest.raises(EngineError, match="set its cgroup driver to cgroupfs"):
        features(systemd)


def test_what_is_not_ready_is_told_in_the_kubelets_words() -> None:
    assert decide_trouble(r.RuntimeStatus(READY)) == ""
    broken = r.RuntimeCondition("NetworkReady", False, "NetworkPluginNotReady", "no config")
    assert decide_trouble(r.RuntimeStatus((READY[0], broken))) == (
        "container runtime network not ready: NetworkReady=false "
        "reason:NetworkPluginNotReady message:no config"
    )
    assert decide_trouble(r.RuntimeStatus(READY[:1])) == (
        "container runtime network not ready: missing condition NetworkReady"
    )
    assert decide_trouble(None).startswith("[container runtime not ready: missing")


def test_a_runtime_that_goes_and_comes_back_is_told_each_time() -> None:
    async def main(world: World) -> list[str]:
        made, told = runtime(), []
        health = Health(cast(Any, made), world)
        health.changed = lambda: told.append(health.trouble)
        async with world.tasks() as tasks:
            tasks.start(health.run(), name="health")
            await world.sleep(12)
            answer, made.answers["Status"] = made.answers["Status"], lambda _: Failed(14, "gone")
            await world.sleep(12)
            made.answers["Status"] = answer
            await world.sleep(12)
            tasks.stop()
        return told

    assert simulate(1, main) == [DOWN, ""]


def test_a_node_says_what_its_engine_is_and_that_it_cannot_be_used() -> None:
    facts = Facts(4, 8 << 30, 100 << 30, "m", "u", "b", "6.1", "Debian", "amd64")
    able = Features("containerd", "2.1", {"b": Handler(True), "": Handler()}, True)
    place = Place("vm", "10.0.0.1", 10250)
    status = render_status(place, facts, None, 1.0, features=able, trouble="it is down")
    assert status["nodeInfo"]["containerRuntimeVersion"] == "containerd://2.1"
    assert status["runtimeHandlers"] == [
        {"name": name, "features": {"recursiveReadOnlyMounts": it, "userNamespaces": False}}
        for name, it in (("", False), ("b", True))
    ]
    ready = status["conditions"][-1]
    told = (ready["type"], ready["status"], ready["reason"], ready["message"])
    assert told == ("Ready", "False", "KubeletNotReady", "it is down")


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (grpc.NOT_FOUND, "x", "not-found"),
        (grpc.UNAVAILABLE, "x", "unavailable"),
        (grpc.DEADLINE_EXCEEDED, "x", "unavailable"),
        (grpc.UNKNOWN, "x", "failed"),
        (grpc.UNKNOWN, 'name "a" is reserved for "b"', "conflict"),
    ],
)  # fmt: skip
def test_failures_are_known_by_kind_and_told_in_gos_words(code: int, text: str, kind: str) -> None:
    error = error_of(Failed(code, text))
    assert error.kind == kind
    assert str(error) == f"rpc error: code = {grpc.NAMES[code]} desc = {text}"


# Images


def images(*found: i.Image) -> Scripted:
    made = Scripted()
    by_name = {name: it for it in found for name in (it.id, *it.repo_tags)}
    made.answers |= {
        "ImageStatus": lambda asked: i.ImageStatusResponse(by_name.get(asked.image.image)),
        "ListImages": lambda _: i.ListImagesResponse(found),
        "RemoveImage": lambda _: i.RemoveImageResponse(),
        "PullImage": lambda _: i.PullImageResponse(found[0].id),
    }
    return made


HERE = i.Image("sha256:1", ("docker.io/library/a:1",), ("docker.io/library/a@sha256:9",), 5)


def test_an_image_is_looked_up_by_its_whole_name_and_pulled_where_it_must_be() -> None:
    async def main() -> None:
        made = images(HERE)
        found = await RuntimeImages(cast(Any, made)).ensure("a:1", "IfNotPresent")
        assert (found.digest, found.repo_digest, found.size_bytes) == (
            "sha256:1",
            "docker.io/library/a@sha256:9",
            5,
        )
        assert [name for name, _ in made.asked] == ["ImageStatus"]
        pulled = RuntimeImages(cast(Any, made))
        await pulled.ensure("a:1", "Always", None, Login("u", "p"))
        (asked,) = [message for name, message in made.asked if name == "PullImage"]
        assert (asked.auth.username, asked.auth.password) == ("u", "p")
        with pytest.raises(NotPresent):
            await pulled.ensure("b:1", "Never")
        made.answers["PullImage"] = lambda _: Failed(grpc.UNKNOWN, "denied")
        with pytest.raises(ImageError, match="rpc error: code = Unknown desc = denied"):
            await pulled.ensure("b:1", "IfNotPresent")

    asyncio.run(main())


def test_the_user_of_an_image_is_what_the_runtime_says() -> None:
    async def user(**fields: Any) -> str:
        made = images(i.Image("sha256:1", ("docker.io/library/a:1",), **fields))
        found = await RuntimeImages(cast(Any, made)).ensure("a:1", "Never")
        assert found.repo_digest == "sha256:1"
        return found.run_config.user

    assert asyncio.run(user(uid=Int64Value(7))) == "7"
    assert asyncio.run(user(username="web")) == "web"
    assert asyncio.run(user()) == ""


def test_images_that_are_pinned_or_in_use_stay() -> None:
    async def main() -> None:
        pinned = i.Image("sha256:2", ("docker.io/library/pause:1",), size=7, pinned=True)
        used = i.Image("sha256:3", ("docker.io/library/b:1",), size=9)
        made = images(HERE, pinned, used)
        kept = KeptImages(cast(Any, made))
        found = await kept.images()
        assert [it.digest for it in found] == ["sha256:1", "sha256:3"]
        freed = await kept.remove(found, {"docker.io/library/b:1"})
        assert freed == (5, frozenset({"sha256:1"}))
        removed = [it.image.image for name, it in made.asked if name == "RemoveImage"]
        assert removed == ["sha256:1"]

    asyncio.run(main())


# Measuring


def test_what_a_runtime_tells_of_a_container_is_a_reading() -> None:
    told = st.ContainerStats(
        cpu=st.CpuUsage(2 * 10**9, UInt64Value(77)),
        memory=st.MemoryUsage(working_set_bytes=UInt64Value(10), available_bytes=UInt64Value(30)),
        writable_layer=i.FilesystemUsage(used_bytes=UInt64Value(4096)),
    )
    found = read_stats(told)
    assert found.written_bytes == 4096
    reading = found.reading
    assert (reading.time, reading.cpu_nanos, reading.limit_bytes) == (2.0, 77, 40)
    assert (reading.working_set_bytes, reading.usage_bytes) == (10, 10)
    assert read_stats(st.ContainerStats()).reading.limit_bytes == 0


@pytest.mark.parametrize(
    ("info", "pid"),
    [({"info": '{"pid": 7}'}, 7), ({}, 0), ({"info": "{"}, 0), ({"info": '{"pid": "x"}'}, 0)],
)
def test_the_process_of_a_sandbox_is_read_where_it_is_told(info: Any, pid: int) -> None:
    assert _pid(info) == pid


# Commands


def test_a_command_is_run_within_its_time() -> None:
    async def main() -> None:
        made = Scripted()
        engine = CRIEngine(cast(Any, made), *[cast(Any, None)] * 4, RealWorld())
        engine._known.runs["u", "a.0"] = Run("one", "")
        made.answers["ExecSync"] = lambda _: c.ExecSyncResponse(b"out", b"err", 3)
        assert await engine.run("u", "a.0", ["x"], 1.5) == (3, b"outerr")
        (_, asked) = made.asked[-1]
        assert (asked.container_id, asked.cmd, asked.timeout) == ("one", ("x",), 2)
        late = Failed(grpc.DEADLINE_EXCEEDED, "timeout 2s exceeded")
        made.answers["ExecSync"] = lambda _: late
        with pytest.raises(TimeoutError):
            await engine.run("u", "a.0", ["x"], 1.5)
        made.answers["ExecSync"] = lambda _: Failed(grpc.UNKNOWN, "no such file")
        with pytest.raises(EngineError, match="no such file"):
            await engine.run("u", "a.0", ["x"], 1.5)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("code", "text", "is_late"),
    [
        (grpc.UNKNOWN, "failed to exec: timeout 2s exceeded: context deadline exceeded", True),
        (grpc.UNKNOWN, "command error: command timed out", True),
        # A runtime that begins anew says nothing of its containers: none is to be killed for that
        (grpc.UNAVAILABLE, "error reading from server: EOF", False),
        (grpc.UNAVAILABLE, "connect: connection refused", False),
        (grpc.UNKNOWN, 'exec: "timeout": executable file not found in $PATH', False),
    ],
)
def test_only_a_command_that_took_too_long_counts_as_late(
    code: int, text: str, is_late: bool
) -> None:
    async def main() -> None:
        made = Scripted()
        engine = CRIEngine(cast(Any, made), *[cast(Any, None)] * 4, RealWorld())
        engine._known.runs["u", "a.0"] = Run("one", "")
        made.answers["ExecSync"] = lambda _: Failed(code, text)
        with pytest.raises(TimeoutError if is_late else EngineError):
            await engine.run("u", "a.0", ["x"], 1.5)

    asyncio.run(main())


def test_a_command_and_a_status_are_told_to_their_end() -> None:
    assert parse_status(b"", whole=True)["status"] == "Success"
    assert parse_status(b'{"status":"Failure","code":1}', whole=True)["code"] == 1
    told = parse_status(b"", whole=False)["message"]
    assert told == "Internal error occurred: the runtime has closed the connection"
    assert parse_status(b"why", whole=True)["message"] == "Internal error occurred: why"


# Logs


class Logs:
    """Runs with logs, whose writers open them anew or refuse to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.refuses = False

    def logs(self) -> list[tuple[tuple[str, str], str]]:
        return [(("u", "a.0"), str(self.path)), (("u", "b.0"), "/nowhere/0.log")]

    async def reopen_log(self, pod: str, container: str) -> None:
        assert (pod, container) == ("u", "a.0")
        if self.refuses:
            raise EngineError("failed", "no")
        self.path.write_bytes(b"")


def test_full_logs_are_moved_aside_packed_and_in_the_end_removed(tmp_path: Path) -> None:
    logs = Logs(tmp_path / "0.log")
    rotation = Rotation(logs, RealWorld(), 10)

    def fill(text: bytes) -> list[str]:
        logs.path.write_bytes(text)
        asyncio.run(rotation.look())
        return sorted(os.listdir(tmp_path))

    assert fill(b"short") == ["0.log"]
    (_, moved) = fill(b"first full log")
    assert (tmp_path / moved).read_bytes() == b"first full log"
    (_, packed, second) = fill(b"second full log")
    assert packed == f"{moved}.gz"
    assert gzip.decompress((tmp_path / packed).read_bytes()) == b"first full log"
    assert (tmp_path / second).read_bytes() == b"second full log"
    for number in range(6):
        names = fill(b"full log number %d" % number)
    assert len(names) == MAX_FILES
    assert packed not in names


def test_a_log_that_the_runtime_does_not_leave_stays_where_it_is(tmp_path: Path) -> None:
    logs = Logs(tmp_path / "0.log")
    logs.refuses = True
    logs.path.write_bytes(b"a full log of a runtime")
    asyncio.run(Rotation(logs, RealWorld(), 10).look())
    assert os.listdir(tmp_path) == ["0.log"]
    assert logs.path.read_bytes() == b"a full log of a runtime"


@pytest.mark.parametrize(
    ("name", "version", "knows"),
    [
        ("containerd", "1.6.20~ds1", False),
        ("containerd", "v2.0.5", False),
        ("containerd", "2.1.0", True),
        ("containerd", "v10.0.1", True),
        ("cri-o", "1.30.9", False),
        ("cri-o", "1.31.0", True),
        ("containerd", "unknown", True),
        ("steersman", "0.1", True),
    ],
)
def test_who_takes_images_as_mounts_is_known_by_the_version(
    name: str, version: str, knows: bool
) -> None:
    assert knows_image_volumes(name, version) is knows


# The option


@pytest.mark.parametrize("text", ["tcp://1.2.3.4:5", "run/x.sock", "npipe:////./pipe/x"])
def test_an_endpoint_that_is_no_socket_is_refused(text: str) -> None:
    given = cast(Any, type("Given", (), {"container_runtime_endpoint": text}))
    with pytest.raises(Failure, match="--container-runtime-endpoint takes a socket"):
        kubelet.read_endpoint(given)


def test_an_endpoint_is_a_path_with_a_scheme_or_without() -> None:
    def read(text: str) -> Path | None:
        return kubelet.read_endpoint(cast(Any, type("X", (), {"container_runtime_endpoint": text})))

    assert read("unix:///run/c.sock") == read("/run/c.sock") == Path("/run/c.sock")
    assert read("") is None


def test_pods_that_stay_behind_in_a_runtime_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = Paths(tmp_path)
    asyncio.run(_end_elsewhere(paths, "abc"))
    assert caplog.messages == []
    paths.endpoint.write_text("/nowhere/c.sock")
    asyncio.run(_end_elsewhere(paths, "abc"))
    (told,) = caplog.messages
    assert told.startswith("pods stay in the container runtime at /nowhere/c.sock: rpc error")
