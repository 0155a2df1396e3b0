"""JSON patch (RFC 6902) and JSON merge patch (RFC 7396) on plain documents.

Arguments are never changed; results share what a patch left alone. Where the RFC leaves room it is
evanphx/json-patch, which upstream uses, that decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from steersman.model.errors import BadRequest, Invalid, RequestTooLarge

MAX_OPERATIONS: Final = 10_000  # upstream's bound (maxJSONPatchOperations)
MAX_COPIED_BYTES: Final = 3 * 1024 * 1024  # upstream's bound: as much as a request's body
MAX_DEPTH: Final = 200  # below what the encoder nests (254); moves can deepen what came shallow

_INDEX = re.compile("[-+]?[0-9]{1,9}", re.ASCII)
_UNPROCESSABLE = "the server rejected our request due to an error in our request"
_NOT_A_PATCH = "json: cannot unmarshal {kind} into Go value of type jsonpatch.Patch"


class PatchFailed(Invalid):
    """A well-formed patch does not fit the object (422).

    Upstream's answer keeps the cause to itself; it stands in `why`.
    """

    def __init__(self, why: str) -> None:
        super().__init__(_UNPROCESSABLE)
        self.why = why

    def status(self) -> dict[str, Any]:
        """Returns the metav1.Status document, with details that say nothing."""
        return {**super().status(), "details": {}}


class PatchMalformed(BadRequest):
    """What came is no patch (400)."""


def equal(one: Any, other: Any) -> bool:
    """Says whether two JSON values are the same: numbers by value, and `true` is no 1."""
    if one is other:
        return True
    if isinstance(one, dict):
        if not isinstance(other, dict) or len(one) != len(other):
            return False
        return all(key in other and equal(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        if not isinstance(other, list) or len(one) != len(other):
            return False
        return all(map(equal, one, other))
    return bool(one == other) and (one is True or one is False) == (other is True or other is False)


def json_patch(document: Any, operations: Any) -> Any:
    """Applies a JSON patch; raises PatchMalformed, PatchFailed or RequestTooLarge.

    An index may count from the end (`-1`), `add` may append with `-`.
    """
    _check_form(operations)
    patched = _Patched(document)
    for operation in operations:
        patched.apply(operation)
    if any(operation.get("op") in ("move", "copy") for operation in operations):
        _check_depth(patched.root)
    return patched.root


def merge_patch(document: Any, patch: Any) -> Any:
    """Applies a JSON merge patch: null removes, objects merge, all else replaces."""
    if not isinstance(patch, dict):
        return _without_nulls(patch)
    merged = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _check_form(operations: Any) -> None:
    if not isinstance(operations, list):
        kind = "object" if isinstance(operations, dict) else "value"
        raise PatchMalformed(_NOT_A_PATCH.format(kind=kind))
    if len(operations) > MAX_OPERATIONS:
        raise RequestTooLarge(
            "Request entity is too large: The allowed maximum operations in a JSON patch is "
            f"{MAX_OPERATIONS}, got {len(operations)}"
        )
    if not all(isinstance(operation, dict) for operation in operations):
        raise PatchMalformed(_NOT_A_PATCH.format(kind="value"))


def _check_depth(document: Any) -> None:
    level, depth = [document], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise PatchFailed(f"the document nests deeper than {MAX_DEPTH} levels")
        inner = []
        for value in level:
            items = value.values() if isinstance(value, dict) else value
            inner += [item for item in items if isinstance(item, dict | list)]
        level = [value for value in inner if value]


class _Patched:
    """A document while its patch is applied; containers are copied before their first change."""

    def __init__(self, document: Any) -> None:
        self.root = document
        self._copied_bytes = 0
        # by id; the value keeps the container alive, so that no id comes twice
        self._own: dict[int, Any] = {}

    def apply(self, operation: Mapping[str, Any]) -> None:
        kind = operation.get("op")
        act = _OPERATIONS.get(kind) if isinstance(kind, str) else None
        if act is None:
            raise PatchFailed(f"Unexpected kind: {kind if isinstance(kind, str) else 'unknown'}")
        act(self, operation)

    def add(self, operation: Mapping[str, Any]) -> None:
        self._put(_pointer(operation, "path"), _value(operation), "add")

    def remove(self, operation: Mapping[str, Any]) -> None:
        self._take(_pointer(operation, "path"), "remove")

    def replace(self, operation: Mapping[str, Any]) -> None:
        path, value = _pointer(operation, "path"), _value(operation)
        if not path:
            self.root = value
            return
        container = self._container(path, "replace")
        place = _existing(container, path[-1])
        if place is None:
            raise PatchFailed(_missing("replace", path, "key"))
        container[place] = value

    def move(self, operation: Mapping[str, Any]) -> None:
        source, path = _pointer(operation, "from"), _pointer(operation, "path")
        if path[: len(source)] == source and len(path) > len(source):
            raise PatchFailed("a value cannot be moved into itself")
        self._put(path, self._take(source, "move"), "move")

    def copy(self, operation: Mapping[str, Any]) -> None:
        source, path = _pointer(operation, "from"), _pointer(operation, "path")
        value = self._read(source, "copy")
        self._copied_bytes += len(msgspec.json.encode(value))
        if self._copied_bytes > MAX_COPIED_BYTES:
            raise PatchFailed(
                "Unable to complete the copy, the accumulated size increase of copy is "
                f"{self._copied_bytes}, exceeding the limit {MAX_COPIED_BYTES}"
            )
        # from now on two places share what was owned, so nothing is
        self._own.clear()
        self._put(path, value, "copy")

    def test(self, operation: Mapping[str, Any]) -> None:
        path = _pointer(operation, "path")
        wanted = operation.get("value")
        found = self._read(path, "test", absent_as_null=True)
        if not equal(found, wanted):
            raise PatchFailed(f"testing value {_text(path)} failed: test failed")

    def _put(self, path: list[str], value: Any, kind: str) -> None:
        if not path:
            self.root = value
            return
        container = self._container(path, kind)
        if isinstance(container, dict):
            container[path[-1]] = value
        elif path[-1] == "-":
            container.append(value)
        else:
            container.insert(_index(path[-1], len(container) + 1), value)

    def _take(self, path: list[str], kind: str) -> Any:
        if not path:
            raise PatchFailed(_missing(kind, path, "path"))
        container = self._container(path, kind)
        place = _existing(container, path[-1])
        if place is None:
            raise PatchFailed(f"Unable to remove nonexistent key: {path[-1]}: missing value")
        return container.pop(place)

    def _read(self, path: list[str], kind: str, *, absent_as_null: bool = False) -> Any:
        value = self.root
        for depth, key in enumerate(path):
            last = depth == len(path) - 1
            place = _existing(value, key) if isinstance(value, dict | list) else None
            if place is None:
                if last and absent_as_null and isinstance(value, dict):
                    return None
                raise PatchFailed(_missing(kind, path, "path"))
            value = value[place]
        return value

    def _container(self, path: list[str], kind: str) -> Any:
        """Returns the container of a path's last key, for changing."""
        current = self.root = self._owned(self.root, kind, path)
        for key in path[:-1]:
            place = _existing(current, key)
            if place is None:
                raise PatchFailed(_missing(kind, path, "path"))
            inner = self._owned(current[place], kind, path)
            current[place] = inner
            current = inner
        return current

    def _owned(self, container: Any, kind: str, path: list[str]) -> Any:
        if id(container) in self._own:
            return container
        if not isinstance(container, dict | list):
            raise PatchFailed(_missing(kind, path, "path"))
        copied = container.copy()
        self._own[id(copied)] = copied
        return copied


