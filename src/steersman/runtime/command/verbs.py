"""The verbs of the command line, each a thin call of what does the work.

Rule: a failure is one line on standard error and exit code 1, of `exec` 255, as with runc.
"""

from __future__ import annotations

import os
import sys

from .. import documents
from . import options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from . import cold
    from .options import CommandLine

# Told from the exit codes that a program in a container has.
_EXEC_FAILED = 255
_LOG_FORMATS = ("text", "json")
_LISTINGS = ("table", "json")
_SHOWN = ("ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "annotations")
DEFAULT_ROOT = "/run/steer-runtime"


def run(words: list[str]) -> int:
    """Runs one command and gives the exit code."""
    line: CommandLine | None = None
    try:
        line = options.parse(words)
        _refuse(line)
        if line.verb == "help":
            sys.stdout.write(options.USAGE)
            return 0
        if line.verb == "version":
            sys.stdout.write("steer-runtime, runtime-spec 1.2.1\n")
            return 0
        return _VERBS[line.verb](line)
    except Exception as error:  # noqa: BLE001  the edge: every failure becomes one line
        text = getattr(error, "strerror", None) or str(error)
        filename = getattr(error, "filename", None)
        text = f"{filename}: {text}" if filename else text
        sys.stderr.write(f"steer-runtime: {text}\n")
        if line is not None and line.value("log"):
            _log(line, text)
        return _EXEC_FAILED if line is not None and line.verb == "exec" else 1


def _log(line: CommandLine, text: str) -> None:
    """Appends a failure to the log that the caller reads it from, as containerd does."""
    import time

    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    entry = {"level": "error", "msg": text, "time": stamp}
    if line.value("log-format") == "json":
        written = documents.dumps(entry)
    else:
        written = f'time="{stamp}" level=error msg={documents.dumps(text)}'
    with open(line.value("log"), "a") as file:
        file.write(written + "\n")


def _refuse(line: CommandLine) -> None:
    """What runc has, and what would be a lie if it were passed over."""
    if line.verb in options.REFUSED:
        raise options.UsageError(f"{line.verb} is not supported: {options.REFUSED[line.verb]}")
    if line.value("log-format", "text") not in _LOG_FORMATS:
        raise options.UsageError(f"invalid log-format: {line.value('log-format')}")
    if line.value("format", "table") not in _LISTINGS:
        raise options.UsageError("invalid format option")


def _root(line: CommandLine) -> str:
    return os.path.abspath(line.value("root") or _default_root())


def _default_root() -> str:
    """Where containers are remembered; as with runc who is not root has a directory of theirs."""
    if os.geteuid() == 0:
        return DEFAULT_ROOT
    directory = os.environ.get("XDG_RUNTIME_DIR", "")
    if not directory:
        raise options.UsageError("XDG_RUNTIME_DIR is not set: say --root DIR")
    return os.path.join(directory, "steer-runtime")


def _name(line: CommandLine) -> str:
    return line.arguments[0]


def _write_pid(line: CommandLine, pid: int) -> None:
    path = line.value("pid-file")
    if path:
        with open(path, "w") as file:
            file.write(str(pid))


def _setting(line: CommandLine) -> cold.Setting:
    from . import cold

    return cold.Setting(
        line.value("console-socket"),
        not line.has("no-new-keyring"),
        int(line.value("preserve-fds", "0")),
        not line.has("no-pivot"),
        line.has("systemd-cgroup"),
        line.value("network"),
    )


def _create(line: CommandLine) -> int:
    from . import cold

    root, name = _root(line), _name(line)
    made = cold.create(root, name, line.value("bundle", "."), _setting(line), gate=True)
    try:
        _write_pid(line, made.pid)
    except OSError:
        cold.delete(root, name, force=True)
        raise
    return 0


def _run(line: CommandLine) -> int:
    from . import cold

    root, name, detach = _root(line), _name(line), line.has("detach")
    bundle = line.value("bundle", ".")
    made = cold.create(root, name, bundle, _setting(line), gate=detach)
    keep = line.has("keep")
    try:
        _write_pid(line, made.pid)
        if detach:
            cold.start(root, name)
            return 0
        cold.release(made.channel)
        if made.plan.hooks:
            cold.follow_start(root, name)
        code = cold.wait(made.pid)
    except BaseException:
        if detach or not keep:
            cold.delete(root, name, force=True)
        raise
    if not keep:
        cold.discard(root, name, made)
    return code


def _start(line: CommandLine) -> int:
    from . import cold

    cold.start(_root(line), _name(line))
    return 0


def _state(line: CommandLine) -> int:
    import json

    from . import cold

    document = _shown(cold.describe(_root(line), _name(line)))
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
    return 0


def _shown(document: dict[str, Any]) -> dict[str, Any]:
    """What the state of a container is for others, in runc's order."""
    import time

    shown = {key: document[key] for key in _SHOWN}
    seconds, rest = divmod(document["created"], 10**9)
    shown["created"] = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09}Z"
    return shown


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
    from .. import seal
    from . import cold

    root, name, detach = _root(line), _name(line), line.has("detach")
    seal.run_sealed()
    pid = cold.execute(
        root,
        name,
        lambda inherited: _process_section(line, inherited),
        _setting(line),
        alone=detach,
        paused=line.has("ignore-paused"),
        group=line.value("cgroup"),
    )
    _write_pid(line, pid)
    return 0 if detach else cold.wait(pid)


