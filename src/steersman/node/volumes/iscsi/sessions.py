"""A unit of a target as a block device, by the machine's own iscsiadm, mounted or linked to.

Follows pkg/volume/iscsi/iscsi_util.go. What a pod has is noted in its directory before anything is
logged in to, so that whoever comes later can log out: when the last note of a target is gone.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from steersman.model.kinds.pod import Pod
from steersman.node.objects import BadConfiguration
from steersman.node.programs import run_helper
from steersman.node.record import replace_file
from steersman.node.volumes import memory, ownership
from steersman.node.volumes.iscsi import filesystem

HELPER: Final = "iscsiadm"
BY_PATH: Final = Path("/dev/disk/by-path")
_PORT: Final = ":3260"
_SETTLE: Final = "udevadm"
_DEVICE_SECONDS: Final = 30  # upstream's deviceDiscoveryTimeout
_COMMAND_SECONDS: Final = 60.0
# iscsiadm's answer for a session that is there already, and for one that is not
_EXISTS, _NO_OBJECT = 15, 21
_NOTES: Final = "iscsi"
# Between two pods of a target on this node: one must not log out while the other logs in
_turn = threading.Lock()


class Source(msgspec.Struct, frozen=True, rename="camel"):
    """What a pod or a PersistentVolume says of it."""

    target_portal: str = ""
    portals: tuple[str, ...] = ()
    iqn: str = ""
    lun: int = 0
    iscsi_interface: str = "default"
    initiator_name: str | None = None
    fs_type: str = ""
    read_only: bool = False
    chap_auth_discovery: bool = False
    chap_auth_session: bool = False

    def all_portals(self) -> list[str]:
        """Returns the portals with their ports, each once."""
        each = [self.target_portal, *self.portals]
        return list(dict.fromkeys(it if ":" in it else it + _PORT for it in each))


class Note(msgspec.Struct, frozen=True):
    """What a pod is logged in to."""

    portals: tuple[str, ...]
    iqn: str
    interface: str


def parse(section: Mapping[str, Any]) -> Source:
    """Reads a source; raises BadConfiguration for what cannot be had here."""
    found = msgspec.convert(section, Source)
    if found.chap_auth_discovery or found.chap_auth_session:
        text = f"{HELPER} would show the secrets to everybody on this machine"
        raise BadConfiguration(f"iscsi: CHAP is not supported: {text}")
    if any("/" in it for it in found.all_portals()):
        raise BadConfiguration(f"iscsi: {found.target_portal} is no portal")
    if found.initiator_name:
        raise BadConfiguration("iscsi: an initiatorName is not supported")
    return found


def prepare(
    section: Mapping[str, Any],
    options: Sequence[str],
    pod: Pod,
    place: Path,
    *,
    readonly: bool = False,
) -> None:
    """Mounts a unit at a volume's place where it is not yet, and gives it to the pod's group;
    raises BadConfiguration."""
    if memory.is_mounted(place):
        return
    source = parse(section)
    readonly = readonly or source.read_only
    device = attach(source, place)
    place.mkdir(mode=0o755, parents=True, exist_ok=True)
    filesystem.mount(device, source.fs_type, options, place, readonly=readonly)
    security = pod.spec.security_context
    if security.fs_group is not None and not readonly:
        ownership.give(place, security.fs_group, security.fs_group_change_policy)


def attach(source: Source, place: Path) -> Path:
    """Returns the device of a unit, logged in to where it is not yet; `place` is that of the
    volume. Raises BadConfiguration."""
    if shutil.which(HELPER) is None:
        raise BadConfiguration(f"iscsi: {HELPER} is not installed on this node")
    note = Note(tuple(source.all_portals()), source.iqn, source.iscsi_interface)
    path = place.parent.parent / _NOTES / place.name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _turn:
        replace_file(path, msgspec.json.encode(note))
        troubles = [_log_in(note, portal) for portal in note.portals]
    if all(troubles):
        raise BadConfiguration(f"iscsi: failed to attach disk: {troubles[-1]}")
    return _await_device(source, note.portals)


def _log_in(note: Note, portal: str) -> str:
    """Logs in to a target at one portal; returns why that failed, nothing where it did not."""
    discovery = ("-m", "discoverydb", "-t", "sendtargets", "-p", portal, "-I", note.interface)
    said = _run(*discovery, "--discover")
    if said.returncode:
        _run(*discovery, "-o", "delete")
        return f"failed to sendtargets to portal {portal} output: {_output(said)}"
    said = _run(*_node(note, portal), "--login")
    if said.returncode not in (0, _EXISTS):
        return f"{portal}: {_output(said)}"
    # Not again when the machine boots, before any pod wants it
    _run(*_node(note, portal), "-o", "update", "-n", "node.startup", "-v", "manual")
    return ""


def _node(note: Note, portal: str) -> tuple[str, ...]:
    return ("-m", "node", "-p", portal, "-T", note.iqn, "-I", note.interface)


def _await_device(source: Source, portals: tuple[str, ...]) -> Path:
    """Returns the device of the unit, at whichever portal; raises BadConfiguration."""
    places = [BY_PATH / f"ip-{it}-iscsi-{source.iqn}-lun-{source.lun}" for it in portals]
    if not any(it.exists() for it in places) and shutil.which(_SETTLE) is not None:
        seconds = f"--timeout={_DEVICE_SECONDS}"
        wait = (_SETTLE, "settle", f"--exit-if-exists={places[0]}", seconds)
        subprocess.run(wait, capture_output=True, timeout=2 * _DEVICE_SECONDS, check=False)
    found = next((it for it in places if it.exists()), None)
    if found is None:  # the next try may find it
        raise BadConfiguration(f"iscsi: Timed out waiting for device at path {places[0]}")
    return found.resolve()


def release(pod: Path, pods: Path) -> None:
    """Logs out of what a pod had and no other pod has; what was mounted is gone. Repeatable;
    raises BadConfiguration."""
    folder = pod / _NOTES
    if not folder.is_dir():
        return
    with _turn:
        for path in sorted(folder.iterdir()):
            note = msgspec.json.decode(path.read_bytes(), type=Note)
            others = {it.read_bytes() for it in pods.glob(f"*/{_NOTES}/*") if it != path}
            for portal in () if msgspec.json.encode(note) in others else note.portals:
                _log_out(note, portal)
            path.unlink()
        folder.rmdir()


def _log_out(note: Note, portal: str) -> None:
    said = _run(*_node(note, portal), "--logout")
    if said.returncode not in (0, _NO_OBJECT):
        raise BadConfiguration(f"iscsi: failed to detach disk Error: {_output(said)}")
    _run(*_node(note, portal), "-o", "delete")


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return run_helper((HELPER, *words), _COMMAND_SECONDS, "iscsi", shown=f"{HELPER} {words[1]}")


def _output(said: subprocess.CompletedProcess[str]) -> str:
    return f"{said.stderr or said.stdout} (exit status {said.returncode})"
