"""Layers on a real overlayfs, RUN in real namespaces, and the demo's image answering."""

import io
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from steersman.images import demo_image, diff, layers
from steersman.images.building.build import Process, Request, build
from steersman.images.documents import digest_of
from steersman.images.errors import BuildError, Refused
from steersman.images.merged import OPAQUE, Merged
from steersman.images.references import parse
from steersman.images.store import Image, Store
from steersman.wire import tar

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.getuid() != 0, reason="needs root"),
]
NOW = 1_700_000_000.0
SECONDS = 120
BUSYBOX = demo_image.find_busybox()
needs_busybox = pytest.mark.skipif(BUSYBOX is None, reason="busybox-static is not installed here")

# Runs one process on an overlay in a mount namespace of its own, so that nothing is left behind.
RUNNER = """
import json, os, subprocess, sys
job = json.loads(sys.argv[1])
options = "lowerdir=%(lower)s,upperdir=%(upper)s,workdir=%(work)s" % job
subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, job["root"]], check=True)
os.chroot(job["root"])
os.chdir(job["cwd"])
os.setgroups(job["groups"])
os.setgid(job["gid"])
os.setuid(job["uid"])
env = dict(each.split("=", 1) for each in job["env"])
os.execvpe(job["args"][0], job["args"], env)
"""


def run_step(rootfs: Sequence[Path], upper: Path, process: Process) -> int:
    job = {
        "lower": ":".join(map(str, reversed(rootfs))),
        "upper": str(upper),
        "work": str(upper.parent / "work"),
        "root": str(upper.parent / "root"),
        "cwd": process.cwd,
        "args": process.args,
        "env": process.env,
        "uid": process.uid,
        "gid": process.gid,
        "groups": process.additional_gids,
    }
    for name in ("work", "root"):
        Path(job[name]).mkdir()  # type: ignore[arg-type]
    unshare = ["unshare", "--mount", "--pid", "--fork", "--propagation", "private"]
    command = [*unshare, sys.executable, "-I", "-S", "-c", RUNNER, json.dumps(job)]
    return subprocess.run(command, timeout=SECONDS, check=False).returncode


def shell(rootfs: Sequence[Path], script: str) -> str:
    """What a command on the host says with the layers mounted at its working directory."""
    scratch = rootfs[0].parent.parent / "shell"
    for name in ("upper", "work", "root"):
        (scratch / name).mkdir(parents=True)
    options = f"lowerdir={':'.join(map(str, reversed(rootfs)))}"
    options += f",upperdir={scratch}/upper,workdir={scratch}/work"
    text = f"mount -t overlay o -o {options} {scratch}/root && cd {scratch}/root && {script}"
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", text]
    result = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True)
    shutil.rmtree(scratch)
    return result.stdout


def tar_of(*members: tuple[tar.Entry, bytes]) -> bytes:
    parts = [tar.render(entry) + data + tar.padding(len(data)) for entry, data in members]
    return b"".join([*parts, tar.END])


def entry(name: str, kind: tar.Kind = "file", **fields: object) -> tuple[tar.Entry, bytes]:
    return tar.Entry(name, kind, **fields), b""  # type: ignore[arg-type]


def unpack(root: Path, *stack: bytes) -> list[Path]:
    """Unpacks layers on top of each other, lowest first."""
    done: list[Path] = []
    for number, data in enumerate(stack):
        (root / "blob").write_bytes(data)
        directory = root / "layers" / str(number)
        directory.mkdir(parents=True)
        layers.unpack(root / "blob", directory, diff_id=digest_of(data), below=done)
        done.append(directory)
    return done


LOW = tar_of(
    entry("d/", "directory", mode=0o755),
    entry("d/a"),
    entry("d/b"),
    entry("e/", "directory", mode=0o755),
    entry("e/a"),
    entry("f"),
)


@pytest.mark.parametrize(
    ("top", "shown"),
    [
        ([entry("d/.wh.a"), entry(".wh.f")], "./d ./d/b ./e ./e/a"),
        ([entry("e/.wh..wh..opq"), entry("e/n")], "./d ./d/a ./d/b ./e ./e/n ./f"),
        ([entry("e/n"), entry("e/.wh..wh..opq")], "./d ./d/a ./d/b ./e ./e/n ./f"),
        ([entry(".wh.d"), entry(".wh.e"), entry("e/n")], "./e ./e/n ./f"),
        ([entry("e/n"), entry(".wh.e"), entry(".wh.d")], "./e ./e/n ./f"),
        (
            [entry(".wh.e"), entry("e/", "directory", mode=0o755), entry("e/n")],
            "./d ./d/a ./d/b ./e ./e/n ./f",
        ),
        ([entry(".wh.f"), entry("f")], "./d ./d/a ./d/b ./e ./e/a ./f"),
        ([entry("f"), entry(".wh.f")], "./d ./d/a ./d/b ./e ./e/a ./f"),
        ([entry(".wh..wh.plnk"), entry(".wh..wh.aufs")], "./d ./d/a ./d/b ./e ./e/a ./f"),
    ],
)
def test_whiteouts_hide_what_is_below_and_nothing_of_their_own_layer(
    tmp_path: Path, top: list[tuple[tar.Entry, bytes]], shown: str
) -> None:
    stack = unpack(tmp_path, LOW, tar_of(*top))
    found = shell(stack, "find . | LC_ALL=C sort").split()
    assert found == [".", *shown.split()]
    assert seen(Merged(stack)) == shown.split()


