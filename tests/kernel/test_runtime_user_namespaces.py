"""Containers in user namespaces of their own: who they are outside, what they own, what they may.

In pods, and on the command line as runc's clients ask for it.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from test_runtime_command import Bundle, bundle
from test_runtime_rig import Rig, needs_root, read_terminal, run

from steersman.runtime import spec
from steersman.runtime.engine import EngineError, SandboxState

pytestmark = needs_root
__all__ = ["bundle"]

BASE = 200_000
MAPS = [{"containerID": 0, "hostID": BASE, "size": 65_536}]
USER = {"uidMappings": MAPS, "gidMappings": MAPS}


async def start(rig: Rig, **options: Any) -> tuple[SandboxState, dict[str, Any]]:
    """A pod with users of its own, and what its containers are to be given."""
    sandbox = await rig.sandbox(**USER, **options)
    return sandbox, {"userns": sandbox.userns}


def test_root_of_a_pod_is_nobody_outside_and_owns_what_the_image_gives_root() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox, given = await start(rig)
        text = await rig.shell(
            sandbox,
            "id; cat /proc/self/uid_map; stat -c %u:%g / /etc/passwd /dev/shm",
            **given,
        )
        assert text.split() == [
            "uid=0(root)", "gid=0(root)", "0", str(BASE), "65536",
            "0:0", "0:0", "0:0",
        ]  # fmt: skip
        name = await rig.launch(sandbox, "sleep", "1000", **given)
        pid = (await rig.engine.state("p", name)).pid
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        assert f"Uid:\t{BASE}\t{BASE}\t{BASE}\t{BASE}" in status
        assert f"Gid:\t{BASE}\t{BASE}\t{BASE}\t{BASE}" in status
        assert "Groups:\t \n" in status

    run(scenario)


def test_the_namespaces_of_a_pod_belong_to_its_users() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox, given = await start(rig)
        script = "hostname other && hostname; ip addr add 10.9.9.9/32 dev lo && echo added"
        granted = {**given, "privileged": True}
        text = await rig.shell(sandbox, script, **granted)
        assert text.split() == ["other", "added"]
        # And nothing else does: what belongs to the machine stays closed to its root
        for command in ("mknod /m c 1 3", "mount -t ext4 /dev/vda /mnt", "ip link add x type veth"):
            text = await rig.shell(sandbox, f"{command} 2>&1 || echo refused", **given)
            assert "refused" in text, command

    run(scenario)


def test_files_that_a_container_makes_belong_to_its_users_outside_too() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox, given = await start(rig)
        script = "touch /made; chmod 600 /etc/passwd; stat -c %u:%g /etc/passwd; sleep 1000"
        name = await rig.launch(sandbox, "/bin/sh", "-c", script, **given)
        while "0:0" not in rig.text(name):
            await rig.engine.state("p", name)
        upper = pathlib.Path(rig.state, "pods", "p", "containers", name, "upper")
        assert (upper / "made").stat().st_uid == BASE
        assert (upper / "etc/passwd").stat().st_uid == BASE  # copied up
        assert pathlib.Path(rig.layer, "etc/passwd").stat().st_uid == 0

    run(scenario)


def test_a_mapped_volume_has_the_containers_ids_on_disk() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox, given = await start(rig)
        volume = pathlib.Path(rig.directory, "closed", "volume")
        volume.mkdir(parents=True)
        volume.parent.chmod(0o700)
        (volume / "there").touch()
        os.chown(volume / "there", 7, 8)
        mount = spec.bind_mount(str(volume), "/volume", mapped=True)
        script = "stat -c %u:%g /volume /volume/there; touch /volume/new; id -u"
        assert (await rig.shell(sandbox, script, mounts=[mount], **given)).split() == [
            "0:0", "7:8", "0",
        ]  # fmt: skip
        assert (volume / "new").stat().st_uid == 0
        user = {"uid": 1000, "gid": 1000}
        denied = await rig.shell(
            sandbox, "touch /volume/x 2>/dev/null || echo no", mounts=[mount], user=user, **given
        )
        assert denied.endswith("no\n")
        plain = spec.bind_mount(str(volume), "/volume")
        script = "stat -c %u:%g /volume; touch /volume/y 2>/dev/null || echo no"
        text = await rig.shell(sandbox, script, mounts=[plain], **given)
        assert text.startswith("65534:65534") and text.endswith("no\n")

    run(scenario)


def test_a_volume_whose_file_system_cannot_be_mapped_is_refused_with_runcs_words() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox, given = await start(rig)
        mount = spec.bind_mount("/sys/kernel", "/volume", mapped=True)
        with pytest.raises(
            EngineError, match=r"failed to set MOUNT_ATTR_IDMAP on /sys/kernel: "
        ) as told:
            await rig.launch(sandbox, "true", mounts=[mount], **given)
        assert "(maybe the filesystem used doesn't support idmap mounts on this kernel?)" in str(
            told.value
        )

    run(scenario)


def test_devices_are_the_machines_and_can_be_used() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox, given = await start(rig)
        script = (
            "echo lost > /dev/null; head -c 3 /dev/zero | wc -c; head -c 9 /dev/urandom | wc -c;"
            "stat -c %t:%T /dev/full; chmod 600 /dev/null 2>&1 | wc -l; readlink /dev/stdout"
        )
        text = await rig.shell(sandbox, script, **given)
        assert text.split()[:3] == ["3", "9", "1:7"]
        assert text.endswith("1\n/proc/self/fd/1\n")

    run(scenario)


def test_exec_enters_the_user_namespace_and_a_users_pipes_are_its_own() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox, given = await start(rig)
        name = await rig.launch(sandbox, "sleep", "1000", **given)
        reader, writer = os.pipe()
        null = os.open("/dev/null", os.O_RDWR)
        script = "id -u; id -g; cat /proc/self/uid_map; echo again > /dev/stdout"
        process = {"args": ["/bin/sh", "-c", script], "user": {"uid": 5, "gid": 6}}
        made = await rig.engine.exec("p", name, process, (null, writer, writer))
        os.close(writer)
        os.close(null)
        assert (await made.wait()).code == 0
        with open(reader) as file:
            assert file.read().split() == ["5", "6", "0", str(BASE), "65536", "again"]
        capabilities = pathlib.Path(f"/proc/{(await rig.engine.state('p', name)).pid}/status")
        bounding = next(
            line for line in capabilities.read_text().splitlines() if line.startswith("CapBnd")
        )
        made = await rig.engine.exec(
            "p", name, {"args": ["cat", "/proc/self/status"], "terminal": True}
        )
        await made.wait()
        assert bounding in read_terminal(made.terminal).replace("\r", "")
        made.close()

    run(scenario)


def test_a_container_with_users_of_its_own_keeps_only_the_capabilities_that_it_was_given() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox, given = await start(rig)
        text = await rig.shell(
            sandbox, "grep Cap /proc/self/status", capabilities=["CAP_CHOWN"], **given
        )
        # A new user namespace begins with all of them
        assert {line.split()[1] for line in text.splitlines()} == {"0" * 16, "0" * 15 + "1"}
        assert "CapBnd:\t0000000000000001" in text

    run(scenario)


def test_settings_of_the_pods_own_network_can_be_made() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox, given = await start(rig, sysctls={"net.ipv4.ip_unprivileged_port_start": "80"})
        path = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
        assert await rig.shell(sandbox, f"cat {path}", **given) == "80\n"
        document = rig.bundle(sandbox, "x", "cat", path, **given)
        document["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "90"}
        await rig.engine.create("p", "x", document)
        await rig.engine.start("p", "x")
        await rig.engine.wait("p", "x")
        assert rig.text("x") == "90\n"

    run(scenario)


def test_maps_that_are_not_those_of_the_joined_namespace_are_refused() -> None:
    async def scenario(rig: Rig) -> None:
        sandbox, given = await start(rig)
        for maps, fine in ((MAPS, True), ([{**MAPS[0], "hostID": BASE + 1}], False)):
            document = rig.bundle(sandbox, "x", "true", **given)
            document["linux"].update(uidMappings=maps, gidMappings=maps)
            if fine:
                await rig.engine.create("p", "x", document)
                await rig.engine.delete("p", "x", force=True)
                continue
            with pytest.raises(EngineError, match="non-matching mapping specified"):
                await rig.engine.create("p", "x", document)

    run(scenario)


def mapped(document: dict[str, Any]) -> None:
    document["linux"]["namespaces"].append({"type": "user"})
    document["linux"].update(USER)


@pytest.fixture
def edit(bundle: Bundle) -> Iterator[Callable[..., None]]:
    """Writes a bundle whose users are its own."""
    for path, directories, files in os.walk(bundle.directory / "rootfs"):
        for name in (".", *directories, *files):
            os.chown(os.path.join(path, name), BASE, BASE, follow_symlinks=False)

    def write(*args: str, **changes: Any) -> None:
        bundle.write(*args)
        path = bundle.directory / "config.json"
        document = json.loads(path.read_text())
        mapped(document)
        for name, value in changes.items():
            document[name] = value
        path.write_text(json.dumps(document))

    yield write


def test_the_command_line_makes_containers_with_users_of_their_own(
    bundle: Bundle, edit: Callable[..., None]
) -> None:
    edit("sh", "-c", "exit 3")
    assert bundle.run("run", "c1", code=3) == ""
    edit("sh", "-c", "echo $$; hostname")
    assert bundle.run("run", "c1").split() == ["1", "cold"]
    assert os.listdir(bundle.root) == []


def test_create_start_and_exec_with_users_of_their_own(
    bundle: Bundle, edit: Callable[..., None]
) -> None:
    edit("sleep", "1000")
    with open(os.devnull) as null:
        command = [sys.executable, "-I", "-S", spec.__file__.replace("spec.py", "__main__.py")]
        command += ["--root", str(bundle.root), "create", "--bundle", str(bundle.directory), "c1"]
        subprocess.run(command, check=True, timeout=60, stdin=null, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)  # fmt: skip
    bundle.run("start", "c1")
    pid = json.loads(bundle.run("state", "c1"))["pid"]
    assert pathlib.Path(f"/proc/{pid}/uid_map").read_text().split() == ["0", str(BASE), "65536"]
    assert os.stat(f"/proc/{pid}").st_uid in (0, BASE)
    assert bundle.run("exec", "c1", "sh", "-c", "echo $(ip -o link | wc -l)") != ""
    bundle.run("exec", "--user", "9:9", "c1", "sh", "-c", "exit 4", code=4)
    bundle.run("delete", "--force", "c1")


def test_a_mount_may_be_mapped_without_a_user_namespace(bundle: Bundle) -> None:
    source = bundle.directory / "source"
    source.mkdir()
    os.chown(source, 3, 4)
    bundle.write("sh", "-c", "ls -lnd /m")
    (bundle.directory / "rootfs/bin/ls").symlink_to("busybox")
    path = bundle.directory / "config.json"
    document = json.loads(path.read_text())
    document["root"]["readonly"] = False
    maps = [
        {"containerID": 3, "hostID": 1003, "size": 1},
        {"containerID": 4, "hostID": 1004, "size": 1},
    ]
    mount = {"destination": "/m", "type": "bind", "source": str(source), "options": ["bind"]}
    document["mounts"].append({**mount, "uidMappings": maps, "gidMappings": maps})
    path.write_text(json.dumps(document))
    assert bundle.run("run", "c1").split()[2:4] == ["1003", "1004"]
