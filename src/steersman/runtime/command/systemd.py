"""Control groups by systemd: a container's group is a scope that systemd knows and leaves to us.

systemd is asked over its own socket (`/run/systemd/private`), without a bus between. Rule: what
systemd would set of a group itself it is told too, so that it never sets anything else. Source:
org.freedesktop.systemd1(5), "Control Group APIs and Delegation" of systemd, runc's systemd driver.
"""

from __future__ import annotations

import os
import socket

from .. import dbus
from ..dbus import Message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Property = tuple[str, tuple[str, Any]]

ANSWER_SECONDS = 30.0  # what runc waits for a unit
_NAME, _PATH = "org.freedesktop.systemd1", "/org/freedesktop/systemd1"
_MANAGER = "org.freedesktop.systemd1.Manager"
_GONE = ("org.freedesktop.systemd1.NoSuchUnit", "org.freedesktop.DBus.Error.UnknownObject")
_PERIOD_MICROSECONDS = 100_000
_MOST_SHARES = 262_144


class Refused(ValueError):
    """systemd cannot be asked, or refuses; the text says why."""

    def __init__(self, text: str, error: str = "") -> None:
        super().__init__(text)
        self.error = error


def parse_path(path: str, name: str) -> tuple[str, str]:
    """Slice and unit that a container's cgroupsPath names: SLICE:PREFIX:NAME."""
    parts = path.split(":") if path else ["", "steer-runtime", name]
    if len(parts) != 3:
        text = 'expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got '
        raise Refused(f'{text}"{path}" instead')
    slice_, prefix, own = parts
    default = "system.slice" if os.geteuid() == 0 else "user.slice"
    unit = f"{prefix}-{own}" if prefix else own
    return slice_ or default, unit if unit.endswith(".slice") else f"{unit}.scope"