def seen(merged: Merged, path: str = "") -> list[str]:
    found = []
    for name in merged.names(path):
        inner = f"{path}/{name}".lstrip("/")
        item = merged.find(inner)
        found += [f"./{inner}", *(seen(merged, inner) if item and item.is_directory else [])]
    return found


def test_devices_and_capabilities_are_made_as_the_layer_says(tmp_path: Path) -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    data = tar_of(
        entry("null", "character", mode=0o666, device=(1, 3), uid=1, mtime=5),
        entry("disk", "block", mode=0o660, device=(8, 0), gid=6),
        entry("pipe", "fifo", mode=0o622),
        entry("ping", mode=0o755, xattrs={"security.capability": capability}, uid=3),
    )
    (layer,) = unpack(tmp_path, data)
    null, disk, pipe = (os.lstat(layer / name) for name in ("null", "disk", "pipe"))
    assert stat.S_ISCHR(null.st_mode) and null.st_rdev == os.makedev(1, 3)
    assert (null.st_mode & 0o7777, null.st_uid, null.st_mtime) == (0o666, 1, 5)
    assert stat.S_ISBLK(disk.st_mode) and (disk.st_rdev, disk.st_gid) == (os.makedev(8, 0), 6)
    assert stat.S_ISFIFO(pipe.st_mode) and pipe.st_mode & 0o7777 == 0o622
    assert os.getxattr(layer / "ping", "security.capability") == capability


def test_changes_on_an_overlay_become_a_layer_with_the_same_effect(tmp_path: Path) -> None:
    stack = unpack(tmp_path, LOW)
    change = (
        "rm d/a f && rm -r e && mkdir e && echo n > e/n && ln e/n e/m && ln -s n e/l && "
        "mkdir -p x/y && chmod 1777 x && chown 5:6 d/b && mknod c c 1 3 && mkfifo p && "
        "touch -d @1000 d/b x && mkdir dev proc etc && touch etc/resolv.conf"
    )
    upper = tmp_path / "step/upper"
    for name in ("upper", "work", "root"):
        (tmp_path / "step" / name).mkdir(parents=True)
    options = f"lowerdir={stack[0]},upperdir={upper},workdir={tmp_path}/step/work"
    root = tmp_path / "step/root"
    script = f"mount -t overlay o -o {options} {root} && cd {root} && {change}"
    subprocess.run(["unshare", "-m", "sh", "-ec", script], timeout=SECONDS, check=True)
    items = diff.diff(upper, Merged(stack))
    assert [(item.entry.name, item.entry.kind) for item in items] == [
        ("c", "character"),
        ("d", "directory"),
        ("d/.wh.a", "file"),
        ("d/b", "file"),
        ("e", "directory"),
        ("e/.wh..wh..opq", "file"),
        ("e/l", "symlink"),
        ("e/m", "file"),
        ("e/n", "hardlink"),
        (".wh.f", "file"),
        ("p", "fifo"),
        ("x", "directory"),
        ("x/y", "directory"),
    ]
    parts: list[bytes] = []
    diff.write(items, None, parts.append)
    (tmp_path / "again").mkdir()
    both = unpack(tmp_path / "again", LOW, b"".join(parts))
    assert seen(Merged(both)) == shell(both, "find . -mindepth 1 | LC_ALL=C sort").split()
    assert shell(both, "stat -c '%a %u %Y' d/b x && stat -c %h e/n && cat e/m").split() == [
        *("644", "5", "1000"),
        *("1777", "0", "1000"),
        *("2", "n"),
    ]


def test_a_layer_is_clamped_to_its_epoch(tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    os.utime(tmp_path / "old", (50, 50))
    (tmp_path / "new").touch()
    items = diff.diff(tmp_path, Merged([]))
    parts: list[bytes] = []
    diff.write(items, 100, parts.append)
    reader = tar.Reader(io.BytesIO(b"".join(parts)).read)
    assert [(each.name, each.mtime) for each in reader] == [("new", 100), ("old", 50)]


@pytest.mark.parametrize("name", ["trusted.overlay.redirect", "trusted.overlay.metacopy"])
def test_an_upper_directory_that_no_layer_can_say_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "d").mkdir()
    os.setxattr(tmp_path / "d", name, b"/x")
    with pytest.raises(Refused, match=name):
        diff.diff(tmp_path, Merged([]))


