"""`steer cri` as a kubelet meets it: limits, logs, events, images, streams, restarts."""

from __future__ import annotations

import asyncio
import urllib.parse
from pathlib import Path
from typing import Any

import pytest
from cri_kubelet import SECONDS, SLEEP, Kubelet, run, served, until
from msgspec.structs import replace
from node_cluster import IMAGE, build_image
from test_runtime_rig import Rig, needs_root
from test_runtime_rig import run as run_rig

from steersman.cri.known import UNKNOWN_EXIT
from steersman.cri.messages import containers as c
from steersman.cri.messages import images as i
from steersman.cri.messages import runtime as r
from steersman.cri.messages import sandboxes as s
from steersman.cri.messages import stats as t
from steersman.cri.messages.values import (
    AuthConfig,
    ImageSpec,
    LinuxContainerResources,
)
from steersman.wire.http2 import grpc
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc.messages import Rpc

pytestmark = needs_root


def test_limits_are_changed_while_a_container_runs() -> None:
    async def scenario(kubelet: Kubelet) -> None:
        container = await kubelet.launch(await kubelet.run(), kubelet.container(*SLEEP))
        wanted = LinuxContainerResources(memory_limit_in_bytes=64 << 20)
        asked = c.UpdateContainerResourcesRequest(container, wanted)
        await kubelet.ask("UpdateContainerResources", asked, c.UpdateContainerResourcesResponse)
        status = await kubelet.status(container)
        assert status.resources is not None and status.resources.linux == wanted
        more = replace(wanted, memory_limit_in_bytes=0, cpu_shares=512)
        asked = c.UpdateContainerResourcesRequest(container, more)
        await kubelet.ask("UpdateContainerResources", asked, c.UpdateContainerResourcesResponse)
        status = await kubelet.status(container)
        assert status.resources is not None
        assert status.resources.linux == replace(wanted, cpu_shares=512)
        asked_stats = t.ContainerStatsRequest(container)
        stats = (await kubelet.ask("ContainerStats", asked_stats, t.ContainerStatsResponse)).stats
        left = stats.memory.available_bytes.value + stats.memory.working_set_bytes.value
        assert left == 64 << 20

    run(scenario)


def test_use_is_told_of_what_runs_alone() -> None:
    async def scenario(kubelet: Kubelet) -> None:
        sandbox = await kubelet.run()
        container = await kubelet.launch(sandbox, kubelet.container(*SLEEP))
        await kubelet.create(sandbox, kubelet.container(*SLEEP, name="idle"))
        asked = t.ListContainerStatsRequest()
        (one,) = (
            await kubelet.ask("ListContainerStats", asked, t.ListContainerStatsResponse)
        ).stats
        assert one.attributes.id == container
        assert one.attributes.labels == {"tier": "c"}
        assert one.cpu.usage_core_nano_seconds.value > 0
        assert one.memory.usage_bytes.value > 0
        (pod,) = (
            await kubelet.ask(
                "ListPodSandboxStats",
                t.ListPodSandboxStatsRequest(t.PodSandboxStatsFilter(id=sandbox)),
                t.ListPodSandboxStatsResponse,
            )
        ).stats
        assert pod.linux.cpu.usage_core_nano_seconds.value >= one.cpu.usage_core_nano_seconds.value
        assert [it.attributes.id for it in pod.linux.containers] == [container]
        assert pod.linux.process.process_count.value >= 2
        await kubelet.stop_pod(sandbox)
        await kubelet.refused(
            "PodSandboxStats", t.PodSandboxStatsRequest(sandbox), grpc.FAILED_PRECONDITION
        )

    run(scenario)


def test_a_log_goes_on_in_a_new_file_after_the_old_was_moved() -> None:
    async def scenario(kubelet: Kubelet) -> None:
        script = "echo one; while ! test -e /v/go; do sleep 0.02; done; echo two; sleep 1000"
        volume = kubelet.logs.parent / "volume"
        mounts = (c.Mount("/v", str(volume)),)
        config = kubelet.container("sh", "-c", script, mounts=mounts)
        container = await kubelet.launch(await kubelet.run(), config)
        log = kubelet.logs / "c.log"
        await until(lambda: "one" in log.read_text())
        log.rename(kubelet.logs / "old.log")
        asked = c.ReopenContainerLogRequest(container)
        await kubelet.ask("ReopenContainerLog", asked, c.ReopenContainerLogResponse)
        (volume / "go").touch()
        await until(lambda: "two" in log.read_text())
        assert "two" not in (kubelet.logs / "old.log").read_text()
        await kubelet.stop(container, 0)
        await kubelet.refused("ReopenContainerLog", asked, grpc.FAILED_PRECONDITION)

    run(scenario)


