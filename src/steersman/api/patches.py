"""The four kinds of patch: what the body says, and what it makes of a document."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Literal

import msgspec
import orjson

from steersman.api import owners
from steersman.api.body import is_too_deep, media_type, note_keys, repeated_in_yaml
from steersman.api.call import Call
from steersman.model import apply, builtin, patch, schema, strategic
from steersman.model.errors import BadRequest, UnsupportedMediaType
from steersman.model.kind import Document
from steersman.model.times import rfc3339
from steersman.wire import json, options

How = Literal["json", "merge", "strategic", "apply"]

_TYPES: dict[str, How] = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
}


class Patch(msgspec.Struct, frozen=True):
    """A parsed patch. An apply may create the object and settles field ownership itself."""

    how: How
    value: Any
    now: float

    @property
    def creates(self) -> bool:
        """Whether an absent object is created."""
        return self.how == "apply"

    @property
    def owned(self) -> bool:
        """Whether managedFields of the result are up to date."""
        return self.how == "apply"

    @classmethod
    def parse(cls, call: Call, now: float) -> Patch:
        """Reads a patch; raises UnsupportedMediaType, BadRequest."""
        kind = media_type(call.request)
        how = _TYPES.get(kind)
        if how is None or (how == "strategic" and not call.kind.strategic):
            listed = ", ".join(name for name, how in _TYPES.items() if _served(call, how))
            raise UnsupportedMediaType(
                f"the body of the request was in an unknown format - accepted media types "
                f"include: {listed}"
            )
        options.check_write(call.request, "PatchOptions", apply=how == "apply")
        value = _parse_yaml(call) if how == "apply" else _parse_json(call)
        if is_too_deep(call.request.body, value):
            raise BadRequest(f"error decoding patch: {json.TOO_DEEP}")
        if how in ("merge", "strategic"):
            _check_map(value)
        if how != "apply":
            note_keys(call, value)
        return cls(how, value, now)

    def apply(self, call: Call, old: Document | None) -> Document:
        """Returns what the patch makes of a document; `old` is None where an apply creates."""
        if self.how == "apply":
            return self._server_side(call, old)
        assert old is not None
        if self.how == "json":
            document = patch.json_patch(old, self.value)
        elif self.how == "merge":
            document = patch.merge_patch(old, self.value)
        else:
            definition = builtin.definition_of(call.kind, call.version)
            node = schema.builtin().definition(definition)
            document = strategic.merge(old, self.value, node)
        if not isinstance(document, dict):
            raise BadRequest("the patch leaves no object")
        return document

    def _server_side(self, call: Call, old: Document | None) -> Document:
        return apply.apply(
            old,
            self.value,
            owners.node_of(call),
            manager=call.request.param("fieldManager"),
            force=call.request.flag("force"),
            api_version=call.form.api_version,
            time=rfc3339(self.now),
            subresource=call.subresource,
            reset=owners.reset_of(call),
            elsewhere=owners.applied_elsewhere(call, old) if old is not None else None,
        )


def _served(call: Call, how: How) -> bool:
    return how != "strategic" or call.kind.strategic


def _check_map(value: Any) -> None:
    """Refuses what is no object, in the words of Go's decoder; null it takes."""
    if value is not None and not isinstance(value, dict):
        from steersman.model.mistakes import mistaken  # loaded with the first mistake

        told = mistaken(value, "map[string]interface {}")
        raise BadRequest(f"error decoding patch: {told}")


def _parse_json(call: Call) -> Any:
    try:
        return json.load(call.request.body)
    except json.BadJSON as error:
        raise BadRequest(f"error decoding patch: {error}") from error


def _parse_yaml(call: Call) -> Document:
    data, value = call.request.body, None
    with suppress(ValueError):
        value = orjson.loads(data)  # kubectl sends JSON under YAML's name
    if value is None or json.may_repeat(data, value):
        from steersman.wire import yaml  # loaded with the first patch in YAML

        try:
            value = yaml.load(data, call.repeated)
        except ValueError as error:
            raise BadRequest(f"error decoding YAML: {error}") from error
    if call.repeated and call.request.param("fieldValidation") == "Strict":
        why = f"error converting YAML to JSON: {repeated_in_yaml(call)}"
        raise BadRequest(f"error strict decoding YAML: {why}")
    if not isinstance(value, dict):
        raise BadRequest("error decoding YAML: an object is expected")
    return value
