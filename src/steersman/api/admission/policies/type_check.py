"""What is wrong with the expressions of a policy once it is known which kinds it is about.

Pure. Follows apiserver's policy/validating/typechecking.go: a warning is no refusal, since a policy
may be about kinds that are not there yet. Kinds are known where rules name them without wildcards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from steersman.api.admission.asking.composition import Composition
from steersman.cel.declared import declare
from steersman.cel.environment import Environment
from steersman.cel.errors import CompileError
from steersman.cel.types import Type
from steersman.model import schema
from steersman.model.builtin import Registry
from steersman.model.kind import Document, Kind, Version
from steersman.model.schema import Node

# maxTypesToCheck
MOST_KINDS: Final = 10
# What expressions may use in any way: of two types, or of none that is known
_ANYTHING: Final = {"x-kubernetes-int-or-string": True}
_HEAD: Final = {"kind": {"type": "string"}, "apiVersion": {"type": "string"}}
_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_UNTYPED: Final = ("any", "int-or-string", "quantity")


class Served(NamedTuple):
    """A kind in a version."""

    kind: Kind
    version: Version

    def __str__(self) -> str:
        return f"{self.kind.group}/{self.version.name}, Kind={self.kind.name}"


def warnings(policy: Document, kinds: Registry) -> list[Document]:
    """Returns what is to be told of each expression (ExpressionWarning)."""
    return [found for found in steps(policy, kinds) if found is not None]


def steps(policy: Document, kinds: Registry) -> Iterator[Document | None]:
    """Yields the warnings about a policy, and None after each other piece of work: there may be
    thousands of expressions, and others are to have their turns in between."""
    spec = policy.get("spec") or {}
    params = _param_type(spec.get("paramKind"), kinds)
    environments = []
    for one in typed_kinds(spec, kinds):
        environments.append((str(one), _environment(spec, one, params)))
        yield None
    for path, text in _expressions(spec):
        told = [f"{name}: {why}\n" for name, one in environments if (why := _wrong(one, text))]
        yield {"fieldRef": path, "warning": "\n".join(told)} if told else None


def _expressions(spec: Document) -> Iterator[tuple[str, str]]:
    for index, one in enumerate(spec.get("validations") or ()):
        for name in ("expression", "messageExpression"):
            if text := one.get(name):
                yield f"spec.validations[{index}].{name}", text


def _wrong(environment: Environment, text: str) -> str:
    try:
        environment.compile(text)
    except CompileError as error:
        return str(error)
    return ""


def typed_kinds(spec: Document, kinds: Registry) -> list[Served]:
    """Returns the kinds that the rules name, by group, version and kind."""
    rules = (spec.get("matchConstraints") or {}).get("resourceRules") or ()
    found: dict[tuple[str, str, str], Served] = {}
    for rule in rules:
        for count, one in enumerate(_named(rule, kinds), 1):
            found[one.kind.group, one.version.name, one.kind.name] = one
            if count == MOST_KINDS:
                return [found[key] for key in sorted(found)]
    return [found[key] for key in sorted(found)]


def _named(rule: Mapping[str, Any], kinds: Registry) -> Iterator[Served]:
    groups, versions, plurals = (
        sorted(rule.get(name) or ()) for name in ("apiGroups", "apiVersions", "resources")
    )
    if any("*" in text for text in (*groups, *versions)):
        return
    for group in groups:
        for version in versions:
            for plural in plurals:
                kind = None
                if "*" not in plural and "/" not in plural:
                    kind = kinds.by_resource(group, version, plural)
                if kind is not None and (found := kind.version(version)) is not None:
                    yield Served(kind, found)


def _param_type(named: Mapping[str, Any] | None, kinds: Registry) -> Type | None:
    if named is None:
        return None
    group, _, version = (named.get("apiVersion") or "").rpartition("/")
    kind = kinds.by_kind(group, version, named.get("kind") or "")
    found = kind.version(version) if kind is not None else None
    return None if kind is None or found is None else type_of(Served(kind, found))


def _environment(spec: Document, one: Served, params: Type | None) -> Environment:
    own = type_of(one)
    types = {} if own is None else {"object": own, "oldObject": own}
    has_params = spec.get("paramKind") is not None
    if has_params and params is not None:
        types["params"] = params
    variables: Sequence[Mapping[str, Any]] = spec.get("variables") or ()
    return Composition(variables, params=has_params, types=types).environment


def type_of(one: Served) -> Type | None:
    """Returns the type of a kind's objects in a version, None where nothing is known of it."""
    known = schema.builtin().definition
    if one.version.shape is None:
        raw = structure_of(known(one.version.definition))
    else:
        raw = one.version.shape.raw
        fields = {**raw.get("properties", {}), **_HEAD, "metadata": structure_of(known(_META))}
        raw = {**raw, "properties": fields}
    found = declare(raw, one.kind.name)
    return None if found is None else found.type


def structure_of(node: Node, within: tuple[str, ...] = ()) -> Mapping[str, Any]:
    """Returns a definition as a structural schema, its parts in place; what holds itself is
    anything from there on."""
    if node.type in _UNTYPED or node.definition in within:
        return _ANYTHING
    inner = (*within, node.definition) if node.definition else within
    if node.type == "array":
        items = structure_of(node.items, inner) if node.items is not None else _ANYTHING
        return {"type": "array", "items": items}
    if node.type != "object":
        return {"type": node.type, **({"format": node.format} if node.format else {})}
    if node.values is not None:
        return {"type": "object", "additionalProperties": structure_of(node.values, inner)}
    if not node.fields:
        return _ANYTHING
    fields = {name: structure_of(child, inner) for name, child in node.fields.items()}
    return {"type": "object", "properties": fields, "required": list(node.required)}