def test_events_tell_the_life_of_a_container_in_order() -> None:
    async def scenario(kubelet: Kubelet) -> None:
        events = Rpc(
            "/runtime.v1.RuntimeService/GetContainerEvents",
            r.GetEventsRequest,
            r.ContainerEventResponse,
        )
        heard: list[r.ContainerEventResponse] = []

        async def listen() -> None:
            async for event in kubelet.channel.follow(events, r.GetEventsRequest()):
                heard.append(event)

        listening = asyncio.ensure_future(listen())
        await asyncio.sleep(0.1)
        sandbox = await kubelet.run()
        container = await kubelet.launch(sandbox, kubelet.container("sh", "-c", "exit 4"))
        await kubelet.ended(container)
        await kubelet.remove_pod(sandbox)
        await until(lambda: len(heard) >= 8)
        listening.cancel()
        created, started, stopped, deleted = range(4)
        assert [(it.container_id, it.container_event_type) for it in heard] == [
            (sandbox, created),
            (sandbox, started),
            (container, created),
            (container, started),
            (container, stopped),
            (sandbox, stopped),
            (container, deleted),
            (sandbox, deleted),
        ]
        assert heard[4].containers_statuses[0].exit_code == 4
        assert heard[4].pod_sandbox_status is not None
        assert heard[4].pod_sandbox_status.id == sandbox

    run(scenario)


def test_images_are_listed_described_and_removed() -> None:
    async def scenario(kubelet: Kubelet) -> None:
        async def ask(name: str, message: Any, answer: type) -> Any:
            return await kubelet.ask(name, message, answer, "Image")

        (image,) = (await ask("ListImages", i.ListImagesRequest(), i.ListImagesResponse)).images
        assert image.repo_tags == ("docker.io/library/node-test:1",)
        assert image.size > 0
        for name in (IMAGE, image.id, "docker.io/library/node-test:1"):
            asked = i.ImageStatusRequest(ImageSpec(name))
            assert (await ask("ImageStatus", asked, i.ImageStatusResponse)).image == image
        missing = i.ImageStatusRequest(ImageSpec("no-such:1"))
        assert (await ask("ImageStatus", missing, i.ImageStatusResponse)).image is None
        usage = await ask("ImageFsInfo", i.ImageFsInfoRequest(), i.ImageFsInfoResponse)
        assert usage.image_filesystems[0].used_bytes.value > 500_000
        # what runs goes on when its image is removed
        container = await kubelet.launch(await kubelet.run(), kubelet.container(*SLEEP))
        gone = i.RemoveImageRequest(ImageSpec(image.id))
        await ask("RemoveImage", gone, i.RemoveImageResponse)
        await ask("RemoveImage", gone, i.RemoveImageResponse)
        assert (await ask("ListImages", i.ListImagesRequest(), i.ListImagesResponse)).images == ()
        assert (await kubelet.execute(container, "ls", "/bin/busybox")).exit_code == 0

    run(scenario)


@pytest.mark.parametrize(
    ("auth", "code"),
    [
        (AuthConfig(auth="not base64!"), grpc.INVALID_ARGUMENT),
        (AuthConfig(auth="bm9jb2xvbg=="), grpc.INVALID_ARGUMENT),
        (AuthConfig(identity_token="t"), grpc.UNIMPLEMENTED),
    ],
)
def test_a_login_that_is_none_is_refused(auth: AuthConfig, code: int) -> None:
    async def scenario(kubelet: Kubelet) -> None:
        asked = i.PullImageRequest(ImageSpec("example.com/x:1"), auth)
        with pytest.raises(Failed) as caught:
            await kubelet.ask("PullImage", asked, i.PullImageResponse, "Image")
        assert caught.value.code == code

    run(scenario)


