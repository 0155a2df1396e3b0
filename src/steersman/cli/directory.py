"""The data directory: where a cluster keeps itself, which format that has, and who it is.

`cluster.json` is written last when a directory is made and read first when it is used. A newer
format is refused; an older one is migrated after a copy.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, NamedTuple

from steersman.cli.failure import Failure

FORMAT = 1
# format -> what makes the next one of it; each gets the directory
MIGRATIONS: Mapping[int, Callable[[Path], None]] = {}
FILE = "cluster.json"
ID_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
# A bridge is named steer-ID and Linux allows 15 characters
ID_LENGTH = 6
# All that a cluster ever puts into its directory; `reset` removes nothing else
CONTENTS = frozenset(
    (
        *(FILE, "cluster.partial", "supervisor.lock", "clock.json", "clock.partial"),
        *("certificates", "store", "logs", "node", "images", "manifests"),
    )
)


class Identity(NamedTuple):
    """What makes one cluster another than its neighbours on the machine, and which clock it has
    (real, virtual)."""

    id: str
    port: int
    store: str
    service_cidr: str
    pod_cidr: str
    clock: str = "real"


class Directory:
    """The paths of one cluster."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.file = self.path / FILE
        self.certificates = self.path / "certificates"
        self.store = self.path / "store"
        self.logs = self.path / "logs"
        self.node = self.path / "node"
        self.images = self.path / "images"
        self.manifests = self.path / "manifests"
        self.clock = self.path / "clock.json"

    def exists(self) -> bool:
        """Says whether a cluster was made here."""
        return self.file.exists()

    def identity(self) -> Identity:
        """Reads who the cluster is; raises Failure for what cannot be used."""
        try:
            document = json.loads(self.file.read_text())
            found = document.pop("format")
            if found == FORMAT:
                return _known(Identity(**document))
        except FileNotFoundError:
            raise Failure(f"there is no cluster in {self.path}: run `steer up`") from None
        except PermissionError:
            raise Failure(f"{self.path} belongs to another user") from None
        except (ValueError, KeyError, TypeError) as error:
            raise Failure(f"{self.file} is damaged: {error}") from None
        self._migrate(found)
        return self.identity()

    def _migrate(self, found: int) -> None:
        if not isinstance(found, int) or found > FORMAT or found not in MIGRATIONS:
            raise Failure(
                f"{self.path} has format {found}, this steer knows {FORMAT}: use a newer steer"
            )
        import shutil

        copy = self.path.with_name(f"{self.path.name}.format-{found}")
        shutil.copytree(self.path, copy, symlinks=True)
        MIGRATIONS[found](self.path)
        self._write({**json.loads(self.file.read_text()), "format": found + 1})

    def create(self, identity: Identity) -> None:
        """Makes the directory, for its owner alone; raises Failure for one with other things in it
        or of somebody else, who could read the keys."""
        self.check()
        for path in (self.path, self.certificates, self.store, self.logs, self.node, self.images):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chmod(self.path, 0o700)
        self._write({"format": FORMAT, **identity._asdict()})

    def check(self) -> None:
        """Refuses a directory that a cluster could not have for itself; raises Failure."""
        if not self.path.exists():
            return
        if not self.path.is_dir():
            raise Failure(f"{self.path} is no directory")
        if self.path.stat().st_uid != os.geteuid():
            raise Failure(f"{self.path} belongs to another user")
        if self.exists():
            return
        if others := sorted({path.name for path in self.path.iterdir()} - CONTENTS):
            raise Failure(f"{self.path} is no cluster's directory, it holds {others[0]!r}")

    def _write(self, document: Mapping[str, object]) -> None:
        partial = self.file.with_suffix(".partial")
        partial.write_text(json.dumps(document, indent=2) + "\n")
        partial.replace(self.file)

    def runs(self) -> Path:
        """Returns where this user's clusters have their sockets; short, since their paths must
        be."""
        if os.geteuid() == 0:
            return Path("/run/steersman")
        base = os.environ.get("XDG_RUNTIME_DIR") or private(Path(f"/tmp/steersman-{os.getuid()}"))
        return Path(base) / "steersman"

    def run(self, identity: Identity) -> Path:
        """Returns the directory of one cluster's sockets and process ids."""
        return self.runs() / identity.id

    def remove(self) -> None:
        """Removes what is the cluster's, and the directory where nothing else is in it."""
        import shutil

        for name in CONTENTS:
            path = self.path / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        if not any(self.path.iterdir()):
            self.path.rmdir()


def private(path: Path) -> Path:
    """Makes a directory in a place where everybody may, and returns it; raises Failure where
    somebody else was faster and could read or replace what comes into it."""
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        pass
    found = path.lstat()
    is_open = bool(stat.S_IMODE(found.st_mode) & 0o077)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or is_open:
        raise Failure(f"{path} is not a directory of this user alone")
    return path


def _known(identity: Identity) -> Identity:
    """Returns an identity whose id can stand in names and paths, with a clock that there is;
    raises ValueError."""
    known = isinstance(identity.id, str) and set(identity.id) <= set(ID_ALPHABET)
    if not known or len(identity.id) != ID_LENGTH:
        raise ValueError(f"{identity.id!r} is no cluster's id")
    if identity.clock not in ("real", "virtual"):
        raise ValueError(f"{identity.clock!r} is no clock")
    return identity


class Lock:
    """Held by the one supervisor of a cluster, or by the one of something else that lives in a
    directory; its file names the process."""

    def __init__(self, directory: Directory, what: str = "cluster") -> None:
        self._path = directory.path / "supervisor.lock"
        self._what = what
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Takes the lock; raises Failure where another supervisor has it."""
        file = open(self._path, "a+")  # noqa: SIM115 - held until the process ends
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise Failure(f"this {self._what} is up already (process {self.holder()})") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def holder(self) -> int:
        """Returns the process that holds the lock, 0 where nobody does."""
        try:
            with open(self._path, "a+") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    file.seek(0)
                    return int(file.read() or 0)
        except (FileNotFoundError, PermissionError, ValueError):
            return 0
        return 0

    def release(self) -> None:
        """Gives the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None


def default_path() -> Path:
    """Returns where a cluster lives that was given no directory."""
    if named := os.environ.get("STEER_DATA_DIR"):
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/lib/steersman")
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "steersman"
