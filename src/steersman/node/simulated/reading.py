"""Reads what was said of nodes and pods: a file's document, a node's annotation, a pod's.

Whatever is wrong is told with the place where it stands; then nothing of it counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from steersman.model.duration import parse_duration
from steersman.model.kinds.node import Node
from steersman.model.kinds.pod import Pod
from steersman.node.simulated.behaviour import NO_RULES, NOTHING, Rule, Rules, Script

PREFIX: Final = "steersman.dev/"
# On a node: the rules as JSON, and that it is dead
BEHAVIOUR: Final = f"{PREFIX}behaviour"
DEAD: Final = f"{PREFIX}dead"
MOST_RULES: Final = 100
MOST_BYTES: Final = 64 * 1024  # a quarter of what an object's annotations may hold
MOST_TEXT: Final = 1024
MOST_EXIT_CODE: Final = 255

Path = tuple[str | int, ...]


class BadBehaviour(ValueError):
    """Something that was said cannot be; `path` leads to it, the message says why."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{written(path)}: {why}" if path else why)
        self.path = path
        self.why = why


def written(path: Path) -> str:
    """Returns a path as people write it: pods[1].crashAfter."""
    text = "".join(f"[{it}]" if isinstance(it, int) else f".{it}" for it in path)
    return text.removeprefix(".")


def _duration(path: Path, value: Any) -> float:
    if not isinstance(value, str):
        raise BadBehaviour(path, f"{value!r} is no duration: it is written as in 3d, 12h30m or 90s")
    try:
        return parse_duration(value)
    except ValueError as error:
        raise BadBehaviour(path, str(error)) from None


def _truth(path: Path, value: Any) -> bool:
    if value in (True, "true"):
        return True
    if value in (False, "false"):
        return False
    raise BadBehaviour(path, f"{value!r} is neither true nor false")


def _exit_code(path: Path, value: Any) -> int:
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MOST_EXIT_CODE:
        raise BadBehaviour(path, f"{value!r} is no exit code: it is a number from 0 to 255")
    return number


def _text(path: Path, value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= MOST_TEXT:
        raise BadBehaviour(path, f"a text of 1 to {MOST_TEXT} characters stands here")
    return value


# field of a rule -> field of a script, and how it is read
FIELDS: Final[Mapping[str, tuple[str, Callable[[Path, Any], Any]]]] = {
    "startAfter": ("start_after", _duration),
    "readyAfter": ("ready_after", _duration),
    "neverReady": ("never_ready", _truth),
    "runFor": ("run_for", _duration),
    "crashAfter": ("crash_after", _duration),
    "exitCode": ("exit_code", _exit_code),
    "stopAfter": ("stop_after", _duration),
    "pullFails": ("pull_fails", _text),
    "evictAfter": ("evict_after", _duration),
}
# The same for annotations of a pod: steersman.dev/crash-after
_ANNOTATIONS: Final = {
    PREFIX + name.replace("_", "-"): (name, read) for name, read in FIELDS.values()
}


def parse_rules(document: Any) -> Rules:
    """Returns what a document says; raises BadBehaviour."""
    if document is None:
        return NO_RULES
    fields = _mapping((), document, ("nodes", "pods"))
    nodes = _mapping(("nodes",), fields.get("nodes") or {}, ("dieAfter",))
    dies = nodes.get("dieAfter")
    rules = fields.get("pods") or []
    if not isinstance(rules, list):
        raise BadBehaviour(("pods",), "a list of rules stands here")
    if len(rules) > MOST_RULES:
        raise BadBehaviour(("pods",), f"there are more than {MOST_RULES} rules")
    return Rules(
        tuple(_rule(("pods", place), rule) for place, rule in enumerate(rules)),
        None if dies is None else _duration(("nodes", "dieAfter"), dies),
    )


def _rule(path: Path, document: Any) -> Rule:
    fields = _mapping(path, document, ("match", "namespace", *FIELDS))
    labels = _mapping((*path, "match"), fields.get("match") or {}, None)
    for key, value in labels.items():
        if not isinstance(value, str):
            raise BadBehaviour((*path, "match", key), f"{value!r} is no label's value, a text is")
    namespace = fields.get("namespace")
    if namespace is not None:
        _text((*path, "namespace"), namespace)
    said = {
        name: read((*path, field), fields[field])
        for field, (name, read) in FIELDS.items()
        if fields.get(field) is not None
    }
    return Rule(Script(**said), tuple(labels.items()), namespace or "")


def _mapping(path: Path, value: Any, known: tuple[str, ...] | None) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadBehaviour(path, "fields with values stand here")
    for key in value:
        if known is not None and key not in known:
            raise BadBehaviour((*path, key), f"there is no such field, but {', '.join(known)}")
    return value


def rules_of(node: Node) -> Rules:
    """Returns what a node's annotation says; raises BadBehaviour."""
    text = node.metadata.annotations.get(BEHAVIOUR, "")
    if not text:
        return NO_RULES
    if len(text) > MOST_BYTES:
        raise BadBehaviour((), f"it is longer than {MOST_BYTES} bytes")
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadBehaviour((), str(error)) from None
    return parse_rules(document)


def script_of(pod: Pod) -> Script:
    """Returns what a pod's annotations say; raises BadBehaviour."""
    said = {
        name: read((key,), pod.metadata.annotations[key])
        for key, (name, read) in _ANNOTATIONS.items()
        if key in pod.metadata.annotations
    }
    return Script(**said) if said else NOTHING


def is_dead(node: Node) -> bool:
    """Says whether a node was said to be dead."""
    return node.metadata.annotations.get(DEAD) == "true"