def test_streams_are_reached_by_a_url_that_is_good_once() -> None:
    async def scenario(kubelet: Kubelet) -> None:
        container = await kubelet.launch(await kubelet.run(), kubelet.container(*SLEEP))
        asked = c.ExecRequest(container, ("echo", "hi"), stdout=True)
        url = (await kubelet.ask("Exec", asked, c.ExecResponse)).url
        assert url.startswith("http://127.0.0.1:")
        first, second = await status_of(url), await status_of(url)
        assert (first, second) == (400, 404)  # no upgrade was asked for; then it is used up
        for wrong in (
            c.ExecRequest(container, ("sh",)),
            c.ExecRequest(container, ("sh",), tty=True, stdout=True, stderr=True),
        ):
            await kubelet.refused("Exec", wrong, grpc.INVALID_ARGUMENT)
        await kubelet.stop(container, 0)
        await kubelet.refused("Exec", asked, grpc.FAILED_PRECONDITION)
        attach = c.AttachRequest(container, stdout=True)
        await kubelet.refused("Attach", attach, grpc.FAILED_PRECONDITION)

    run(scenario)


async def status_of(url: str) -> int:
    """Asks for a URL without an upgrade."""
    parts = urllib.parse.urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(f"POST {parts.path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
    line = await reader.readline()
    writer.close()
    return int(line.split()[1])


def test_who_it_is_and_how_it_is() -> None:
    async def scenario(kubelet: Kubelet) -> None:
        version = await kubelet.ask("Version", r.VersionRequest(), r.VersionResponse)
        assert version == r.VersionResponse("0.1.0", "steersman", "1.2.3", "v1")
        status = await kubelet.ask("Status", r.StatusRequest(), r.StatusResponse)
        assert all(it.status for it in status.status.conditions)
        assert [it.name for it in status.runtime_handlers] == ["", "steersman", "runc"]
        driver = await kubelet.ask(
            "RuntimeConfig", r.RuntimeConfigRequest(), r.RuntimeConfigResponse
        )
        assert driver.linux.cgroup_driver == r.CGROUPFS

    run(scenario)


def test_a_sandbox_that_was_lost_gives_its_address_and_ports_back_when_it_is_stopped() -> None:
    async def scenario(kubelet: Kubelet) -> None:
        sandbox = await kubelet.run()
        await kubelet.tools.engine.remove_sandbox(sandbox)
        kubelet.tools.known.lose(sandbox)
        assert kubelet.network.connected.keys() == {sandbox}
        asked = s.StopPodSandboxRequest(sandbox)
        await kubelet.ask("StopPodSandbox", asked, s.StopPodSandboxResponse)
        assert kubelet.network.connected == {}

    run(scenario)


def test_containers_outlive_the_server_and_the_next_one_knows_them() -> None:
    async def scenario(rig: Rig) -> None:
        build_image(Path(rig.directory, "images"))
        async with served(rig) as kubelet:
            mappings = (s.PortMapping(1, 80, 8080, "127.0.0.1"), s.PortMapping(0, 81))
            sandbox = await kubelet.run(kubelet.pod(port_mappings=mappings))
            lost = await kubelet.run(kubelet.pod("lost"))
            stays = await kubelet.launch(sandbox, kubelet.container(*SLEEP, name="stays"))
            script = "while ! test -e /v/go; do sleep 0.02; done; exit 6"
            volume = kubelet.logs.parent / "volume"
            mounts = (c.Mount("/v", str(volume)),)
            ends = await kubelet.launch(
                sandbox, kubelet.container("sh", "-c", script, name="ends", mounts=mounts)
            )
            await kubelet.launch(lost, kubelet.container(*SLEEP, name="lost"))
        (volume / "go").touch()
        pods = {it.pod: it for it in await rig.engine.connect()}
        await rig.engine.wait(sandbox, ends, SECONDS)
        await rig.engine.remove_sandbox(lost)
        assert set(pods) == {sandbox, lost}
        async with served(rig) as kubelet:
            over = await kubelet.ended(ends)
            assert (over.exit_code, over.reason) == (6, "Error")
            assert (await kubelet.status(stays)).state == c.RUNNING
            assert kubelet.network.connected == {sandbox: ("10.0.0.2",)}
            (port,) = kubelet.network.ports[sandbox]
            assert (port.protocol, port.host_ip, port.host_port) == ("UDP", "127.0.0.1", 8080)
            states = {it.id: it.state for it in await kubelet.pods()}
            assert states == {sandbox: s.READY, lost: s.NOT_READY}
            (gone,) = await kubelet.containers(label_selector={"tier": "lost"})
            assert (await kubelet.status(gone.id)).exit_code == UNKNOWN_EXIT
            await kubelet.stop(stays, 30)
            assert (await kubelet.status(stays)).exit_code == 7
            for pod in (sandbox, lost):
                await kubelet.remove_pod(pod)

    run_rig(scenario)
