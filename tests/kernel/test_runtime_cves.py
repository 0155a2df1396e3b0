"""Attacks that were found in other runtimes, by number, with hostile root file systems."""

from __future__ import annotations

import json
import os
import pathlib
import socket
from typing import Any

import pytest
from test_runtime_command import Bundle, bundle
from test_runtime_rig import needs_root

__all__ = ["bundle"]
pytestmark = needs_root

CORE_PATTERN = pathlib.Path("/proc/sys/kernel/core_pattern")


def edit(bundle: Bundle, **linux: Any) -> dict[str, Any]:
    """The bundle's document, with fields of its linux section changed on disk."""
    config = bundle.directory / "config.json"
    document: dict[str, Any] = json.loads(config.read_text())
    document["linux"].update(linux)
    config.write_text(json.dumps(document))
    return document


def without_dev(bundle: Bundle) -> pathlib.Path:
    """Takes the mount at /dev away, so that the image's own directory is used; gives that."""
    document = edit(bundle)
    document["mounts"] = [mount for mount in document["mounts"] if mount["destination"] != "/dev"]
    document["mounts"] = [mount for mount in document["mounts"] if mount["type"] != "mqueue"]
    document["root"]["readonly"] = False
    (bundle.directory / "config.json").write_text(json.dumps(document))
    return bundle.directory / "rootfs" / "dev"


def test_cve_2022_0492_no_release_agent_is_within_reach(bundle: Bundle) -> None:
    bundle.write(
        "sh", "-c",
        "busybox find /sys/fs/cgroup -name release_agent; "
        "busybox mkdir /tmp; busybox mount -t cgroup -o memory none /mnt && echo mounted; "
        "for file in /sys/fs/cgroup/*/notify_on_release; do echo 1 >$file && echo written; done; "
        "exit 0",
    )  # fmt: skip
    (bundle.directory / "rootfs" / "mnt").mkdir()
    assert bundle.run("run", "c1") == ""


def test_cve_2025_31133_a_false_dev_null_does_not_lead_a_mask_elsewhere(bundle: Bundle) -> None:
    before = CORE_PATTERN.read_text()
    bundle.write("sh", "-c", "echo '|/evil' >/proc/sys/kernel/core_pattern; exit 0")
    (without_dev(bundle) / "null").symlink_to(CORE_PATTERN)
    assert "'null' is there as something else" in bundle.run("run", "c1", code=1)
    assert CORE_PATTERN.read_text() == before


@pytest.mark.parametrize("target", ["/proc/sysrq-trigger", "/nowhere"])
def test_cve_2025_52565_a_false_console_takes_no_terminal(bundle: Bundle, target: str) -> None:
    bundle.write("true", terminal=True)
    (without_dev(bundle) / "console").symlink_to(target)
    path = str(bundle.directory / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        text = bundle.run("run", "--console-socket", path, "c1", code=1)
    assert "symbolic links" in text or "File exists" in text
    assert os.listdir(bundle.root) == []


@pytest.mark.parametrize("place", ["/proc/sys", "/proc/self/attr", "//proc/sys/net", "/proc"])
def test_cve_2025_52881_what_the_runtime_writes_is_not_led_elsewhere(
    bundle: Bundle, place: str
) -> None:
    bundle.write("true")
    document = edit(bundle, sysctl={"net.ipv4.ip_default_ttl": "77"})
    document["mounts"].append({"destination": place, "type": "tmpfs", "source": "tmpfs"})
    (bundle.directory / "config.json").write_text(json.dumps(document))
    assert "is no place to mount tmpfs" in bundle.run("run", "c1", code=1)


def test_cve_2025_52881_kernel_settings_are_the_machines_own_files(bundle: Bundle) -> None:
    bundle.write("busybox", "cat", "/proc/sys/net/ipv4/ip_default_ttl")
    edit(bundle, sysctl={"net.ipv4.ip_default_ttl": "77"})
    false = bundle.directory / "rootfs" / "proc" / "sys" / "net" / "ipv4"
    false.mkdir(parents=True)
    (false / "ip_default_ttl").write_text("image")
    assert bundle.run("run", "c1") == "77\n"
    assert (false / "ip_default_ttl").read_text() == "image"


def test_cve_2024_21626_no_descriptor_leads_a_working_directory_out(bundle: Bundle) -> None:
    for number in range(3, 12):
        bundle.write("true")
        config = bundle.directory / "config.json"
        document = json.loads(config.read_text())
        document["process"]["cwd"] = f"/proc/self/fd/{number}"
        config.write_text(json.dumps(document))
        bundle.run("run", "c1", code=1)
    assert os.listdir(bundle.root) == []
