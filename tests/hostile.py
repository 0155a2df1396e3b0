"""What a hostile or broken client may send, as hypothesis strategies: JSON of the right words in
the wrong places, patches, schemas."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from served import APPLY, JSON_PATCH, MERGE, STRATEGIC

Json = Any

WORDS = (
    "metadata", "name", "namespace", "generateName", "labels", "annotations", "finalizers", "uid",
    "ownerReferences", "managedFields", "resourceVersion", "deletionTimestamp", "apiVersion",
    "kind", "spec", "status", "data", "template", "selector", "matchLabels", "matchExpressions",
    "containers", "image", "ports", "containerPort", "protocol", "env", "value", "valueFrom",
    "volumes", "replicas", "strategy", "type", "rollingUpdate", "conditions", "resources", "limits",
    "cpu", "$patch", "$retainKeys", "$setElementOrder/containers",
    "$deleteFromPrimitiveList/finalizers", "op", "path", "from", "items", "default", "deployments",
)  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from(
        (*WORDS, "", "a", "v1", "Deployment", "replace", "delete", "merge", "1Gi", "25%", "/", "*")
    ),
    st.text(max_size=8),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(allow_nan=False, allow_infinity=False),
    TEXTS,
)


def _deeper(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    keys = st.one_of(st.sampled_from(WORDS), st.text(max_size=4))
    return st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(keys, inner, min_size=1, max_size=4)
    )


VALUES: st.SearchStrategy[Json] = st.recursive(SCALARS, _deeper, max_leaves=12)


@st.composite
def mutated(draw: st.DrawFn, document: Json) -> Json:
    """Draws a document with values replaced, dropped or put in at some places."""
    made = document
    for _ in range(draw(st.integers(1, 3))):
        made = _changed(draw, made)
    return made


def _changed(draw: st.DrawFn, value: Json) -> Json:
    if isinstance(value, dict) and value and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(value)))
        made = dict(value)
        if not draw(st.integers(0, 7)):
            del made[key]
        else:
            made[key] = _changed(draw, value[key])
        return made
    if isinstance(value, list) and value and draw(st.integers(0, 3)):
        index = draw(st.integers(0, len(value) - 1))
        return [*value[:index], _changed(draw, value[index]), *value[index + 1 :]]
    if isinstance(value, dict) and draw(st.booleans()):
        return {**value, draw(st.sampled_from(WORDS)): draw(VALUES)}
    return draw(VALUES)


_OPERATION = st.fixed_dictionaries(
    {"op": st.sampled_from(("add", "remove", "replace", "move", "copy", "test", "", "x"))},
    optional={
        "path": st.one_of(
            TEXTS,
            st.lists(
                st.sampled_from((*WORDS, "0", "-", "-1", "00", "~0", "~1", "99")), max_size=4
            ).map(lambda parts: "".join(f"/{part}" for part in parts)),
        ),
        "from": st.sampled_from(("/spec", "/metadata", "/spec/template/spec", "", "/", "/x/y")),
        "value": VALUES,
    },
)


@st.composite
def patches(draw: st.DrawFn, document: Json) -> tuple[str, Json]:
    """Draws a patch's media type and its body, of a document or of nothing."""
    how = draw(st.sampled_from((JSON_PATCH, MERGE, STRATEGIC, APPLY)))
    if how == JSON_PATCH:
        return how, draw(st.one_of(st.lists(_OPERATION, max_size=4), VALUES))
    return how, draw(st.one_of(mutated(document), VALUES))


_SCHEMA_WORDS = (
    "type", "properties", "items", "additionalProperties", "required", "enum", "default", "pattern",
    "format", "minimum", "maximum", "maxLength", "maxItems", "uniqueItems", "nullable", "allOf",
    "anyOf", "oneOf", "not", "$ref", "definitions", "multipleOf",
    "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string",
    "x-kubernetes-embedded-resource", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type", "x-kubernetes-validations",
)  # fmt: skip
_TYPES = st.sampled_from(("object", "array", "string", "integer", "number", "boolean", "null", ""))
_RULE = st.fixed_dictionaries(
    {"rule": st.sampled_from(("self.a == 1", "true", "self ==", "self.all(x, x > 0)", "", "1"))},
    optional={"message": TEXTS, "messageExpression": TEXTS, "fieldPath": TEXTS, "reason": TEXTS},
)


def _schema(inner: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    names = st.sampled_from(("a", "b", "spec", "status", "metadata"))
    sound = st.fixed_dictionaries(
        {"type": _TYPES},
        optional={
            "properties": st.dictionaries(names, inner, max_size=3),
            "items": inner,
            "additionalProperties": st.one_of(inner, st.booleans()),
            "required": st.lists(names, max_size=2),
            "enum": st.lists(SCALARS, max_size=3),
            "default": VALUES,
            "pattern": st.sampled_from(("^a+$", "(", "(a+)+$", "")),
            "format": st.sampled_from(("int32", "date-time", "uuid", "x", "")),
            "minimum": SCALARS,
            "maxLength": SCALARS,
            "x-kubernetes-preserve-unknown-fields": st.booleans(),
            "x-kubernetes-int-or-string": st.booleans(),
            "x-kubernetes-embedded-resource": st.booleans(),
            "x-kubernetes-list-type": st.sampled_from(("map", "set", "atomic", "")),
            "x-kubernetes-list-map-keys": st.lists(names, max_size=2),
            "x-kubernetes-validations": st.lists(_RULE, max_size=2),
            "allOf": st.lists(inner, max_size=2),
            "not": inner,
        },
    )
    odd = st.dictionaries(st.sampled_from(_SCHEMA_WORDS), st.one_of(inner, VALUES), max_size=4)
    return st.one_of(sound, sound, odd)


SCHEMAS: st.SearchStrategy[Json] = st.recursive(
    st.fixed_dictionaries({"type": _TYPES}), _schema, max_leaves=8
)
