"""iscsi volumes on a real node: real devices and file systems behind an iscsiadm of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cri_kubelet import until
from node_cluster import ROOT, SLEEP, Cluster, Session, clusters, hears, needs_root, runs

from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME
from steersman.model.kinds.persistentvolumeclaim import PERSISTENTVOLUMECLAIM
from steersman.node.objects import BadConfiguration
from steersman.node.volumes import memory
from steersman.node.volumes.iscsi import filesystem, sessions
from steersman.node.volumes.iscsi.sessions import BY_PATH

# one folder of the machine's for all of them
pytestmark = [*needs_root, pytest.mark.xdist_group("iscsi")]
IQN = f"iqn.2026-11.test.steersman:{os.getpid()}"
PORTAL = "192.0.2.1:3260"
# A disk for each target, and a session where it is a loop device
ADMIN = """#!{python}
import sys
from pathlib import Path
sys.path.insert(0, {source!r})
from steersman.node.volumes import block
home, words = Path({home!r}), sys.argv[1:]
with open(home / "log", "a") as file:
    file.write(" ".join(words) + "\\n")
given = dict(zip(words, words[1:]))
if "--discover" in words and (home / "down").exists():
    sys.exit("cannot make connection to 192.0.2.1: Connection refused")
if "--login" in words or "--logout" in words:
    disk = home / given["-T"].rpartition(":")[2]
    link = Path({by_path!r}, f"ip-{{given['-p']}}-iscsi-{{given['-T']}}-lun-0")
    if "--login" in words:
        if link.is_symlink():
            sys.exit(15)
        link.symlink_to(block.attach(disk))
    elif not link.is_symlink():
        sys.exit(21)
    else:
        block.detach(link.readlink())
        link.unlink()
