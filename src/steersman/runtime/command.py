"""The verbs of the command line, each a thin call of what does the work.

Rule: a failure is one line on standard error and exit code 1, as with runc.
"""

from __future__ import annotations

import json
import os
import sys

from . import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .options import CommandLine

DEFAULT_ROOT = "/run/steer-runtime"


def run(words: list[str]) -> int:
    """Runs one command and gives the exit code."""
    try:
        line = options.parse(words)
        if line.verb == "help":
            sys.stdout.write(options.USAGE)
            return 0
        if line.verb == "version":
            sys.stdout.write("steer-runtime, runtime-spec 1.2.0\n")
            return 0
        return _VERBS[line.verb](line)
    except Exception as error:  # noqa: BLE001  the edge: every failure becomes one line
        text = getattr(error, "strerror", None) or str(error)
        filename = getattr(error, "filename", None)
        sys.stderr.write(
            f"steer-runtime: {filename}: {text}\n" if filename else f"steer-runtime: {text}\n"
        )
        return 1


def _root(line: CommandLine) -> str:
    return os.path.abspath(line.value("root", DEFAULT_ROOT))


def _name(line: CommandLine) -> str:
    if not line.arguments:
        raise options.UsageError(f"{line.verb} needs the id of a container")
    return line.arguments[0]


def _write_pid(line: CommandLine, pid: int) -> None:
    path = line.value("pid-file")
    if path:
        with open(path, "w") as file:
            file.write(str(pid))


def _create(line: CommandLine) -> int:
    from . import cold

    console = line.value("console-socket")
    pid, _ = cold.create(_root(line), _name(line), line.value("bundle", "."), console, gate=True)
    _write_pid(line, pid)
    return 0


def _run(line: CommandLine) -> int:
    from . import cold

    root, name, detach = _root(line), _name(line), line.has("detach")
    console = line.value("console-socket")
    pid, channel = cold.create(root, name, line.value("bundle", "."), console, gate=detach)
    try:
        _write_pid(line, pid)
        if detach:
            cold.start(root, name)
            return 0
        cold.release(channel)
        return cold.wait(pid)
    finally:
        if not detach and not line.has("keep"):
            cold.delete(root, name, force=True)


def _start(line: CommandLine) -> int:
    from . import cold

    cold.start(_root(line), _name(line))
    return 0


def _state(line: CommandLine) -> int:
    from . import cold

    document = cold.describe(_root(line), _name(line))
    shown = ("ociVersion", "id", "status", "pid", "bundle", "annotations")
    sys.stdout.write(json.dumps({key: document[key] for key in shown}, indent=2) + "\n")
    return 0


def parse_signal(word: str) -> int:
    """A signal by number or name: 9, KILL, SIGKILL."""
    import signal

    if word.isdigit():
        return int(word)
    name = word.upper() if word.upper().startswith("SIG") else "SIG" + word.upper()
    try:
        return int(signal.Signals[name])
    except KeyError:
        raise options.UsageError(f"unknown signal {word!r}") from None


def _kill(line: CommandLine) -> int:
    from . import cold

    word = line.arguments[1] if len(line.arguments) > 1 else "TERM"
    cold.kill(_root(line), _name(line), parse_signal(word), everyone=line.has("all"))
    return 0


def _delete(line: CommandLine) -> int:
    from . import cold

    name, root = _name(line), _root(line)
    if line.has("force") and name not in cold.names(root):
        return 0
    cold.delete(root, name, force=line.has("force"))
    return 0


def _exec(line: CommandLine) -> int:
    from . import cold

    section = _process_section(line)
    pid = cold.execute(_root(line), _name(line), section, line.value("console-socket"))
    _write_pid(line, pid)
    return 0 if line.has("detach") else cold.wait(pid)


def _process_section(line: CommandLine) -> dict[str, Any]:
    if line.value("process"):
        with open(line.value("process")) as file:
            given: dict[str, Any] = json.load(file)
        return given
    section: dict[str, Any] = {"args": line.arguments[1:], "terminal": line.has("tty")}
    if line.value("cwd"):
        section["cwd"] = line.value("cwd")
    if line.flags.get("env"):
        section["env"] = line.flags["env"]
    if line.value("user"):
        user, _, group = line.value("user").partition(":")
        section["user"] = {"uid": int(user), "gid": int(group or 0)}
    return section


def _list(line: CommandLine) -> int:
    from . import cold

    root = _root(line)
    found = [cold.describe(root, name) for name in cold.names(root)]
    if line.has("quiet"):
        sys.stdout.write("".join(f"{entry['id']}\n" for entry in found))
    elif line.value("format") == "json":
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        rows = [("ID", "PID", "STATUS", "BUNDLE")]
        rows += [(e["id"], str(e["pid"]), e["status"], e["bundle"]) for e in found]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            sys.stdout.write("   ".join(cells).rstrip() + "\n")
    return 0


def _warm(line: CommandLine) -> int:
    from . import warm

    if not line.value("socket") or not line.value("state-dir"):
        raise options.UsageError("warm needs --socket and --state-dir")
    warm.serve(line.value("socket"), line.value("state-dir"))
    return 0


_VERBS: dict[str, Callable[[CommandLine], int]] = {
    "create": _create,
    "run": _run,
    "start": _start,
    "state": _state,
    "kill": _kill,
    "delete": _delete,
    "exec": _exec,
    "list": _list,
    "warm": _warm,
}
