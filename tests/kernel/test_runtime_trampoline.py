"""The last step of the cold command: what stands between our interpreter and a container's."""

from __future__ import annotations

import fcntl
import json
import os
import pathlib
import sys

import pytest
from test_runtime_command import Bundle, bundle
from test_runtime_rig import needs_root

from steersman.runtime.kernel import trampoline

__all__ = ["bundle"]
pytestmark = needs_root

NO_UNAME = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["uname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}],
}
SEEN = "busybox ls /proc/self/fd; busybox grep -E 'Seccomp:|NoNewPrivs' /proc/self/status"


def change(bundle: Bundle, section: str, **fields: object) -> None:
    """Changes a section of the bundle's document."""
    config = bundle.directory / "config.json"
    document = json.loads(config.read_text())
    document[section].update(fields)
    config.write_text(json.dumps(document))


def interpreter() -> tuple[int, int, int]:
    """What changes when somebody writes to the interpreter's file."""
    status = os.stat(pathlib.Path(sys.executable).resolve())
    return status.st_ino, status.st_size, status.st_mtime_ns


@pytest.mark.parametrize("strict", [True, False])
def test_a_filter_holds_and_no_descriptor_is_left(bundle: Bundle, strict: bool) -> None:
    bundle.write("sh", "-c", f"{SEEN}; echo [$(busybox uname)]")
    change(bundle, "process", noNewPrivileges=strict)
    change(bundle, "linux", seccomp=NO_UNAME)
    words = bundle.run("run", "c1").split()
    # 3 is the directory that ls itself reads
    assert words == ["0", "1", "2", "3", "NoNewPrivs:", str(int(strict)), "Seccomp:", "2", "[]"]


def test_arguments_and_environment_arrive_as_they_were(bundle: Bundle) -> None:
    bundle.write("sh", "-c", 'echo "$0|$1|$2|$A"', "zero", "", "a b")
    change(bundle, "process", env=["PATH=/bin", "A=x=y"])
    assert bundle.run("run", "c1") == "zero||a b|x=y\n"


def test_why_the_kernel_does_not_run_a_program_is_told(bundle: Bundle) -> None:
    program = bundle.directory / "rootfs" / "bin" / "broken"
    program.write_bytes(b"\x7fELF nonsense")
    program.chmod(0o755)
    bundle.write("broken")
    assert "exec: Exec format error" in bundle.run("run", "c1", code=1)
    program.write_text("#!/nowhere\n")
    assert "exec: No such file or directory" in bundle.run("run", "c1", code=1)
    assert os.listdir(bundle.root) == []


@pytest.mark.parametrize("name", ["/proc/self/exe", "/bin/script"])
def test_cve_2019_5736_proc_self_exe_is_not_the_interpreter(bundle: Bundle, name: str) -> None:
    script = bundle.directory / "rootfs" / "bin" / "script"
    script.write_text("#!/proc/self/exe -c print('inside the interpreter')\n")
    script.chmod(0o755)
    before = interpreter()
    bundle.write(name, "-c", "print('inside the interpreter')")
    # The sealed file is run again, finds no channel, and gives up
    assert "interpreter" not in bundle.run("run", "c1", code=127)
    assert interpreter() == before


def test_cve_2019_5736_a_container_in_the_hosts_pid_namespace_meets_a_sealed_copy(
    bundle: Bundle,
) -> None:
    bundle.write("sh", "-c", "busybox readlink /proc/$PPID/exe")
    config = bundle.directory / "config.json"
    document = json.loads(config.read_text())
    kept = [entry for entry in document["linux"]["namespaces"] if entry["type"] != "pid"]
    document["linux"]["namespaces"] = kept
    kinds = ("bounding", "effective", "permitted")
    document["process"]["capabilities"] = {kind: ["CAP_SYS_PTRACE"] for kind in kinds}
    config.write_text(json.dumps(document))
    assert bundle.run("run", "c1") == "/memfd:steer-runtime (deleted)\n"


def test_what_is_run_in_between_cannot_be_changed_any_more() -> None:
    descriptor = trampoline.prepare(b"", 0, 3)
    try:
        assert fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE
        with pytest.raises(PermissionError):
            os.pwrite(descriptor, b"x", 0)
        with pytest.raises(PermissionError):
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)