"""


class Target:
    """A target with disks, and what is asked of it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.log = home / "log"
        self.programs = home / "programs"
        self.programs.mkdir()
        text = ADMIN.format(
            python=sys.executable, source=str(ROOT / "src"), home=str(home), by_path=str(BY_PATH)
        )
        (self.programs / "iscsiadm").write_text(text)
        (self.programs / "iscsiadm").chmod(0o755)

    def disk(self, name: str) -> dict[str, Any]:
        """Makes a disk; returns what a volume says of it."""
        with open(self.home / name, "wb") as file:
            file.truncate(16 << 20)
        return {"targetPortal": "192.0.2.1", "iqn": f"{IQN}:{name}", "lun": 0}

    def asked(self, word: str, name: str) -> int:
        """How often it was asked for something."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return sum(word in line and f"{IQN}:{name} " in f"{line} " for line in lines)

    def link(self, name: str) -> Path:
        """Where the device of a disk is."""
        return BY_PATH / f"ip-{PORTAL}-iscsi-{IQN}:{name}-lun-0"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A target whose iscsiadm is the machine's; nobody is logged in afterwards."""
    made = [it for it in (BY_PATH.parent, BY_PATH) if not it.exists()]
    BY_PATH.mkdir(parents=True, exist_ok=True)
    found = Target(tmp_path_factory.mktemp("target"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{found.programs}:{os.environ['PATH']}")
        yield found
    assert not [it for it in BY_PATH.iterdir() if IQN in it.name]
    for folder in reversed(made):
        folder.rmdir()


@pytest.fixture(scope="module")
def cluster(target: Target) -> Iterator[Cluster]:
    """A cluster on a machine with that target."""
    with clusters() as made:
        yield made


def volume_of(source: dict[str, Any]) -> dict[str, Any]:
    return {"volumes": [{"name": "v", "iscsi": source}]}


MOUNTS = [{"name": "v", "mountPath": "/v"}]


def test_a_unit_is_formatted_once_and_left_by_the_last_pod(
    cluster: Cluster, target: Target
) -> None:
    async def scenario(session: Session) -> None:
        source = target.disk("shared")
        script = f"echo written > /v/file; {SLEEP}"
        await session.create("first", script=script, volumeMounts=MOUNTS, spec=volume_of(source))
        await session.until("first", runs)
        assert filesystem.probe(target.link("shared").resolve()) == "ext4"
        await session.delete("first")
        assert not target.link("shared").exists()
        assert target.asked("--logout", "shared") == target.asked("-o delete", "shared") == 1
        readonly = volume_of({**source, "readOnly": True})
        script = f"cat /v/file; touch /v/x; {SLEEP}"
        pods, said = ("one", "two"), "written\ntouch: /v/x: Read-only file system\n"
        for name in pods:
            await session.create(name, script=script, volumeMounts=MOUNTS, spec=readonly)
        for name in pods:
            pod = await session.until(name, runs)
            await until(lambda pod=pod: cluster.log(pod) == said)  # type: ignore[misc]
        await session.delete("one")
        assert target.link("shared").exists()
        await session.delete("two")
        assert not target.link("shared").exists()
        assert target.asked("--logout", "shared") == 2

    cluster.run(scenario)


def claimed(name: str, source: dict[str, Any], mode: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A volume, and a claim bound to it."""
    common = {
        "accessModes": ["ReadWriteOnce"],
        "volumeMode": mode,
        "storageClassName": "",
    }
    volume = {
        "metadata": {"name": name},
        "spec": {**common, "capacity": {"storage": "16Mi"}, "iscsi": source},
    }
    asked = {"requests": {"storage": "16Mi"}}
    claim = {
        "metadata": {"name": name},
        "spec": {**common, "volumeName": name, "resources": asked},
    }
    return volume, claim


@pytest.mark.parametrize("mode", ["Filesystem", "Block"])
def test_a_unit_is_behind_a_claim_and_goes_on_over_the_death_of_the_agent(
    cluster: Cluster, target: Target, mode: str
) -> None:
    async def scenario(session: Session) -> None:
        name = mode.lower()
        volume, claim = claimed(name, target.disk(name), mode)
        await session.client.create(PERSISTENTVOLUME, volume)
        await session.client.create(PERSISTENTVOLUMECLAIM, claim, namespace="default")
        use: dict[str, Any] = {"volumeMounts": MOUNTS}
        write = f"echo kept > /v/file; {SLEEP}"
        if mode == "Block":
            use = {"volumeDevices": [{"name": "v", "devicePath": "/dev/unit"}]}
            write = f"echo kept > /dev/unit; {SLEEP}"
        spec = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": name}}]}
        await session.create(name, script=write, spec=spec, **use)
        await session.until(name, runs)
        agent = cluster.agent()
        handle = os.pidfd_open(agent)
        os.kill(agent, 9)
        await cluster.ended(handle)
        await session.delete(name)
        assert not target.link(name).exists()
        assert (target.asked("--login", name), target.asked("--logout", name)) == (1, 1)
        assert b"kept\n" in (target.home / name).read_bytes()
        await session.client.delete(PERSISTENTVOLUMECLAIM.ref("default", name))
        await session.client.delete(PERSISTENTVOLUME.ref("", name))

    cluster.run(scenario)


def test_what_cannot_be_had_is_told_in_plain_words(cluster: Cluster, target: Target) -> None:
    async def scenario(session: Session) -> None:
        source = target.disk("refused")
        wanted = [
            ({"chapAuthSession": True, "secretRef": {"name": "s"}}, "CHAP is not supported"),
            ({"initiatorName": "iqn.2026-11.test:me"}, "an initiatorName is not supported"),
            ({"fsType": "nofs"}, "mkfs.nofs is not installed on this node"),
            ({"readOnly": True}, "failed to mount unformatted volume"),
        ]
        for number, (more, text) in enumerate(wanted):
            spec = volume_of({**source, **more})
            pod = await session.create(
                f"refused{number}", script=SLEEP, volumeMounts=MOUNTS, spec=spec
            )
            said = await hears(session, pod, "FailedMount")
            assert text in said
            await session.delete(pod.metadata.name)
        (target.home / "down").touch()
        spec = volume_of(source)
        pod = await session.create("down", script=SLEEP, volumeMounts=MOUNTS, spec=spec)
        said = await hears(session, pod, "FailedMount")
        assert "iscsi: failed to attach disk: failed to sendtargets to portal " + PORTAL in said
        assert "Connection refused" in said
        await session.delete("down")
        (target.home / "down").unlink()
        assert not target.link("refused").exists()

    cluster.run(scenario)


def test_who_ends_the_cluster_logs_out_of_what_its_pods_have(
    cluster: Cluster, target: Target
) -> None:
    async def scenario(session: Session) -> None:
        source = target.disk("left")
        await session.create("left", script=SLEEP, volumeMounts=MOUNTS, spec=volume_of(source))
        await session.until("left", runs)
        assert target.link("left").exists()

    cluster.run(scenario)
    cluster.down()
    assert not target.link("left").exists()
    assert target.asked("--logout", "left") == 1
    cluster.start()


def test_what_is_on_a_device_is_never_formatted(target: Target, tmp_path: Path) -> None:
    place = tmp_path / "pod" / "volumes" / "v"
    place.mkdir(parents=True)
    source = target.disk("other")
    subprocess.run(["mkfs.ext4", "-q", "-F", str(target.home / "other")], check=True)
    before = (target.home / "other").read_bytes()
    device = sessions.attach(sessions.parse(source), place)
    try:
        with pytest.raises(BadConfiguration) as caught:
            filesystem.mount(device, "xfs", (), place)
        text = 'failed to mount the volume as "xfs", it already contains ext4'
        assert str(caught.value) == text
        assert (target.home / "other").read_bytes() == before
        for wrong in ("ext4,x", "../x", "-h"):
            with pytest.raises(BadConfiguration, match="is no file system"):
                filesystem.mount(device, wrong, (), place)
        filesystem.mount(device, "", ("noatime",), place)
        assert filesystem.is_mounted(device)
        (line,) = [it for it in memory_mounts() if str(place) in it]
        assert "noatime" in line
        memory.unmount(place)
    finally:
        sessions.release(tmp_path / "pod", tmp_path)
    assert not target.link("other").exists()
    sessions.release(tmp_path / "pod", tmp_path)  # twice is fine


def memory_mounts() -> list[str]:
    return Path("/proc/self/mounts").read_text().splitlines()


def test_a_partitioned_disk_is_not_taken_for_an_empty_one(target: Target, tmp_path: Path) -> None:
    place = tmp_path / "pod" / "volumes" / "v"
    place.mkdir(parents=True)
    source = target.disk("parted")
    with open(target.home / "parted", "r+b") as file:
        file.seek(446)
        file.write(bytes([0, 1, 1, 0, 0x83, 1, 1, 2, 1, 0, 0, 0, 0, 16, 0, 0]))
        file.seek(510)
        file.write(b"\x55\xaa")
    device = sessions.attach(sessions.parse(source), place)
    try:
        with pytest.raises(BadConfiguration, match="unknown data, probably partitions"):
            filesystem.mount(device, "ext4", (), place)
    finally:
        sessions.release(tmp_path / "pod", tmp_path)


def test_a_node_without_iscsiadm_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    source = sessions.parse({"targetPortal": "192.0.2.1", "iqn": IQN, "lun": 0})
    with pytest.raises(BadConfiguration, match="iscsiadm is not installed on this node"):
        sessions.attach(source, tmp_path / "pod" / "volumes" / "v")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BadConfiguration, match="is no portal"):
        sessions.parse({"targetPortal": "x/../y", "iqn": IQN, "lun": 0})
