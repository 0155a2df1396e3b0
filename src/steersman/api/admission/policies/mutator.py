"""What a MutatingAdmissionPolicy makes of an object: its expressions, compiled once.

Pure. `Object{...}` is merged as server-side apply merges it, owned by nobody; a list of
`JSONPatch{...}` is applied. Follows apiserver's policy/mutating/patch and cel/mutation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from steersman.api.admission.asking.composition import Composition
from steersman.api.admission.asking.expressions import (
    FOR_CONDITIONS,
    Conditions,
    Expression,
    Failed,
    compile_expression,
)
from steersman.api.admission.asking.variables import Values
from steersman.cel.compile import Budget
from steersman.cel.environment import PER_OBJECT, Environment
from steersman.cel.functions import declared
from steersman.cel.library import jsonpatch, times
from steersman.cel.library.kubernetes import all_functions
from steersman.cel.types import DYN, STRING, Field, Type, list_of
from steersman.cel.values import Duration, ObjectValue, Timestamp
from steersman.model.fields import granular
from steersman.model.fields.structure import ElementError, Structure, judged, structure_of
from steersman.model.gotext import quote
from steersman.model.kind import Document
from steersman.model.patch import PatchFailed, PatchMalformed, json_patch
from steersman.model.schema import Node

OBJECT: Final = "Object"
_PATCH: Final = Type(
    "object",
    "JSONPatch",
    (),
    {
        "op": Field("op", STRING),
        "path": Field("path", STRING),
        "from": Field("from", STRING),
        "value": Field("value", DYN),
    },
)


class _AnyField(dict[str, Field]):
    """The fields of an object of which nothing is known: every one there can be."""

    def get(self, name: str, default: Any = None) -> Field:
        """Returns a field of any type."""
        return Field(name, DYN)


class _ObjectTypes(dict[str, Type]):
    """The types of what a mutation makes: `Object`, `Object.spec` and so on, and `JSONPatch`."""

    def get(self, name: str, default: Any = None) -> Any:
        """Returns a type by its name, None for others."""
        if name == _PATCH.name:
            return _PATCH
        if name == OBJECT or name.startswith(f"{OBJECT}."):
            return Type("object", name, (), _AnyField())
        return None


_RESULTS: Final[Mapping[str, Type]] = {
    "ApplyConfiguration": Type("object", OBJECT),
    "JSONPatch": list_of(_PATCH),
}
_FIELDS: Final = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}


def patching(composition: Composition) -> Environment:
    """Returns the environment of expressions that mutate."""
    functions = declared(all_functions(), jsonpatch.FUNCTIONS)
    return composition.extended(_ObjectTypes(), functions)


def mutations(spec: Document, composition: Composition) -> Iterator[tuple[str, str, Expression]]:
    """Yields the type of each mutation, the field that holds its expression, and that."""
    environment = patching(composition)
    for one in spec.get("mutations") or ():
        kind = one.get("patchType") or ""
        found = one.get(_FIELDS.get(kind, "")) or {}
        text = found.get("expression") or ""
        if text.strip():
            yield kind, _FIELDS[kind], compile_expression(environment, text, _RESULTS[kind])


class Mutator:
    """The expressions of one policy."""

    def __init__(self, spec: Document) -> None:
        ignores = spec.get("failurePolicy") == "Ignore"
        params = spec.get("paramKind") is not None
        self._composition = Composition(spec.get("variables") or (), params=params)
        environment = self._composition.environment
        self._conditions = Conditions(spec.get("matchConditions") or (), environment, ignores)
        self.mutations = [(kind, found) for kind, _, found in mutations(spec, self._composition)]

    def is_matched(self, values: Values) -> bool:
        """Says whether the conditions hold; raises Failed."""
        budget = Budget(FOR_CONDITIONS)
        return self._conditions.match(self._composition.bound(values, budget), budget)

    def mutate(
        self, kind: str, expression: Expression, values: Values, document: Document, node: Node
    ) -> Document:
        """Returns what one mutation makes of a document; raises Failed, Spent."""
        budget = Budget(PER_OBJECT)
        found = expression.evaluate(self._composition.bound(values, budget), budget)
        if kind == "JSONPatch":
            return _patched(document, found)
        return _applied(document, found, structure_of(node))


def _applied(document: Document, found: Any, structure: Structure) -> Document:
    if not isinstance(found, ObjectValue):
        raise Failed("unsupported return type from ApplyConfiguration expression")
    if wrong := "\n".join(check_names(found, OBJECT)):
        raise Failed(f"type mismatch: {wrong}")
    head = {name: document[name] for name in ("apiVersion", "kind")}
    applied = {**plain(found), **head}
    if problems := granular.check(applied, structure):
        told = f"failed to convert patch object to typed object: {granular.told(problems)}"
        raise Failed(f"error applying patch: {told}")
    if atomic := ", ".join(atomics(applied, structure, "")):
        told = (
            f"invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {atomic}"
        )
        raise Failed(f"error applying patch: {told}")
    try:
        merged: Document = granular.merge(document, applied, structure)
    except ElementError as error:
        raise Failed(f"error applying patch: failed to merge patch: {error}") from None
    return merged


def _patched(document: Document, found: Any) -> Document:
    operations = []
    for one in found if isinstance(found, list) else ():
        if not isinstance(one, ObjectValue) or one.type_name != _PATCH.name:
            wanted = "JSONPatchType.expression should evaluate to array of JSONPatch"
            raise Failed(f"type mismatch: {wanted}")
        if wrong := "\n".join(check_names(one.get("value"), "")):
            raise Failed(f"type mismatch: {wrong}")
        operations.append(plain(one))
    try:
        made = json_patch(document, operations)
    except (PatchFailed, PatchMalformed) as error:
        why = error.why if isinstance(error, PatchFailed) else str(error)
        if why.startswith("testing value"):  # nothing is changed then, and nothing refused
            return document
        raise Failed(f"JSON Patch: {why}") from None
    if not isinstance(made, dict) or not isinstance(made.get("metadata"), dict):
        raise Failed("JSON Patch: no object is left")
    return made


def check_names(value: Any, path: str) -> Iterator[str]:
    """Yields which objects within a value are not called as their place is; without a path the
    first object says where it stands."""
    if isinstance(value, ObjectValue):
        path = path or value.type_name
        if value.type_name != path:
            yield (
                f"unexpected type name {quote(value.type_name)}, expected {quote(path)}, which "
                "matches field name path from root Object type"
            )
        for name, item in value.items():
            yield from check_names(item, f"{path}.{name}")
    elif path and isinstance(value, list | dict):
        for item in value if isinstance(value, list) else value.values():
            yield from check_names(item, path)


def atomics(value: Any, structure: Structure, path: str) -> Iterator[str]:
    """Yields the paths of values that merge as a whole, which a mutation may not give."""
    structure = judged(structure, value)
    if isinstance(value, dict) and structure.kind == "map":
        if structure.leaf:
            yield path
        for name, item in value.items():
            if name in structure.fields:
                yield from atomics(item, structure.fields[name], f"{path}.{name}")
    elif isinstance(value, list) and structure.kind == "list":
        if structure.leaf:
            yield path
        for index, item in enumerate(value):
            yield from atomics(item, structure.items, f"{path}[{index}]")


def plain(value: Any) -> Any:
    """Returns a value of an expression as a part of a document; raises Failed."""
    if isinstance(value, dict):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, Timestamp):
        return times.show_timestamp(value)
    if isinstance(value, Duration):
        return times.show_duration(value)
    if value is None or isinstance(value, str | bool | int | float):
        return int(value) if isinstance(value, int) and not isinstance(value, bool) else value
    raise Failed(f"unsupported type in a mutation: {type(value).__name__}")


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise Failed(f"map key {key} is not a string")
    return key