_OPERATIONS: Final[Mapping[str, Callable[[_Patched, Mapping[str, Any]], None]]] = {
    "add": _Patched.add,
    "remove": _Patched.remove,
    "replace": _Patched.replace,
    "move": _Patched.move,
    "copy": _Patched.copy,
    "test": _Patched.test,
}


def _pointer(operation: Mapping[str, Any], name: str) -> list[str]:
    text = operation.get(name)
    if not isinstance(text, str):
        raise PatchFailed(f"operation missing {name} field: missing value")
    if not text:
        return []
    if text[0] != "/":
        raise PatchFailed(f'doc is missing path: "{text}": missing value')
    return [key.replace("~1", "/").replace("~0", "~") for key in text[1:].split("/")]


def _value(operation: Mapping[str, Any]) -> Any:
    if "value" not in operation:
        raise PatchFailed("operation, missing value field: missing value")
    return operation["value"]


def _existing(container: Any, key: str) -> Any:
    """Returns the key or index at which something is, or None; raises PatchFailed for an index
    that is none."""
    if isinstance(container, dict):
        return key if key in container else None
    return _index(key, len(container))


def _index(key: str, size: int) -> int:
    if not _INDEX.fullmatch(key):
        raise PatchFailed(f"value was not a proper array index: '{key}'")
    index = int(key)
    if not -size <= index < size:
        raise PatchFailed(f"Unable to access invalid index: {index}: invalid index referenced")
    return index + size if index < 0 else index


def _missing(kind: str, path: list[str], what: str) -> str:
    text = f"{kind} operation does not apply: doc is missing {what}"
    return f"{text}: {_text(path)}: missing value"


def _text(path: list[str]) -> str:
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path)
