"""Reads the command line: runc's words, without argparse, which costs a cold start 10 ms.

Rule: global flags stand before the verb, a verb's flags after it, and after the last flag
everything is an argument.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class UsageError(Exception):
    """The command line makes no sense; the text says why."""


# Flags by name without dashes: True if they take a value.
GLOBAL_FLAGS = {
    "root": True,
    "log": True,
    "log-format": True,
    "debug": False,
    "systemd-cgroup": False,
    "rootless": True,
    "help": False,
    "version": False,
}
_CREATE = {
    "bundle": True,
    "console-socket": True,
    "pid-file": True,
    "no-pivot": False,
    "no-new-keyring": False,
    "preserve-fds": True,
    "network": True,
}
VERBS: dict[str, dict[str, bool]] = {
    "create": _CREATE,
    "run": {**_CREATE, "detach": False, "keep": False, "no-subreaper": False},
    "start": {},
    "state": {},
    "kill": {"all": False},
    "delete": {"force": False},
    "exec": {
        "console-socket": True,
        "pid-file": True,
        "process": True,
        "cwd": True,
        "env": True,
        "user": True,
        "tty": False,
        "detach": False,
        "preserve-fds": True,
        "additional-gids": True,
        "apparmor": True,
        "cap": True,
        "cgroup": True,
        "ignore-paused": False,
        "no-new-privs": False,
        "process-label": True,
    },
    "pause": {},
    "resume": {},
    "update": {
        "resources": True,
        "memory": True,
        "memory-swap": True,
        "memory-reservation": True,
        "cpu-shares": True,
        "cpu-share": True,
        "cpu-quota": True,
        "cpu-period": True,
        "cpu-burst": True,
        "cpu-idle": True,
        "cpu-rt-period": True,
        "cpu-rt-runtime": True,
        "cpuset-cpus": True,
        "cpuset-mems": True,
        "pids-limit": True,
        "blkio-weight": True,
    },
    "events": {"stats": False, "interval": True},
    "ps": {"format": True},
    "features": {},
    "spec": {"bundle": True, "rootless": False},
    "list": {"format": True, "quiet": False},
    "warm": {"socket": True, "state-dir": True},
}
# Verbs of runc that there are not, and why.
REFUSED = {
    "checkpoint": "processes are not written to disk",
    "restore": "processes are not read from disk",
}
_SHORT = {
    "b": "bundle",
    "d": "detach",
    "a": "all",
    "f": "format",
    "p": "process",
    "c": "cap",
    "e": "env",
    "g": "additional-gids",
    "u": "user",
    "t": "tty",
    "q": "quiet",
    "h": "help",
    "v": "version",
    "r": "resources",
    "m": "memory",
}
# How many arguments a verb takes, at least and at most (None: any number), as with runc.
_ONE = (1, 1)
_COUNTS: dict[str, tuple[int, int | None]] = {
    "create": _ONE,
    "run": _ONE,
    "start": _ONE,
    "state": _ONE,
    "kill": (1, 2),
    "delete": _ONE,
    "exec": (1, None),
    "pause": _ONE,
    "resume": _ONE,
    "update": _ONE,
    "events": _ONE,
    "ps": (1, None),
    "features": (0, 0),
    "spec": (0, 0),
    "list": (0, 0),
    "warm": (0, 0),
}
USAGE = """usage: steer-runtime [--root DIR] COMMAND [FLAGS] [ARGUMENTS]

  create [--bundle DIR] [--pid-file FILE] [--console-socket PATH] ID
  run    [--bundle DIR] [--pid-file FILE] [--console-socket PATH] [--detach] [--keep] ID
  start ID | state ID | kill [--all] ID [SIGNAL] | delete [--force] ID
         [--no-pivot] [--no-new-keyring] [--preserve-fds N]     of create and run
         [--network user|pasta|slirp4netns]                     of the same, for who is not root
  exec   [--tty] [--detach] [--cwd DIR] [--env K=V] [--user UID[:GID]] [--process FILE]
         [--additional-gids GID] [--cap NAME] [--no-new-privs] [--cgroup PATH] [--ignore-paused]
         [--pid-file FILE] [--console-socket PATH] ID COMMAND [ARGUMENTS]
  pause ID | resume ID | ps [--format table|json] ID | features
  spec   [--bundle DIR] [--rootless]
  update [--resources FILE] [--memory BYTES] [--cpu-quota N] [--pids-limit N] ... ID
  events [--stats] [--interval SECONDS] ID
  list   [--quiet] [--format table|json]
  warm   --socket PATH --state-dir DIR

example: steer-runtime run --bundle ./bundle web
"""


class CommandLine:
    """A parsed command line: flags map to their values, in order; a bare flag has none."""

    __slots__ = ("arguments", "flags", "verb")

    def __init__(self, verb: str, flags: dict[str, list[str]], arguments: list[str]) -> None:
        self.verb = verb
        self.flags = flags
        self.arguments = arguments

    def value(self, name: str, default: str = "") -> str:
        """The last value given for a flag."""
        return self.flags[name][-1] if self.flags.get(name) else default

    def has(self, name: str) -> bool:
        """Whether a flag without value is there."""
        return name in self.flags


def parse(words: Sequence[str]) -> CommandLine:
    """Reads the words after the program's name; UsageError if they make no sense."""
    flags, rest = _take_flags(list(words), GLOBAL_FLAGS)
    if "version" in flags:
        return CommandLine("version", flags, [])
    if "help" in flags or not rest:
        return CommandLine("help", flags, [])
    verb = rest[0]
    if verb in REFUSED:
        return CommandLine(verb, flags, [])
    if verb not in VERBS:
        raise UsageError(f"unknown command {verb!r}; see --help")
    own, arguments = _take_flags(rest[1:], {**VERBS[verb], "help": False})
    if "help" in own:
        return CommandLine("help", own, [])
    _check_count(verb, len(arguments))
    return CommandLine(verb, {**flags, **own}, arguments)


def _check_count(verb: str, count: int) -> None:
    """Refuses what would be passed over, a second id above all."""
    least, most = _COUNTS[verb]
    if least == most != count:
        raise UsageError(f'"{verb}" requires exactly {least} argument(s)')
    if count < least:
        raise UsageError(f'"{verb}" requires a minimum of {least} argument(s)')
    if most is not None and count > most:
        raise UsageError(f'"{verb}" requires a maximum of {most} argument(s)')


def _take_flags(
    words: list[str], known: Mapping[str, bool]
) -> tuple[dict[str, list[str]], list[str]]:
    flags: dict[str, list[str]] = {}
    while words and words[0].startswith("-") and words[0] != "-":
        word = words.pop(0)
        if word == "--":
            break
        name, equals, value = word.lstrip("-").partition("=")
        name = "force" if name == "f" and "force" in known else _SHORT.get(name, name)
        if name not in known:
            raise UsageError(f"unknown flag {word!r}; see --help")
        if known[name] and not equals:
            if not words:
                raise UsageError(f"flag {word} needs a value")
            value = words.pop(0)
        flags.setdefault(name, []).append(value)
    return flags, words
