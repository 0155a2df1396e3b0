"""RUN of a Containerfile: one process in a container of its own, on the layers so far.

Uses the runtime's command as anybody would: a bundle, `run`, an exit code. Needs root. The step
has the machine's network and its resolver's configuration, as a build elsewhere has.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from steersman.cli.failure import Failure
from steersman.images.building.build import Process
from steersman.runtime import __main__ as runtime
from steersman.runtime import spec
from steersman.runtime.kernel import rootfs, syscalls

_NAMESPACES = ({"type": "mount"}, {"type": "pid"}, {"type": "ipc"}, {"type": "uts"})


def run_step(layers: Sequence[Path], upper: Path, process: Process) -> int:
    """See `images.building.build.RunStep`."""
    if os.geteuid() != 0:
        raise Failure("RUN needs root: it makes a container")
    with tempfile.TemporaryDirectory(dir=upper.parent, prefix="run-") as directory:
        bundle = Path(directory)
        merged, work = bundle / "rootfs", upper.parent / "work"
        for path in (merged, work):
            path.mkdir(exist_ok=True)
        rootfs.mount_overlay([str(path) for path in reversed(layers)], str(upper), str(work),
                             str(merged))  # fmt: skip
        try:
            (bundle / "config.json").write_text(json.dumps(render_bundle(process)))
            return _run(bundle)
        finally:
            syscalls.umount(str(merged), syscalls.MNT_DETACH)


def render_bundle(process: Process) -> dict[str, Any]:
    """Returns the bundle's configuration (OCI runtime specification, config.md)."""
    names = list(spec.DEFAULT_CAPABILITIES)
    resolver = spec.bind_mount("/etc/resolv.conf", "/etc/resolv.conf", readonly=True)
    mounts = [resolver] if Path("/etc/resolv.conf").exists() else []
    return {
        "ociVersion": spec.OCI_VERSION,
        "process": {
            "args": list(process.args),
            "env": list(process.env),
            "cwd": process.cwd,
            "user": {
                "uid": process.uid,
                "gid": process.gid,
                "additionalGids": list(process.additional_gids),
            },
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), names),
            "noNewPrivileges": False,
        },
        "root": {"path": "rootfs"},
        "mounts": [*spec.default_mounts(), *mounts],
        "linux": {
            "namespaces": list(_NAMESPACES),
            "maskedPaths": list(spec.MASKED_PATHS),
            "readonlyPaths": list(spec.READONLY_PATHS),
        },
    }


def _run(bundle: Path) -> int:
    assert runtime.__file__ is not None
    name = f"build-{os.getpid()}-{bundle.name}"
    command = [sys.executable, "-I", "-S", runtime.__file__, "--root", str(bundle / "state")]
    done = subprocess.run([*command, "run", "--bundle", str(bundle), name], check=False)
    return done.returncode
