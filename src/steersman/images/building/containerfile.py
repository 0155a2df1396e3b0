"""Parses a Containerfile into instructions.

Pure; not here: what an instruction does, and the values of variables (`substitution`). One rule:
what is not supported is refused with file, line and reason, never skipped. Follows Docker's
Dockerfile reference.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec
from msgspec import field

from steersman.images.building.substitution import SubstitutionError, words
from steersman.images.errors import BuildError

SIZE_LIMIT = 1 << 20  # characters; far above any real file
NOT_YET = frozenset({"HEALTHCHECK", "MAINTAINER", "ONBUILD", "SHELL", "VOLUME"})
_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*")
_HEREDOC = re.compile(r"\d*<<-?[\"']?[a-zA-Z_][a-zA-Z0-9_.]*[\"']?")
_STAGE = re.compile(r"[a-z][a-z0-9_.-]*")
_VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class Instruction(msgspec.Struct, frozen=True):
    """One instruction: `words` as its name needs them, unexpanded; `text` as written, joined.

    RUN, CMD and ENTRYPOINT: the argument vector of the exec form, or one word in the shell form.
    ENV, LABEL: name, value, name, value. ARG: one `name[=value]` per word. FROM: image and stage.
    """

    line: int
    name: str
    words: tuple[str, ...]
    text: str
    flags: Mapping[str, str] = field(default_factory=dict)
    exec_form: bool = False


class Stage(msgspec.Struct, frozen=True):
    """A FROM and what follows it; `name` is empty where there is no AS."""

    origin: Instruction
    name: str
    instructions: tuple[Instruction, ...]


class Containerfile(msgspec.Struct, frozen=True):
    """A parsed file: the ARGs before the first FROM, the stages, and the escape character."""

    file: str
    args: tuple[Instruction, ...]
    stages: tuple[Stage, ...]
    escape: str


def parse(text: str, file: str = "Containerfile") -> Containerfile:
    """Parses a whole file. Raises BuildError."""
    if len(text) > SIZE_LIMIT:
        raise BuildError(file, 1, f"the file is over {SIZE_LIMIT} characters")
    lines = text.removeprefix("\ufeff").splitlines()
    escape = _escape(lines, file)
    instructions = [
        _instruction(file, line, logical, escape) for line, logical in _logical(lines, escape)
    ]
    if not instructions:
        raise BuildError(file, 1, "the file has no instructions")
    return _staged(file, instructions, escape)


def _escape(lines: Sequence[str], file: str) -> str:
    """The escape character that directives at the head of the file choose."""
    for number, line in enumerate(lines, 1):
        match = _DIRECTIVE.fullmatch(line.strip())
        if match is None:
            break
        if match[1].lower() == "escape":
            if match[2] not in ("\\", "`"):
                raise BuildError(file, number, f"invalid escape character: {match[2]}")
            return match[2]
    return "\\"


def _logical(lines: Sequence[str], escape: str) -> Iterator[tuple[int, str]]:
    """Joins continued lines and drops comments and empty lines; yields with the first line."""
    parts: list[str] = []
    start = 0
    for number, line in enumerate(lines, 1):
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        start = start or number
        is_continued = bare.endswith(escape)
        parts.append(line.rstrip()[:-1] if is_continued else line.rstrip())
        if not is_continued:
            yield start, "".join(parts).strip()
            parts, start = [], 0
    if "".join(parts).strip():
        yield start, "".join(parts).strip()


def _instruction(file: str, line: int, logical: str, escape: str) -> Instruction:
    name, _, rest = logical.replace("\t", " ", 1).partition(" ")
    name, rest = name.upper(), rest.strip()
    if name in NOT_YET:
        raise BuildError(file, line, f"{name} is not supported yet")
    if name not in _READERS:
        raise BuildError(file, line, f"unknown instruction: {name}")
    if not rest:
        raise BuildError(file, line, f"{name} requires at least one argument")
    if name in ("RUN", "COPY", "ADD") and any(map(_HEREDOC.fullmatch, rest.split())):
        raise BuildError(file, line, "heredocs are not supported yet")
    reader, allowed = _READERS[name]
    try:
        flags, rest = _flags(name, rest, allowed)
        found, exec_form = reader(name, rest, escape)
    except (_Wrong, SubstitutionError) as error:
        raise BuildError(file, line, str(error)) from None
    return Instruction(line, name, tuple(found), f"{name} {rest}", flags, exec_form)


class _Wrong(ValueError):
    """The reason why an instruction is refused."""


_Read = tuple[Sequence[str], bool]


def _flags(name: str, rest: str, allowed: Sequence[str]) -> tuple[Mapping[str, str], str]:
    flags: dict[str, str] = {}
    while rest.startswith("--"):
        word, _, rest = rest.partition(" ")
        flag, _, value = word[2:].partition("=")
        if flag not in allowed:
            raise _Wrong(f"{name} does not support the flag --{flag}")
        if not value or flag in flags:
            raise _Wrong(f"the flag --{flag} needs one value")
        flags[flag] = value
        rest = rest.strip()
    return flags, rest


def _json_or_text(name: str, rest: str, escape: str) -> _Read:
    """The exec form, or all of the text as one word (as docker: bad JSON is shell form)."""
    array = _json_array(rest)
    if array is None:
        return [rest], False
    if name == "RUN" and not array:
        raise _Wrong("RUN requires at least one argument")
    return array, True


def _json_array(rest: str) -> list[str] | None:
    if not rest.startswith("["):
        return None
    try:
        array = json.loads(rest)
    except (ValueError, RecursionError):
        return None
    return array if all(isinstance(each, str) for each in array) else None


def _paths(name: str, rest: str, escape: str) -> _Read:
    array = _json_array(rest)
    found = rest.split() if array is None else array
    if len(found) < 2:
        raise _Wrong(f"{name} requires at least two arguments, source and destination")
    if name == "ADD" and any(each.startswith(("http://", "https://", "git@")) for each in found):
        raise _Wrong("ADD of a URL is not supported yet")
    return found, array is not None


def _pairs(name: str, rest: str, escape: str) -> _Read:
    found = words(rest, escape)
    if "=" not in found[0]:
        if len(found) < 2:
            raise _Wrong(f"{name} must have two arguments")
        return [found[0], rest[len(found[0]) :].strip()], False
    pairs: list[str] = []
    for word in found:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise _Wrong(f"syntax error: {word!r} in {name} is not of the form name=value")
        pairs += [key, value]
    return pairs, False


def _arguments(name: str, rest: str, escape: str) -> _Read:
    found = words(rest, escape)
    for word in found:
        if not _VARIABLE.fullmatch(word.partition("=")[0]):
            raise _Wrong(f"{word.partition('=')[0]!r} is no name for an ARG")
    return found, False


def _from(name: str, rest: str, escape: str) -> _Read:
    found = rest.split()
    if len(found) == 1:
        return found, False
    if len(found) != 3 or found[1].upper() != "AS":
        raise _Wrong("FROM takes an image, or an image AS a stage")
    if not _STAGE.fullmatch(found[2].lower()):
        raise _Wrong(f"invalid name for build stage: {found[2]!r}")
    return [found[0], found[2].lower()], False


def _one(name: str, rest: str, escape: str) -> _Read:
    return [rest], False


def _many(name: str, rest: str, escape: str) -> _Read:
    return rest.split(), False


_READERS: Mapping[str, tuple[Callable[[str, str, str], _Read], Sequence[str]]] = {
    "ADD": (_paths, ("chown", "chmod")),
    "ARG": (_arguments, ()),
    "CMD": (_json_or_text, ()),
    "COPY": (_paths, ("chown", "chmod", "from")),
    "ENTRYPOINT": (_json_or_text, ()),
    "ENV": (_pairs, ()),
    "EXPOSE": (_many, ()),
    "FROM": (_from, ("platform",)),
    "LABEL": (_pairs, ()),
    "RUN": (_json_or_text, ()),
    "STOPSIGNAL": (_one, ()),
    "USER": (_one, ()),
    "WORKDIR": (_one, ()),
}


def _staged(file: str, instructions: Sequence[Instruction], escape: str) -> Containerfile:
    starts = [at for at, each in enumerate(instructions) if each.name == "FROM"]
    head = instructions[: starts[0]] if starts else instructions
    for each in head:
        if each.name != "ARG":
            raise BuildError(file, each.line, "no build stage in current context: begin with FROM")
    if not starts:
        raise BuildError(file, instructions[-1].line, "the file has no FROM")
    stages: list[Stage] = []
    for start, end in zip(starts, [*starts[1:], len(instructions)], strict=True):
        origin = instructions[start]
        name = origin.words[1] if len(origin.words) > 1 else ""
        if name and any(stage.name == name for stage in stages):
            raise BuildError(file, origin.line, f"duplicate name of a build stage: {name}")
        stages.append(Stage(origin, name, tuple(instructions[start + 1 : end])))
    return Containerfile(file, tuple(head), tuple(stages), escape)
