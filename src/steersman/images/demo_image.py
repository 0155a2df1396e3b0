"""A build context for the demo, made of what the machine has: no registry is reachable there.

A static busybox where there is one, else this Python interpreter with its shared libraries. The
container answers HTTP on port 8080 with its hostname. Synchronous file work: call in a thread.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from steersman.images.errors import ImageError

PORT = 8080
LINKER_SECONDS = 30  # ld.so lists the libraries of one file in milliseconds
BUSYBOX_PLACES = ("/bin/busybox", "/usr/bin/busybox", "/bin/busybox.static", "/sbin/busybox")
MODULES_LEFT_OUT = frozenset(
    (
        *("distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data"),
        *("site-packages", "test", "tkinter", "turtledemo", "__pycache__"),
    )
)
_ELF = b"\x7fELF\x02"  # 64-bit
_ELF_HEADER_BYTES = 64
_INTERPRETER_SEGMENT = 3  # PT_INTERP of elf(5)

_BUSYBOX_FILE = f"""FROM scratch
COPY . /
ENV PATH=/bin
EXPOSE {PORT}
STOPSIGNAL SIGTERM
ENTRYPOINT ["/bin/busybox", "sh", "/bin/serve"]
"""
# The shell stays, because the first process of a container ignores SIGTERM unless it handles it.
_BUSYBOX_SCRIPT = f"""#!/bin/busybox sh
trap 'exit 0' TERM
mkdir -p /tmp/www && hostname > /tmp/www/index.html
busybox httpd -f -p {PORT} -h /tmp/www &
wait
"""
_PYTHON_FILE = """FROM scratch
COPY . /
ENV LD_LIBRARY_PATH={libraries}
EXPOSE {port}
ENTRYPOINT ["{python}", "-I", "-S", "/bin/serve"]
"""
_PYTHON_SCRIPT = f"""import http.server, os, signal, socket


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (socket.gethostname() + "\\n").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


# At once: threads that still answer are not waited for
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
http.server.ThreadingHTTPServer(("", {PORT}), Answer).serve_forever()
"""


def make_context(directory: Path, busybox: Path | None = None) -> None:
    """Fills the empty `directory` with a root file system and its Containerfile.

    `busybox` is what `find_busybox` says; without one the Python that runs this is taken.
    """
    if busybox:
        _busybox(directory, busybox)
    else:
        _python(directory)
    (directory / "tmp").mkdir()
    (directory / "tmp").chmod(0o1777)
    (directory / ".dockerignore").write_text("Containerfile\n.dockerignore\n")


def find_busybox(places: Sequence[str] = BUSYBOX_PLACES) -> Path | None:
    """A busybox on this machine that needs no shared library, or nothing."""
    found = shutil.which("busybox")
    for place in (*places, *([found] if found else ())):
        path = Path(place)
        if path.is_file() and is_static(path):
            return path
    return None


def is_static(path: Path) -> bool:
    """Whether an executable runs alone: 64-bit ELF that names no dynamic linker."""
    with path.open("rb") as file:
        header = file.read(_ELF_HEADER_BYTES)
    is_elf = len(header) == _ELF_HEADER_BYTES and header.startswith(_ELF)
    return is_elf and _interpreter(path) is None


def _busybox(directory: Path, busybox: Path) -> None:
    (directory / "bin").mkdir()
    shutil.copy(busybox, directory / "bin" / "busybox")
    for applet in ("sh", "ls", "cat", "ps", "sleep", "wget", "hostname", "nc", "ip", "echo"):
        (directory / "bin" / applet).symlink_to("busybox")
    (directory / "bin" / "serve").write_text(_BUSYBOX_SCRIPT)
    (directory / "Containerfile").write_text(_BUSYBOX_FILE)


def _python(directory: Path) -> None:
    python = Path(sys.executable).resolve()
    library = Path(sysconfig.get_path("stdlib"))
    _copy_tree(library, directory)
    _copy_file(python, directory)
    needed = _libraries(python)
    if needed is None:
        raise ImageError(f"{python} needs shared libraries that this machine lacks")
    for module in sorted(library.glob("lib-dynload/*.so")):
        needed |= _libraries(module) or set()  # a module without its libraries is of no use to us
    for path in sorted(needed):
        _copy_file(path, directory)
    (directory / "bin").mkdir(exist_ok=True)
    (directory / "bin" / "serve").write_text(_PYTHON_SCRIPT)
    folders = ":".join(sorted({str(path.parent) for path in needed}))
    text = _PYTHON_FILE.format(port=PORT, python=python, libraries=folders)
    (directory / "Containerfile").write_text(text)


def _copy_tree(library: Path, directory: Path) -> None:
    def left_out(_: str, names: list[str]) -> list[str]:
        return [each for each in names if each in MODULES_LEFT_OUT or each.startswith("config-")]

    shutil.copytree(library, directory / library.relative_to("/"), ignore=left_out)


def _copy_file(path: Path, directory: Path) -> None:
    """Copies a file to the same path in the root; a link is followed, so its name stays good."""
    target = directory / path.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copy(path, target)


def _libraries(binary: Path) -> set[Path] | None:
    """The shared libraries of an ELF file and the dynamic linker; nothing when one is missing."""
    linker = _interpreter(Path(sys.executable).resolve())
    if linker is None:
        return set()
    listing = subprocess.run(
        [linker, "--list", binary],
        capture_output=True,
        text=True,
        timeout=LINKER_SECONDS,
        check=False,
    )
    lines = [line.split() for line in listing.stdout.splitlines()]
    if listing.returncode != 0 or any("found" in words for words in lines):
        return None
    paths = (words[2] if "=>" in words else words[0] for words in lines)
    return {linker, *(Path(path) for path in paths if path.startswith("/"))}


def _interpreter(path: Path) -> Path | None:
    """The dynamic linker that a 64-bit ELF file names, or nothing. Follows elf(5)."""
    with path.open("rb") as file:
        header = file.read(_ELF_HEADER_BYTES)
        file.seek(int.from_bytes(header[32:40], sys.byteorder))
        size, count = (int.from_bytes(header[at : at + 2], sys.byteorder) for at in (54, 56))
        for segment in [file.read(size) for _ in range(count)]:
            if int.from_bytes(segment[:4], sys.byteorder) == _INTERPRETER_SEGMENT:
                file.seek(int.from_bytes(segment[8:16], sys.byteorder))
                length = int.from_bytes(segment[32:40], sys.byteorder)
                return Path(os.fsdecode(file.read(length).rstrip(b"\0")))
    return None
