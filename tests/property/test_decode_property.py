"""Decoding of documents drawn from the schema: idempotent, and no unknown field escapes."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steersman.model import decode, schema
from steersman.model.schema import Node

DEFINITIONS = [
    "io.k8s.api.core.v1.Pod",
    "io.k8s.api.core.v1.Service",
    "io.k8s.api.core.v1.Node",
    "io.k8s.api.apps.v1.Deployment",
    "io.k8s.api.apps.v1.StatefulSet",
    "io.k8s.api.batch.v1.CronJob",
    "io.k8s.api.rbac.v1.ClusterRole",
    "io.k8s.api.core.v1.Secret",
    "io.k8s.api.coordination.v1.Lease",
    "io.k8s.api.networking.v1.NetworkPolicy",
    "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
]
DEEPEST = 9
UNKNOWN = "bogus"

_texts = st.sampled_from(["", "a", "latest", "ClusterIP", "Container", "Recreate", "nginx:1"])
_scalars: dict[tuple[str, str], st.SearchStrategy[Any]] = {
    ("string", ""): _texts,
    ("string", "byte"): st.sampled_from(["", "YQ==", "YWI=", "YWJj"]),
    ("boolean", ""): st.booleans(),
    ("integer", ""): st.integers(0, 9),
    ("integer", "int32"): st.integers(-(2**31), 2**31 - 1),
    ("integer", "int64"): st.integers(-(2**63), 2**63 - 1),
    ("number", "double"): st.integers(0, 9),
    ("int-or-string", ""): st.one_of(st.integers(0, 9), st.sampled_from(["25%", "http", ""])),
    ("quantity", ""): st.sampled_from(["1", "100m", "1024Mi", "0.5", 1, 0.25]),
    ("any", ""): st.just({"kept": [1, None, {}]}),
}


@st.composite
def documents(draw: st.DrawFn, node: Node, path: str, depth: int, wild: bool) -> Any:
    """Draws a value for a node; every wild object may hold an unknown field."""
    if node.type == "array":
        items = node.items
        assert items is not None
        count = draw(st.integers(0, 2 if depth else 0))
        return [
            draw(documents(items, f"{path}[{index}]", depth - 1, wild)) for index in range(count)
        ]
    if node.type != "object":
        return draw(_scalar(node))
    if node.values is not None:
        keys = draw(st.lists(st.sampled_from(["k", "l"]), max_size=2, unique=True))
        return {key: draw(documents(node.values, "", depth - 1, wild)) for key in keys}
    names = (
        draw(st.lists(st.sampled_from(sorted(node.fields)), max_size=4, unique=True))
        if (node.fields and depth)
        else []
    )
    document = {name: draw(documents(node.fields[name], "", depth - 1, wild)) for name in names}
    if wild and node.fields and draw(st.booleans()):
        document[UNKNOWN] = draw(st.sampled_from([1, None, {"a": 1}]))
    return document


def _scalar(node: Node) -> st.SearchStrategy[Any]:
    if node.format == "date-time":
        micro = node.definition.endswith("MicroTime")
        fraction = ".000001" if micro else ""
        return st.sampled_from(
            [f"2024-02-29T01:02:03{fraction}Z", f"2024-02-29T01:02:03{fraction}+02:00"]
        )
    key = (node.type, node.format)
    return _scalars[key] if key in _scalars else _scalars[node.type, ""]


def unknown_paths(value: Any, node: Node | None, path: str = "") -> set[str]:
    """Returns where a drawn document has unknown fields."""
    found: set[str] = set()
    if node is None:
        return found
    if isinstance(value, list):
        for index, item in enumerate(value):
            found |= unknown_paths(item, node.items, f"{path}[{index}]")
    elif isinstance(value, dict) and node.type == "object":
        for name, item in value.items():
            inner = f"{path}.{name}" if path else name
            if node.fields and name not in node.fields:
                found.add(inner)
            else:
                found |= unknown_paths(item, node.fields.get(name, node.values), inner)
    return found


def root(definition: str) -> Node:
    return schema.builtin().definition(definition)


_any_definition = st.sampled_from(DEFINITIONS)
_settings = settings(
    max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


@_settings
@given(st.data(), _any_definition)
def test_admitting_twice_changes_nothing_more(data: st.DataObject, definition: str) -> None:
    document = data.draw(documents(root(definition), "", DEEPEST, False))
    once = decode.admit(definition, document, "Kind", "v1")
    assert once.unknown == ()
    again = decode.admit(definition, copy.deepcopy(once.document), "Kind", "v1")
    assert again.document == once.document
    assert again.unknown == ()


@_settings
@given(st.data(), _any_definition)
def test_every_unknown_field_is_reported_and_dropped(data: st.DataObject, definition: str) -> None:
    document = data.draw(documents(root(definition), "", DEEPEST, True))
    expected = unknown_paths(document, root(definition))
    admitted = decode.admit(definition, document, "Kind", "v1")
    assert set(admitted.unknown) == expected
    assert unknown_paths(admitted.document, root(definition)) == set()


@_settings
@given(st.data(), _any_definition)
def test_what_is_known_is_kept(data: st.DataObject, definition: str) -> None:
    document = data.draw(documents(root(definition), "", DEEPEST, True))
    clean = copy.deepcopy(document)
    _strip(clean, root(definition))
    wild = decode.admit(definition, document, "Kind", "v1").document
    assert wild == decode.admit(definition, clean, "Kind", "v1").document


def _strip(value: Any, node: Node | None) -> None:
    if node is None:
        return
    if isinstance(value, list):
        for item in value:
            _strip(item, node.items)
    elif isinstance(value, dict) and node.type == "object":
        for name in list(value):
            if node.fields and name not in node.fields:
                del value[name]
            else:
                _strip(value[name], node.fields.get(name, node.values))
