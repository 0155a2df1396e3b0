"""Laws of structural schemas: pruning and defaulting once is enough, and nothing but 4xx comes of
whatever a client sends.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as some

from customs import CRDS, WIDGETS, definition, establish, version, widget
from served import serving
from steersman.api.custom.kinds import kinds_of
from steersman.api.custom.naming import Taken, plan
from steersman.model import decode
from steersman.model.errors import BadRequest
from steersman.model.kinds.customresourcedefinition import CUSTOMRESOURCEDEFINITION, DEFINITION
from steersman.model.structural import defaulting, pruning
from steersman.model.structural.shape import Shape
from steersman.model.structural.validation import Validator
from steersman.world.simulated import SimulatedWorld, simulate

Document = dict[str, Any]

NAMES = some.sampled_from(["a", "b", "c", "metadata", "kind"])
SCALARS = some.one_of(
    some.none(),
    some.booleans(),
    some.integers(-(2**65), 2**65),
    some.floats(allow_nan=False, allow_infinity=False),
    some.text(max_size=5),
)
VALUES = some.recursive(
    SCALARS,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
LEAVES = some.one_of(
    some.fixed_dictionaries({"type": some.just("string")}, optional={"default": some.just("d")}),
    some.fixed_dictionaries(
        {"type": some.just("integer")},
        optional={"default": some.just(1), "nullable": some.booleans()},
    ),
    some.just({"x-kubernetes-int-or-string": True}),
    some.just({"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
)


def _objects(inner: some.SearchStrategy[Document]) -> some.SearchStrategy[Document]:
    return some.one_of(
        some.builds(
            lambda fields, keeps: {
                "type": "object",
                "properties": fields,
                **({"x-kubernetes-preserve-unknown-fields": True} if keeps else {}),
            },
            some.dictionaries(some.sampled_from(["a", "b", "c"]), inner, max_size=3),
            some.booleans(),
        ),
        some.builds(lambda one: {"type": "object", "additionalProperties": one}, inner),
        some.builds(lambda one: {"type": "array", "items": one}, inner),
    )


SCHEMAS = some.recursive(LEAVES, _objects, max_leaves=8)
ROOTS = some.builds(
    lambda fields: {"type": "object", "properties": fields},
    some.dictionaries(some.sampled_from(["a", "b", "c"]), SCHEMAS, max_size=3),
)
WORDS = some.sampled_from(
    [
        *("type", "items", "properties", "default", "enum", "format", "pattern", "nullable"),
        *("anyOf", "allOf", "oneOf", "not", "required", "maximum", "maxLength", "multipleOf"),
        *("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"),
        *("x-kubernetes-embedded-resource", "x-kubernetes-preserve-unknown-fields"),
        *("additionalProperties", "x-kubernetes-int-or-string", "x-kubernetes-validations", "a"),
    ]
)
ODD = some.recursive(
    SCALARS | some.sampled_from(["object", "array", "string", "set", "map", "(", "a"]),
    lambda inner: some.lists(inner, max_size=2) | some.dictionaries(WORDS, inner, max_size=4),
    max_leaves=20,
)


@given(some.dictionaries(NAMES, VALUES, max_size=3), ROOTS)
def test_pruning_twice_prunes_nothing_more(document: Document, schema: Document) -> None:
    pruning.prune(document, schema)
    pruning.drop_nulls(document, schema)
    once = copy.deepcopy(document)
    assert pruning.prune(document, schema) == []
    pruning.drop_nulls(document, schema)
    assert document == once


@given(some.dictionaries(NAMES, VALUES, max_size=3), ROOTS)
def test_defaulting_twice_sets_nothing_more(document: Document, schema: Document) -> None:
    defaulting.default(document, schema)
    once = copy.deepcopy(document)
    defaulting.default(document, schema)
    assert document == once


@given(VALUES, ROOTS)
def test_a_value_that_has_not_changed_is_never_refused(value: Any, schema: Document) -> None:
    assert not Validator(schema).validate(value, copy.deepcopy(value)).mistakes


def ask(bodies: list[tuple[str, Any]]) -> list[int]:
    """Creates one object after another and returns the codes."""

    async def main(world: SimulatedWorld) -> None:
        async with serving(world) as api:
            await establish(api, definition())
            texts = [(path, json.dumps(body).encode()) for path, body in bodies]
            codes.extend([(await api.post(path, text)).code for path, text in texts])

    codes: list[int] = []
    simulate(1, main)
    return codes


def described(schema: Document) -> Document | None:
    """Returns a definition with a schema as it is stored, None where it is refused."""
    made = definition(version(schema={"openAPIV3Schema": schema}, subresources={}))
    made["metadata"]["uid"] = "u"
    made = copy.deepcopy(made)
    try:
        admitted = decode.admit(DEFINITION, made, "CustomResourceDefinition", "v1").document
    except BadRequest:
        return None
    new = CUSTOMRESOURCEDEFINITION.prepare(admitted, None, "")
    return None if list(CUSTOMRESOURCEDEFINITION.check(new, None, "")) else new


def established(made: Document) -> Shape:
    """Returns the shape of the only version of a definition."""
    planned = plan(made, lambda: Taken.by(()), "2026-01-01T00:00:00Z", good_bundle=True)
    assert planned is not None
    shape = kinds_of(planned, 0)[0].versions[0].shape
    assert isinstance(shape, Shape)
    return shape


def tried(shape: Shape, document: Document) -> None:
    """Takes an object in as a creation and an update do; only APIErrors may come of it."""
    try:
        admitted = shape.admit({**copy.deepcopy(document), "apiVersion": "example.com/v1"}).document
    except BadRequest:
        return
    list(shape.check(admitted, None, ""))
    list(shape.check(admitted, document, "status"))
    assert shape.parse(copy.deepcopy(admitted)) == admitted


@given(some.dictionaries(WORDS, ODD, max_size=5), some.booleans())
def test_odd_schemas_are_accepted_or_refused(schema: Document, root: bool) -> None:
    whole = schema if root else {"type": "object", "properties": {"a": schema}}
    if (made := described(whole)) is not None:
        tried(established(made), {"metadata": {"name": "x"}, "kind": "Widget", "a": [1, {"a": 2}]})


@given(ROOTS, some.dictionaries(NAMES, VALUES, max_size=4))
def test_odd_objects_are_accepted_or_refused(schema: Document, document: Document) -> None:
    if (made := described(schema)) is not None:
        tried(established(made), document)


def nested(depth: int, name: str) -> Document:
    found: Document = {"type": "string"}
    for _ in range(depth):
        found = {"type": "object", "properties": {name: found}}
    return found


def test_deep_schemas_and_objects_are_accepted_or_refused() -> None:
    def api(depth: int) -> tuple[str, Any]:
        schema = {"openAPIV3Schema": nested(depth, "a")}
        return CRDS, definition(version(schema=schema, subresources={}), kind=f"Deep{depth}")

    def deep(depth: int) -> tuple[str, Any]:
        value: Any = 1
        for _ in range(depth):
            value = {"a": [value]}
        return WIDGETS, widget(f"deep{depth}", free=value)

    depths = (10, 50, 90, 100, 120, 240, 450)
    codes = ask([*map(api, depths), *map(deep, depths)])
    assert codes[0] == codes[len(depths)] == 201 and 400 in codes
    assert not [code for code in codes if not (code == 201 or 400 <= code < 500)], codes