def _process_section(line: CommandLine, inherited: dict[str, Any]) -> dict[str, Any]:
    """What `exec` asks for otherwise than the container's own process has it."""
    if line.value("process"):
        with open(line.value("process")) as file:
            given: dict[str, Any] = documents.loads(file.read())
        return given
    section: dict[str, Any] = {"args": line.arguments[1:], "terminal": line.has("tty")}
    if line.value("cwd"):
        section["cwd"] = line.value("cwd")
    if line.flags.get("env"):
        section["env"] = [*(inherited.get("env") or ()), *line.flags["env"]]
    user = {**(inherited.get("user") or {}), **_parse_user(line.value("user"))}
    groups = [int(number) for number in line.flags.get("additional-gids", ())]
    section["user"] = {**user, "additionalGids": [*user.get("additionalGids", ()), *groups]}
    if line.has("no-new-privs"):
        section["noNewPrivileges"] = True
    if line.flags.get("cap"):
        section["capabilities"] = _with_capabilities(inherited, line.flags["cap"])
    for flag, key in (("apparmor", "apparmorProfile"), ("process-label", "selinuxLabel")):
        if line.value(flag):
            section[key] = line.value(flag)
    return section


def _parse_user(word: str) -> dict[str, int]:
    """What `--user UID[:GID]` says; the group stays as it is where none is named."""
    numbers = word.split(":", 1) if word else []
    if not all(number.isdecimal() for number in numbers):
        raise options.UsageError(f"--user: {word!r} is not UID[:GID] in numbers")
    return dict(zip(("uid", "gid"), map(int, numbers), strict=False))


def _with_capabilities(inherited: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """The container's capabilities and these; not in the sets that a program inherits."""
    sets = dict(inherited.get("capabilities") or {})
    for kind in ("bounding", "effective", "permitted"):
        sets[kind] = [*(sets.get(kind) or ()), *names]
    return sets


def _pause(line: CommandLine) -> int:
    from . import control

    control.pause(_root(line), _name(line))
    return 0


def _resume(line: CommandLine) -> int:
    from . import control

    control.resume(_root(line), _name(line))
    return 0


def _update(line: CommandLine) -> int:
    from . import control

    root, name, path = _root(line), _name(line), line.value("resources")
    given = {flag: values[-1] for flag, values in line.flags.items() if values}
    resources = control.read_resources(path) if path else control.parse_resources(given)
    control.update(root, name, resources)
    return 0


def _events(line: CommandLine) -> int:
    from . import control

    root, name = _root(line), _name(line)
    if line.has("stats"):
        sys.stdout.write(documents.dumps(control.count(root, name)) + "\n")
        return 0
    interval = line.value("interval", "5s").removesuffix("s")
    if not interval.isdecimal() or not int(interval):
        raise options.UsageError(f"--interval: {interval!r} is not a number of seconds")
    control.follow(root, name, int(interval))
    return 0


def _ps(line: CommandLine) -> int:
    from . import control

    numbers = control.processes(_root(line), _name(line))
    if line.arguments[1:]:
        raise options.UsageError("ps takes no options of ps(1)")
    if line.value("format") == "json":
        sys.stdout.write(documents.dumps(numbers) + "\n")
    else:
        _write_table(control.describe_processes(numbers))
    return 0


def _features(_line: CommandLine) -> int:
    import json

    from . import features

    sys.stdout.write(json.dumps(features.describe(), indent=2) + "\n")
    return 0


def _list(line: CommandLine) -> int:
    from . import cold

    root = _root(line)
    found = [_listed(root, name) for name in cold.names(root)]
    if line.has("quiet"):
        sys.stdout.write("".join(f"{entry['id']}\n" for entry in found))
    elif line.value("format") == "json":
        sys.stdout.write(documents.dumps(found) + "\n")
    else:
        columns = ("id", "pid", "status", "bundle", "created", "owner")
        rows = [tuple(column.upper() for column in columns)]
        rows += [tuple(str(entry.get(column, "")) for column in columns) for entry in found]
        _write_table(rows)
    return 0


def _listed(root: str, name: str) -> dict[str, Any]:
    """A container and who made it: by name, or by number where they have none."""
    import pwd

    from . import cold

    uid = os.stat(cold.container_directory(root, name)).st_uid
    try:
        owner = pwd.getpwuid(uid).pw_name
    except KeyError:
        owner = f"#{uid}"
    return {**_shown(cold.describe(root, name)), "owner": owner}


def _write_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stdout.write("   ".join(cells).rstrip() + "\n")


def _warm(line: CommandLine) -> int:
    if not line.value("socket") or not line.value("state-dir"):
        raise options.UsageError("warm needs --socket and --state-dir")
    from .. import seal

    seal.run_sealed()
    from .. import warm

    warm.serve(line.value("socket"), line.value("state-dir"))
    return 0


def _spec(line: CommandLine) -> int:
    """Writes a config.json to begin with."""
    from ..kernel import cgroups
    from . import template

    version1 = cgroups.find_hierarchies().version1
    document = template.render(unified=not version1)
    if line.has("rootless"):
        document = template.rootless(document, os.geteuid(), os.getegid())
    template.write(line.value("bundle", "."), document)
    return 0


_VERBS: dict[str, Callable[[CommandLine], int]] = {
    "create": _create,
    "run": _run,
    "start": _start,
    "state": _state,
    "kill": _kill,
    "delete": _delete,
    "exec": _exec,
    "pause": _pause,
    "resume": _resume,
    "update": _update,
    "events": _events,
    "ps": _ps,
    "features": _features,
    "spec": _spec,
    "list": _list,
    "warm": _warm,
}
