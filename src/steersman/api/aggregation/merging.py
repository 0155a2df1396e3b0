"""OpenAPI documents of version 2 made one: what other servers say beside what this one does. Pure.

Follows kube-openapi's pkg/aggregator: of a path that two have the first counts, definitions of one
name that say different things are told apart by a number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import orjson

from steersman.model.kind import Document

PREFIX: Final = "#/definitions/"
_GVK: Final = "x-kubernetes-group-version-kind"
# As deep as other documents may be (`model.decode`); ours have some fifteen levels
DEEPEST: Final = 200


def read(body: bytes, root: str) -> Document:
    """Returns what a server's document says of the paths below one, with the definitions that it
    needs for that. Raises ValueError where it is none."""
    from steersman.wire.protobuf import openapi as openapi_protobuf

    found = orjson.loads(body)
    if not isinstance(found, dict):
        raise ValueError("no object")
    paths, definitions = found.get("paths") or {}, found.get("definitions") or {}
    if not isinstance(paths, dict) or not isinstance(definitions, dict):
        raise ValueError("no paths or no definitions")
    _check_depth(found)
    kept = {path: item for path, item in paths.items() if path.startswith(f"{root}/")}
    made = _pruned({"paths": kept, "definitions": definitions}, _used(paths, definitions))
    head = {"swagger": "2.0", "info": {"title": "", "version": ""}}
    try:  # what has no binary form cannot be told to clients that want it
        openapi_protobuf.encode({**head, **made})
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"no OpenAPI of version 2: {error!r}") from error
    return made


def merge(whole: Document, other: Document) -> None:
    """Adds the paths and definitions of another document to a whole one."""
    paths = {path: item for path, item in other["paths"].items() if path not in whole["paths"]}
    if not paths:
        return
    definitions = other["definitions"]
    if len(paths) < len(other["paths"]):
        used = _used(other["paths"], definitions)
        definitions = _pruned({"paths": paths, "definitions": definitions}, used)["definitions"]
    names = _renames(whole["definitions"], definitions)
    for name, definition in definitions.items():
        told = _renamed(definition, names)
        kept = whole["definitions"].setdefault(names.get(name, name), told)
        if kept is not told:
            _add_kinds(kept, told)
    whole["paths"].update(_renamed(paths, names))


def _renames(known: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, str]:
    """Returns new names for definitions whose name is that of another one."""
    names: dict[str, str] = {}
    taken = {*known, *added}
    for name, definition in added.items():
        if name not in known or _is_same(known[name], definition):
            continue
        number = 2
        while (other := f"{name}_v{number}") in taken:
            if other in known and _is_same(known[other], definition):
                break
            number += 1
        names[name] = other
        taken.add(other)
    return names


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Says whether definitions say the same, but for which kinds they are."""
    return {**one, _GVK: 0} == {**other, _GVK: 0}


def _add_kinds(known: Document, added: Mapping[str, Any]) -> None:
    kinds, others = known.get(_GVK) or [], added.get(_GVK)
    if isinstance(others, list) and (more := [one for one in others if one not in kinds]):
        known[_GVK] = [*kinds, *more]


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Returns a value with its references to definitions renamed."""
    if isinstance(value, list):
        return [_renamed(one, names) for one in value]
    if not isinstance(value, dict):
        return value
    found = {key: _renamed(one, names) for key, one in value.items()}
    target = found.get("$ref")
    if isinstance(target, str) and target.startswith(PREFIX):
        name = target.removeprefix(PREFIX)
        found["$ref"] = PREFIX + names.get(name, name)
    return found


def _pruned(document: Document, used_before: set[str]) -> Document:
    """Returns a document without definitions that nothing in it needs any more."""
    definitions = document["definitions"]
    used = _used(document["paths"], definitions)
    kept = {
        name: one for name, one in definitions.items() if name in used or name not in used_before
    }
    return {"paths": document["paths"], "definitions": kept}


def _used(paths: Any, definitions: Mapping[str, Any]) -> set[str]:
    """Returns the definitions that paths refer to, and those that these refer to."""
    found: set[str] = set()
    waiting = list(_references([paths]))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _references([definitions.get(name)])
    return found


def _references(values: Iterable[Any]) -> Iterator[str]:
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            target = value.get("$ref")
            if isinstance(target, str) and target.startswith(PREFIX):
                yield target.removeprefix(PREFIX)
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _check_depth(document: Document) -> None:
    level: list[Any] = [document]
    for _ in range(DEEPEST):
        children = (one.values() if isinstance(one, dict) else one for one in level)
        level = [value for found in children for value in found if isinstance(value, dict | list)]
        if not level:
            return
    raise ValueError(f"deeper than {DEEPEST} levels")