def render_properties(resources: Mapping[str, Any], *, unified: bool) -> list[Property]:
    """What systemd is to keep of linux.resources; the rest stands in the group's files alone."""
    memory, cpu = resources.get("memory") or {}, resources.get("cpu") or {}
    found: list[Property] = []
    if limit := memory.get("limit"):
        name = "MemoryMax" if unified else "MemoryLimit"
        found.append((name, ("t", _unsigned(limit))))
    if unified and (low := memory.get("reservation")):
        found.append(("MemoryLow", ("t", _unsigned(low))))
    if shares := cpu.get("shares"):
        value = _weight(shares) if unified else shares
        found.append(("CPUWeight" if unified else "CPUShares", ("t", value)))
    if quota := cpu.get("quota"):
        period = cpu.get("period") or _PERIOD_MICROSECONDS
        seconds = -1 if quota < 0 else -(-quota * 1_000_000 // period // 10_000) * 10_000
        found.append(("CPUQuotaPerSecUSec", ("t", _unsigned(seconds))))
    if most := (resources.get("pids") or {}).get("limit"):
        found.append(("TasksMax", ("t", _unsigned(most))))
    return found


def _unsigned(value: int) -> int:
    """An amount as systemd has it, for which -1 is without a limit."""
    return value if value >= 0 else (1 << 64) - 1


def _weight(shares: int) -> int:
    """The weight of version 2 that runc makes of shares."""
    return 1 + (min(shares, _MOST_SHARES) - 2) * 9999 // (_MOST_SHARES - 2)


def start(unit: str, slice_: str, properties: list[Property]) -> str:
    """Puts this process into a scope of its own, for what it forks; returns the scope's group."""
    about: list[Property] = [
        ("Description", ("s", f"steer-runtime container {unit}")),
        ("Slice", ("s", slice_)),
        ("Delegate", ("b", True)),
        ("DefaultDependencies", ("b", False)),
        ("PIDs", ("au", [os.getpid()])),
        *((f"{it}Accounting", ("b", True)) for it in ("Memory", "CPU", "Tasks")),
    ]
    with _Link() as link:
        words: tuple[Any, ...] = (unit, "replace", [*about, *properties], [])
        (job,) = link.ask("StartTransientUnit", "ssa(sv)a(sa(sv))", words)
        result = link.result_of(job)
        if result != "done":
            raise Refused(f"error creating systemd unit `{unit}`: got `{result}`")
        (path,) = link.ask("GetUnit", "s", (unit,))
        return link.property(path, "org.freedesktop.systemd1.Scope", "ControlGroup")


class Scope:
    """The scope of a container that is made: this process is in it from `enter` to `leave`, so
    that what it forks is born there."""

    def __init__(self, slice_: str, unit: str, properties: list[Property]) -> None:
        self.unit = unit
        self._slice = slice_
        self._properties = properties
        self._before: dict[str, str] = {}

    def enter(self) -> str:
        """Makes the scope; gives its group."""
        self._before = memberships()
        return start(self.unit, self._slice, self._properties)

    def leave(self) -> None:
        """Goes back to where this process was; what it has forked stays."""
        leave(self._before)


def memberships() -> dict[str, str]:
    """The groups of this process, by the place where their hierarchy is mounted."""
    from ..kernel import cgroups

    hierarchies, found = cgroups.find_hierarchies(), {}
    with open("/proc/self/cgroup") as file:
        for line in file.read().splitlines():
            _, controllers, path = line.split(":", 2)
            mount = hierarchies.version1.get(controllers.partition(",")[0], "")
            if mount := mount if controllers else hierarchies.unified:
                found[mount] = path
    return found


def leave(before: Mapping[str, str]) -> None:
    """Puts this process back into the groups of before; what it has forked stays in the scope."""
    for mount, path in memberships().items():
        if path == before.get(mount, path):
            continue
        try:
            with open(f"{mount}{before[mount]}/cgroup.procs", "w") as file:
                file.write(str(os.getpid()))
        except PermissionError:
            return  # an ordinary user may not leave; this process ends soon, or with the container


def change(unit: str, properties: list[Property]) -> None:
    """Tells systemd what else a scope is limited to now, until it ends."""
    if properties:
        with _Link() as link:
            link.ask("SetUnitProperties", "sba(sv)", (unit, True, properties))


def stop(unit: str) -> None:
    """Ends a scope; one that is gone already is fine."""
    with _Link() as link:
        try:
            (job,) = link.ask("StopUnit", "ss", (unit, "replace"))
            link.result_of(job)
            link.ask("ResetFailedUnit", "s", (unit,))
        except Refused as error:
            if error.error not in _GONE:
                raise


def socket_path() -> str:
    """Where systemd listens: that of the machine, or that of the user."""
    if os.geteuid() == 0:
        return "/run/systemd/private"
    directory = os.environ.get("XDG_RUNTIME_DIR", "")
    return os.path.join(directory, "systemd/private")


class _Link:
    """A connection to systemd."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(ANSWER_SECONDS)
        self._read = b""
        self._serial = 0
        self._ended: dict[str, str] = {}

    def __enter__(self) -> _Link:
        try:
            self._socket.connect(socket_path())
            self._authenticate()
            self.ask("Subscribe", "", ())
        except OSError as error:
            self._socket.close()
            text = "systemd cgroup flag passed, but systemd support for managing cgroups is not"
            raise Refused(f"{text} available: {socket_path()}: {error.strerror}") from None
        except BaseException:
            self._socket.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, member: str, signature: str, body: tuple[Any, ...]) -> tuple[Any, ...]:
        """Calls a method of the manager; gives what it returns."""
        return self._call(_PATH, _MANAGER, member, signature, body)

    def property(self, path: str, interface: str, name: str) -> str:
        """A property of an object, a text."""
        asked = "org.freedesktop.DBus.Properties"
        (found,) = self._call(path, asked, "Get", "ss", (interface, name))
        return str(found)

    def result_of(self, job: str) -> str:
        """Waits until a job is over; says how it ended."""
        while job not in self._ended:
            self._sort(self._message())
        return self._ended[job]

    def _call(
        self, path: str, interface: str, member: str, signature: str, body: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        self._serial += 1
        call = Message(dbus.CALL, self._serial, path, interface, member, _NAME, body=body)
        self._socket.sendall(dbus.encode(call, signature))
        while True:
            found = self._message()
            if found.reply_to != self._serial:
                self._sort(found)
            elif found.kind == dbus.RETURN:
                return found.body
            else:
                text = " ".join(map(str, found.body)) or found.error
                raise Refused(f"systemd refuses {member}: {text}", found.error)

    def _sort(self, message: Message) -> None:
        if message.member == "JobRemoved" and len(message.body) == 4:
            _, job, _, result = message.body
            self._ended[job] = result

    def _authenticate(self) -> None:
        who = str(os.geteuid()).encode().hex()
        # All at once, as sd-bus does it: systemd leaves a call lie that comes with the BEGIN
        self._socket.sendall(f"\0AUTH EXTERNAL {who}\r\nBEGIN\r\n".encode())
        while b"\r\n" not in self._read:
            self._fill()
        answer, _, self._read = self._read.partition(b"\r\n")
        if not answer.startswith(b"OK "):
            raise Refused(f"systemd answers {answer[:80].decode(errors='replace')!r}")

    def _message(self) -> Message:
        while len(self._read) < 16 or len(self._read) < dbus.size_of(self._read[:16]):
            self._fill()
        size = dbus.size_of(self._read[:16])
        data, self._read = self._read[:size], self._read[size:]
        return dbus.decode(data)

    def _fill(self) -> None:
        try:
            data = self._socket.recv(dbus.MOST_BYTES)
        except TimeoutError:
            raise Refused(f"systemd gives no answer in {ANSWER_SECONDS:.0f} s") from None
        if not data:
            raise Refused("systemd has closed the connection")
        self._read += data
