"""`steer cri` as a kubelet meets it: calls over its socket, against a real kernel."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from cri_kubelet import SLEEP, Kubelet, run, until
from msgspec.structs import replace
from node_cluster import IMAGE
from test_runtime_rest import shims
from test_runtime_rig import needs_root

from steersman.cri.known import UNKNOWN_EXIT
from steersman.cri.messages import containers as c
from steersman.cri.messages import runtime as r
from steersman.cri.messages import sandboxes as s
from steersman.cri.messages.values import (
    CONTAINER,
    LOCALHOST,
    NODE,
    POD,
    RUNTIME_DEFAULT,
    TARGET,
    ImageSpec,
    Int64Value,
    KeyValue,
    NamespaceOption,
    SecurityProfile,
)
from steersman.node.cdi import injecting
from steersman.wire.http2 import grpc
from steersman.wire.http2.grpc import Failed
from steersman.wire.rpc.messages import Rpc

pytestmark = needs_root


def test_the_life_of_a_pod_with_one_container() -> None:
    async def scenario(kubelet: Kubelet) -> None:
        sandbox = await kubelet.run()
        (listed,) = await kubelet.pods()
        assert (listed.id, listed.state, listed.labels) == (sandbox, s.READY, {"app": "web"})
        container = await kubelet.create(sandbox, kubelet.container(*SLEEP))
        assert (await kubelet.status(container)).state == c.CREATED
        await kubelet.start(container)
        running = await kubelet.status(container)
        assert running.user == c.ContainerUser(c.LinuxContainerUser(0, 0, (0,)))
        assert running.state == c.RUNNING
        assert running.created_at <= running.started_at
        assert running.finished_at == 0
        assert running.log_path == str(kubelet.logs / "c.log")
        assert running.image_id.startswith("sha256:")
        await kubelet.stop(container, 30)
        over = await kubelet.status(container)
        assert (over.state, over.exit_code, over.reason) == (c.EXITED, 7, "Error")
        assert over.finished_at >= over.started_at
        await kubelet.stop(container, 30)
        await kubelet.remove(container)
        await kubelet.remove(container)
        assert await kubelet.containers() == []
        await kubelet.stop_pod(sandbox)
        await kubelet.stop_pod(sandbox)
        (listed,) = await kubelet.pods()
        assert listed.state == s.NOT_READY
        await kubelet.remove_pod(sandbox)
        await kubelet.remove_pod(sandbox)
        assert await kubelet.pods() == []

    run(scenario)


def test_a_container_that_does_not_go_is_killed_when_its_time_is_over() -> None:
    async def scenario(kubelet: Kubelet) -> None:
        sandbox = await kubelet.run()
        stubborn = kubelet.container("sh", "-c", "trap '' TERM; while true; do sleep 0.05; done")
        container = await kubelet.launch(sandbox, stubborn)
        await kubelet.stop(container, 1)
        assert (await kubelet.status(container)).exit_code == 137
        other = await kubelet.launch(sandbox, kubelet.container(*SLEEP, name="other"))
        await kubelet.stop(other, 0)
        assert (await kubelet.status(other)).exit_code == 137

    run(scenario)


def test_the_signal_that_stops_a_container_is_the_one_it_names() -> None:
    async def scenario(kubelet: Kubelet) -> None:
        sandbox = await kubelet.run()
        script = "trap 'exit 9' USR1; trap '' TERM; echo ready; while true; do sleep 0.05; done"
        config = kubelet.container("sh", "-c", script, stop_signal=c.SIGNALS.index("SIGUSR1"))
        container = await kubelet.launch(sandbox, config)
        await until(lambda: "ready" in (kubelet.logs / "c.log").read_text())
        await kubelet.stop(container, 30)
        assert (await kubelet.status(container)).exit_code == 9

    run(scenario)


def test_stopping_a_pod_ends_its_containers_and_their_ends_are_remembered() -> None:
    async def scenario(kubelet: Kubelet) -> None:
        sandbox = await kubelet.run()
        running = await kubelet.launch(sandbox, kubelet.container(*SLEEP, name="running"))
        idle = await kubelet.create(sandbox, kubelet.container(*SLEEP, name="idle"))
        short = await kubelet.launch(sandbox, kubelet.container("sh", "-c", "exit 5", name="short"))
        await kubelet.ended(short)
        await kubelet.stop_pod(sandbox)
        codes = [(await kubelet.status(it)).exit_code for it in (running, idle, short)]
        assert codes == [137, UNKNOWN_EXIT, 5]
        assert {it.state for it in await kubelet.containers()} == {c.EXITED}
        refused = c.CreateContainerRequest(sandbox, kubelet.container(*SLEEP), kubelet.pod())
        text = await kubelet.refused("CreateContainer", refused, grpc.FAILED_PRECONDITION)
        assert text == f'sandbox "{sandbox}" is not running'

    run(scenario)


def test_lists_are_filtered_by_everything_that_a_filter_names() -> None:
    async def scenario(kubelet: Kubelet) -> None:
        one, two = await kubelet.run(kubelet.pod("one")), await kubelet.run(kubelet.pod("two"))
        first = await kubelet.launch(one, kubelet.container(*SLEEP, name="first"))
        second = await kubelet.create(two, kubelet.container(*SLEEP, name="second"))
        await kubelet.stop_pod(two)

        async def pods(**wanted: Any) -> set[str]:
            return {it.id for it in await kubelet.pods(**wanted)}

        async def containers(**wanted: Any) -> set[str]:
            return {it.id for it in await kubelet.containers(**wanted)}

        assert await pods() == {one, two}
        assert await pods(id=one) == await pods(id=one[:12]) == {one}
        assert await pods(label_selector={"app": "two"}) == {two}
        assert await pods(label_selector={"app": "two", "x": ""}) == set()
        assert await pods(state=s.PodSandboxStateValue(s.READY)) == {one}
        assert await pods(state=s.PodSandboxStateValue(s.NOT_READY)) == {two}
        assert await containers() == {first, second}
        assert await containers(pod_sandbox_id=one) == {first}
        assert await containers(id=second[:10]) == {second}
        assert await containers(label_selector={"tier": "first"}) == {first}
        assert await containers(state=c.ContainerStateValue(c.RUNNING)) == {first}
        assert await containers(state=c.ContainerStateValue(c.EXITED)) == {second}

    run(scenario)


def test_the_status_of_a_pod_tells_all_of_it() -> None:
    async def scenario(kubelet: Kubelet) -> None:
        sandbox = await kubelet.run(handler="runc")
        await kubelet.launch(sandbox, kubelet.container(*SLEEP))
        asked = s.PodSandboxStatusRequest(sandbox[:16])
        found = await kubelet.ask("PodSandboxStatus", asked, r.PodSandboxStatusResponse)
        status = found.status
        assert status.metadata == s.PodSandboxMetadata("web", "u1", "default", 3)
        assert status.network == s.PodSandboxNetworkStatus("10.0.0.2")
        assert status.linux.namespaces.options == NamespaceOption(pid=CONTAINER)
        assert (status.annotations, status.runtime_handler) == ({"note": "kept"}, "runc")
        assert [it.state for it in found.containers_statuses] == [c.RUNNING]
        assert found.timestamp > status.created_at

    run(scenario)


async def gone(kubelet: Kubelet, container: str, pattern: str) -> None:
    """Waits until no process has a word in its command line; the pattern does not match itself."""
    looking = f"while grep -q '{pattern}' /proc/[0-9]*/cmdline 2>/dev/null; do sleep 0.05; done"
    assert (await kubelet.execute(container, "sh", "-c", looking, seconds=20)).exit_code == 0


def test_commands_run_to_their_end_and_give_both_streams() -> None:
    async def scenario(kubelet: Kubelet) -> None:
        container = await kubelet.launch(await kubelet.run(), kubelet.container(*SLEEP))
        found = await kubelet.execute(container, "sh", "-c", "echo out; echo err >&2; exit 3")
        assert (found.stdout, found.stderr, found.exit_code) == (b"out\n", b"err\n", 3)
        big = await kubelet.execute(container, "sh", "-c", "head -c 3000000 /dev/zero")
        assert len(big.stdout) == 3_000_000
        late = c.ExecSyncRequest(container, ("sleep", "4321"), 1)
        text = await kubelet.refused("ExecSync", late, grpc.DEADLINE_EXCEEDED)
        assert 'command "sleep 4321"' in text
        await gone(kubelet, container, "432[1]")
        # one for whose end nobody waits any more goes too
        path = Rpc("/runtime.v1.RuntimeService/ExecSync", c.ExecSyncRequest, c.ExecSyncResponse)
        with pytest.raises(Failed) as late_call:
            await kubelet.channel.ask(path, c.ExecSyncRequest(container, ("sleep", "8765")), 0.5)
        assert late_call.value.code == grpc.DEADLINE_EXCEEDED
        await gone(kubelet, container, "876[5]")
        none = c.ExecSyncRequest(container, ("no-such-program",), 5)
        assert "no-such-program" in await kubelet.refused("ExecSync", none, grpc.UNKNOWN)
        # What was killed holds no shim up
        (state,) = await kubelet.tools.engine.pods()
        await until(lambda: not shims(state))
        await kubelet.stop(container, 0)
        await kubelet.refused("ExecSync", none, grpc.FAILED_PRECONDITION)

    run(scenario)


def test_what_a_container_is_made_of_is_what_its_configuration_says() -> None:
    async def scenario(kubelet: Kubelet) -> None:
        volume = kubelet.logs.parent / "volume"
        script = "echo $A $HOME; pwd; cat /v/f; touch /v/x 2>/dev/null || echo refused; ls /made"
        (volume).mkdir()
        (volume / "f").write_text("data")
        config = kubelet.container(
            "sh",
            "-c",
            script,
            envs=(KeyValue("A", b"b=c"), KeyValue("HOME", b"/h")),
            working_dir="/etc",
            mounts=(
                c.Mount("/v", str(volume), True),
                c.Mount("/made", str(volume.parent / "missing" / "one")),
            ),
        )
        assert await kubelet.output(config) == "b=c /h\n/etc\ndatarefused"

    run(scenario)


def test_devices_come_by_their_whole_names_with_hooks_that_the_container_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cdi"
    monkeypatch.setattr(injecting, "FOLDERS", (folder,))
    folder.mkdir()

    def write(*hooks: dict[str, Any]) -> None:
        nodes = [{"path": "/dev/mine", "hostPath": "/dev/full"}]
        edits = {"env": ["CARD=zero"], "deviceNodes": nodes, "hooks": hooks}
        device = {"name": "0", "containerEdits": edits}
        spec = {"cdiVersion": "0.6.0", "kind": "a.com/card", "devices": [device]}
        (folder / "card.json").write_text(json.dumps(spec))

    def hook(kind: str, script: str) -> dict[str, Any]:
        return {"hookName": kind, "path": "/bin/sh", "args": ["sh", "-c", script]}

    async def scenario(kubelet: Kubelet) -> None:
        devices = (c.CDIDevice("a.com/card=0"),)
        script = "echo $CARD; cat /made; echo x > /dev/mine 2>/dev/null || echo full"
        config = kubelet.container("sh", "-c", script, CDI_devices=devices)
        write(
            hook("createContainer", "echo by a hook > made"),
            hook("startContainer", "echo and inside >> /made"),
        )
        assert await kubelet.output(config) == "zero\nby a hook\nand inside\nfull"
        sandbox = await kubelet.run()

        async def refused(config: c.ContainerConfig, code: int = grpc.UNKNOWN) -> str:
            asked = c.CreateContainerRequest(sandbox, config, kubelet.pod())
            return await kubelet.refused("CreateContainer", asked, code)

        write(hook("createContainer", "echo no card >&2; exit 3"))
        assert "error running createContainer hook #0" in await refused(config)
        write(hook("poststop", "true"))
        text = "hooks of the kind poststop are run by the command line alone"
        assert text in await refused(config, grpc.INVALID_ARGUMENT)
        other = kubelet.container("true", CDI_devices=(c.CDIDevice("a.com/card=9"),))
        assert await refused(other) == (
            "failed to create containerd container: CDI device injection failed: unresolvable CDI "
            "devices a.com/card=9"
        )
        await kubelet.remove_pod(sandbox)

    run(scenario)


@pytest.mark.parametrize(
    ("security", "script", "said"),
    [
        (
            {"run_as_user": Int64Value(1000)},
            "grep ^Uid /proc/self/status",
            "Uid:\t1000\t1000\t1000\t1000",
        ),
        (
            {"run_as_user": Int64Value(7), "run_as_group": Int64Value(8)},
            "grep -E ^Gid /proc/self/status",
            "Gid:\t8\t8\t8\t8",
        ),
        ({"supplemental_groups": (5, 6)}, "grep Groups /proc/self/status", "Groups:\t5 6 "),
        (
            {"supplemental_groups": (5,), "supplemental_groups_policy": c.STRICT},
            "grep Groups /proc/self/status",
            "Groups:\t5 ",
        ),
        ({"readonly_rootfs": True}, "touch /x 2>/dev/null || echo refused", "refused"),
        ({"readonly_rootfs": False}, "touch /x && echo written", "written"),
        ({"no_new_privs": True}, "grep NoNewPrivs /proc/self/status", "NoNewPrivs:\t1"),
        (
            {"seccomp": SecurityProfile(RUNTIME_DEFAULT)},
            "grep ^Seccomp: /proc/self/status",
            "Seccomp:\t2",
        ),
        ({}, "grep ^Seccomp: /proc/self/status", "Seccomp:\t0"),
        ({"masked_paths": ("/etc",)}, "ls /etc", ""),
        ({"readonly_paths": ("/etc",)}, "touch /etc/x 2>/dev/null || echo refused", "refused"),
        (
            {"capabilities": c.Capability(drop_capabilities=("ALL",))},
            "grep CapEff /proc/self/status",
            "CapEff:\t0000000000000000",
        ),
        (
            {
                "capabilities": c.Capability(
                    add_capabilities=("NET_ADMIN",), drop_capabilities=("ALL",)
                )
            },
            "grep CapEff /proc/self/status",
            "CapEff:\t0000000000001000",
        ),
    ],
)
def test_a_security_context_holds(security: dict[str, Any], script: str, said: str) -> None:
    async def scenario(kubelet: Kubelet) -> None:
        assert await kubelet.output(kubelet.secured("sh", "-c", script, **security)) == said

    run(scenario)


def test_processes_are_shared_with_the_machine_or_a_container_where_asked() -> None:
    async def scenario(kubelet: Kubelet) -> None:
        sandbox = await kubelet.run()
        first = await kubelet.launch(sandbox, kubelet.container(*SLEEP))
        joined = NamespaceOption(pid=TARGET, target_id=first)
        config = kubelet.secured(*SLEEP, namespace_options=joined)
        debugger = await kubelet.launch(sandbox, replace(config, metadata=c.ContainerMetadata("d")))
        inside = await kubelet.execute(debugger, "cat", "/proc/1/cmdline")
        assert b"exit 7" in inside.stdout
        host = NamespaceOption(pid=NODE)
        config = kubelet.secured(*SLEEP, namespace_options=host)
        other = await kubelet.launch(sandbox, replace(config, metadata=c.ContainerMetadata("h")))
        seen = await kubelet.execute(other, "test", "-e", f"/proc/{os.getpid()}")
        assert seen.exit_code == 0
        alone = await kubelet.execute(first, "test", "-e", f"/proc/{os.getpid()}")
        assert alone.exit_code == 1
        await kubelet.stop(first, 0)
        late = c.CreateContainerRequest(sandbox, config, kubelet.pod())
        gone = kubelet.secured(*SLEEP, namespace_options=joined)
        text = await kubelet.refused(
            "CreateContainer", replace(late, config=gone), grpc.FAILED_PRECONDITION
        )
        assert text.endswith("is not running")

    run(scenario)


def test_containers_of_a_pod_share_its_processes_where_the_pod_says_so() -> None:
    async def scenario(kubelet: Kubelet) -> None:
        security = s.LinuxSandboxSecurityContext(NamespaceOption(pid=POD))
        shared = s.LinuxPodSandboxConfig(security_context=security)
        sandbox = await kubelet.run(kubelet.pod(linux=shared))
        options = NamespaceOption(pid=POD)
        first = kubelet.secured(*SLEEP, namespace_options=options)
        await kubelet.launch(sandbox, first)
        second = replace(first, metadata=c.ContainerMetadata("second"), log_path="second.log")
        container = await kubelet.launch(sandbox, second)
        seen = await kubelet.execute(
            container, "sh", "-c", "grep -l 'exit 7' /proc/*/cmdline | wc -l"
        )
        assert int(seen.stdout) >= 2
        alone = replace(kubelet.container(*SLEEP), metadata=c.ContainerMetadata("alone"))
        container = await kubelet.launch(sandbox, alone)
        inside = await kubelet.execute(container, "cat", "/proc/1/cmdline")
        assert b"exit 7" in inside.stdout

    run(scenario)


def test_files_of_etc_are_the_pods() -> None:
    async def scenario(kubelet: Kubelet) -> None:
        dns = s.DNSConfig(("10.0.0.9",), ("a.example", "b.example"), ("ndots:5",))
        sandbox = await kubelet.run(kubelet.pod("named", dns_config=dns))
        container = await kubelet.launch(sandbox, kubelet.container(*SLEEP))
        found = await kubelet.execute(container, "cat", "/etc/resolv.conf", "/etc/hostname")
        lines = ["search a.example b.example", "nameserver 10.0.0.9", "options ndots:5", "named"]
        assert found.stdout.decode().splitlines() == lines
        hosts = await kubelet.execute(container, "cat", "/etc/hosts")
        assert b"10.0.0.2\tnamed\n" in hosts.stdout

    run(scenario)


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"metadata": None}, grpc.INVALID_ARGUMENT, "must include metadata"),
        (
            {"port_mappings": (s.PortMapping(host_port=65536, container_port=80),)},
            grpc.INVALID_ARGUMENT,
            "65536 is no port of a port mapping",
        ),
        (
            {"port_mappings": (s.PortMapping(3, 80, 80),)},
            grpc.INVALID_ARGUMENT,
            "unknown protocol of a port mapping: 3",
        ),
        (
            {"linux": s.LinuxPodSandboxConfig(cgroup_parent="kube.slice")},
            grpc.INVALID_ARGUMENT,
            "systemd driver is not supported",
        ),
        (
            {"linux": s.LinuxPodSandboxConfig(sysctls={"kernel.panic": "1"})},
            grpc.INVALID_ARGUMENT,
            "kernel.panic",
        ),
    ],
)
def test_a_sandbox_that_cannot_be_is_refused_and_leaves_nothing(
    changes: dict[str, Any], code: int, said: str
) -> None:
    async def scenario(kubelet: Kubelet) -> None:
        asked = s.RunPodSandboxRequest(kubelet.pod(**changes))
        assert said in await kubelet.refused("RunPodSandbox", asked, code)
        assert await kubelet.pods() == []

    run(scenario)


def test_an_unknown_handler_is_refused_in_containerds_words() -> None:
    async def scenario(kubelet: Kubelet) -> None:
        asked = s.RunPodSandboxRequest(kubelet.pod(), "gvisor")
        text = await kubelet.refused("RunPodSandbox", asked, grpc.UNKNOWN)
        assert text.endswith('no runtime for "gvisor" is configured')

    run(scenario)


def mount_of(image: str, part: str = "") -> c.Mount:
    return c.Mount("/a", readonly=True, image=ImageSpec(image), image_sub_path=part)


def image_mounts(kubelet: Kubelet) -> list[str]:
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [line for line in lines if f"{kubelet.tools.directory}/" in line.split(" ")[1]]


def test_an_image_is_mounted_whole_or_in_part_for_reading_alone() -> None:
    async def scenario(kubelet: Kubelet) -> None:
        sandbox = await kubelet.run()
        script = "cat /a/etc/passwd /b; touch /a/x 2>&1; /a/bin/busybox true 2>&1; exit 4"
        part = replace(mount_of(IMAGE, "etc/passwd"), container_path="/b")
        for name in ("one", "two"):  # what the first has mounted serves the second
            mounts = (mount_of(IMAGE), part)
            config = kubelet.container("sh", "-c", script, name=name, mounts=mounts)
            id = await kubelet.launch(sandbox, config)
            assert (await kubelet.ended(id)).exit_code == 4
            text = (kubelet.logs / f"{name}.log").read_text()
            assert text.count("root:x:0:0::/root:/bin/sh") == 2
            assert "touch: /a/x: Read-only file system" in text
            assert "Permission denied" in text
        (mounted,) = image_mounts(kubelet)
        assert " ro," in mounted
        await kubelet.stop_pod(sandbox)
        assert image_mounts(kubelet) == []

    run(scenario)


def test_a_container_that_cannot_be_is_refused_and_leaves_nothing() -> None:
    async def scenario(kubelet: Kubelet) -> None:
        sandbox = await kubelet.run()
        refusals = [
            (kubelet.container("true", image=ImageSpec("no-such:1")), grpc.NOT_FOUND, "no-such:1"),
            (kubelet.container("true", metadata=None), grpc.INVALID_ARGUMENT, "metadata"),
            (kubelet.container(), grpc.INVALID_ARGUMENT, "no command specified"),
            (kubelet.container("true", log_path="../out"), grpc.INVALID_ARGUMENT, "does not lie"),
            (
                kubelet.container("true", CDI_devices=(c.CDIDevice("a/b=c"),)),
                grpc.UNKNOWN,
                "unresolvable CDI devices a/b=c",
            ),
            (
                kubelet.container("true", devices=(c.Device("/dev/x", "/dev/no-such", "rwm"),)),
                grpc.UNKNOWN,
                "/dev/no-such",
            ),
            (
                kubelet.container("true", mounts=(c.Mount("/a", image=ImageSpec(IMAGE)),)),
                grpc.INVALID_ARGUMENT,
                "readonly must be true while mount image",
            ),
            (
                kubelet.container(
                    "true", mounts=(c.Mount("/a", "/b", True, image=ImageSpec(IMAGE)),)
                ),
                grpc.INVALID_ARGUMENT,
                "hostpath must be empty while mount image",
            ),
            (
                kubelet.container("true", mounts=(mount_of("x:1"),)),
                grpc.NOT_FOUND,
                'failed to resolve image "x:1"',
            ),
            (
                kubelet.container("true", mounts=(mount_of(IMAGE, "no/such"),)),
                grpc.UNKNOWN,
                "No such file or directory",
            ),
            (
                kubelet.container("true", mounts=(mount_of(IMAGE, "../etc"),)),
                grpc.UNKNOWN,
                "/a",
            ),
            (
                kubelet.container(
                    "true", mounts=(c.Mount("/a", "/tmp", recursive_read_only=True),)
                ),
                grpc.INVALID_ARGUMENT,
                "recursive_read_only",
            ),
            (
                kubelet.container(
                    "true",
                    mounts=(c.Mount("/a", "/tmp", True, recursive_read_only=True, propagation=1),),
                ),
                grpc.INVALID_ARGUMENT,
                "not private",
            ),
            (
                kubelet.secured("true", run_as_group=Int64Value(5)),
                grpc.INVALID_ARGUMENT,
                "user group must be specified",
            ),
            (
                kubelet.secured(
                    "true", seccomp=SecurityProfile(LOCALHOST, "/no-such/profile.json")
                ),
                grpc.INVALID_ARGUMENT,
                "no such file",
            ),
        ]
        for config, code, said in refusals:
            asked = c.CreateContainerRequest(sandbox, config, kubelet.pod())
            assert said in await kubelet.refused("CreateContainer", asked, code)
        assert await kubelet.containers() == []
        container = await kubelet.create(sandbox, kubelet.container("no-such-program"))
        asked = c.StartContainerRequest(container)
        assert "no-such-program" in await kubelet.refused("StartContainer", asked, grpc.UNKNOWN)
        status = await kubelet.status(container)
        assert (status.state, status.exit_code, status.reason) == (c.EXITED, 128, "StartError")
        await kubelet.refused("StartContainer", asked, grpc.FAILED_PRECONDITION)

    run(scenario)


def test_what_is_not_known_is_not_found() -> None:
    async def scenario(kubelet: Kubelet) -> None:
        text = await kubelet.refused(
            "ContainerStatus", c.ContainerStatusRequest("abc"), grpc.NOT_FOUND
        )
        assert text == 'an error occurred when try to find container "abc": not found'
        await kubelet.refused("PodSandboxStatus", s.PodSandboxStatusRequest(""), grpc.NOT_FOUND)
        await kubelet.remove("abc")
        await kubelet.stop("abc", 1)
        await kubelet.remove_pod("abc")
        await kubelet.stop_pod("abc")

    run(scenario)