def test_overlays_private_attributes_stay_out_of_layers(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    for name in ("trusted.overlay.origin", "trusted.overlay.impure", "user.k"):
        os.setxattr(tmp_path / "d", name, b"y")
    (item,) = diff.diff(tmp_path, Merged([]))
    assert item.entry.xattrs == {"user.k": b"y"}
    os.setxattr(tmp_path / "d", OPAQUE, b"y")
    assert [each.entry.name for each in diff.diff(tmp_path, Merged([]))] == ["d", "d/.wh..wh..opq"]


def built(root: Path, text: str) -> tuple[Store, Image]:
    """Builds with a busybox in the context and RUN on a real overlay."""
    assert BUSYBOX is not None
    context = root / "context"
    context.mkdir()
    shutil.copy(BUSYBOX, context / "busybox")
    (context / "Containerfile").write_text(
        "FROM scratch\nCOPY busybox /bin/busybox\nENV PATH=/bin\n"
        'RUN ["/bin/busybox", "--install", "-s", "/bin"]\n' + text
    )
    store = Store(root / "store")
    return store, build(store, Request(context, (parse("t:1"),), now=NOW), run_step=run_step)


@needs_busybox
def test_run_steps_execute_on_the_layers_before_them(tmp_path: Path) -> None:
    store, image = built(
        tmp_path,
        "RUN mkdir -p /etc /w && echo 'app:x:70:71::/w:/bin/sh' > /etc/passwd\n"
        "RUN chown app /w && rm /bin/vi && echo made > /made\n"
        "WORKDIR /w\nUSER app\nARG V=v\nRUN id -u > who && pwd >> who && echo $V$HOME >> who\n",
    )
    stack = store.rootfs(image)
    assert (stack[-1] / "w/who").read_text() == "70\n/w\nv/w\n"
    assert (stack[-1] / "w/who").stat().st_uid == 70
    merged = Merged(stack)
    assert merged.find("bin/vi") is None and merged.find("bin/ls") is not None
    with open("/proc/mounts") as mounts:
        assert str(tmp_path) not in mounts.read()


@needs_busybox
def test_a_run_that_fails_says_where_and_with_what_code(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"^Containerfile:5: /bin/sh -c exit 3: exit code 3$"):
        built(tmp_path, "RUN exit 3\n")


# The first process of namespaces of its own, which end with it and all that it has started.
CALLER = """
import json, os, socket, stat, subprocess, sys, time, urllib.request
job = json.loads(sys.argv[1])
options = "lowerdir=%(layer)s,upperdir=%(upper)s,workdir=%(work)s" % job
subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, job["root"]], check=True)
os.mkdir(job["root"] + "/dev")
os.mknod(job["root"] + "/dev/null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
socket.sethostname("demo-7")
subprocess.run(["busybox", "ip", "link", "set", "lo", "up"], check=True)
enter = lambda: (os.chroot(job["root"]), os.chdir("/"))
server = subprocess.Popen(job["argv"], env=job["env"], preexec_fn=enter)
for _ in range(6000):
    try:
        print(urllib.request.urlopen("http://127.0.0.1:8080/").read().decode().strip())
        break
    except OSError:
        time.sleep(0.01)
server.terminate()
print(server.wait(timeout=60))
"""


def answer_of(image: Image, store: Store, scratch: Path) -> list[str]:
    """What the demo's container answers, and its exit code after SIGTERM."""
    (layer,) = store.rootfs(image)
    env = dict(each.split("=", 1) for each in image.run_config.env or ())
    job = {"layer": str(layer), "argv": image.run_config.entrypoint, "env": env}
    for name in ("upper", "work", "root"):
        (scratch / name).mkdir()
        job[name] = str(scratch / name)
    unshare = ["unshare", "--net", "--uts", "--mount", "--pid", "--fork", "--kill-child"]
    command = [*unshare, sys.executable, "-I", "-c", CALLER, json.dumps(job)]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=SECONDS, check=True)
    return result.stdout.split()


@needs_busybox
@pytest.mark.parametrize("kind", ["busybox", "python"])
def test_the_demos_image_answers_with_its_hostname(tmp_path: Path, kind: str) -> None:
    context = tmp_path / "context"
    context.mkdir()
    demo_image.make_context(context, BUSYBOX if kind == "busybox" else None)
    store = Store(tmp_path / "store")
    name = parse("steersman.local/demo:1")
    image = build(store, Request(context, (name,), now=NOW))
    assert answer_of(image, store, tmp_path) == ["demo-7", "0"]
    (layer,) = store.rootfs(image)
    assert stat.S_IMODE((layer / "tmp").stat().st_mode) == 0o1777
    assert not (layer / "Containerfile").exists()


def test_a_static_executable_is_told_from_a_dynamic_one(tmp_path: Path) -> None:
    assert not demo_image.is_static(Path(sys.executable).resolve())
    (tmp_path / "script").write_text("#!/bin/sh\n")
    assert not demo_image.is_static(tmp_path / "script")
    (tmp_path / "cut").write_bytes(b"\x7fELF\x02\x01")
    assert not demo_image.is_static(tmp_path / "cut")
    assert demo_image.find_busybox([str(tmp_path / "script")]) != tmp_path / "script"
