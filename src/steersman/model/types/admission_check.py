"""What is checked of the rules and conditions by which webhooks and policies of admission choose
requests (pkg/apis/admissionregistration/validation). Expressions are not compiled here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from steersman.model import names
from steersman.model.causes import (
    duplicate,
    each,
    invalid,
    not_supported,
    required,
    too_many,
)
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.types.selector import check_selector

OPERATIONS: Final = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
FAILURE_POLICIES: Final = ("Fail", "Ignore")
MATCH_POLICIES: Final = ("Equivalent", "Exact")
_SCOPES: Final = ("*", "Cluster", "Namespaced")
_MOST_CONDITIONS: Final = 64
_ALONE: Final = "if '*' is present, must not specify other"
# What ends so comes from files (staticManifestsDir), not over the API
_STATIC_SUFFIX: Final = ".static.k8s.io"
_RESERVED: Final = (
    f'names ending with "{_STATIC_SUFFIX}" are reserved for static manifest-based configurations '
    "and cannot be managed via the API"
)


def check_unreserved(new: Document, old: Document | None) -> Iterator[Cause]:
    """Yields whether a new object has a name of those that come from files (ValidateStaticSuffix);
    one that has it already is told of."""
    name = (new.get("metadata") or {}).get("name") or ""
    if old is None and name.endswith(_STATIC_SUFFIX):
        yield invalid("metadata.name", name, _RESERVED)


def warn_of_reserved(new: Document, old: Document | None, _subresource: str) -> Iterator[str]:
    """Yields what the writer of an old object with such a name is told."""
    name = (new.get("metadata") or {}).get("name") or ""
    if old is not None and name.endswith(_STATIC_SUFFIX):
        yield f"metadata.name: {_RESERVED}"


def check_choice(
    document: Document, name: str, supported: Sequence[str], path: str
) -> Iterator[Cause]:
    """Yields whether a field is given and not one of the supported values."""
    value = document.get(name)
    if value is not None and value not in supported:
        yield not_supported(f"{path}.{name}", value, supported)


def check_rule(rule: Document, path: str) -> Iterator[Cause]:
    """Yields what is wrong with a rule."""
    operations = rule.get("operations") or []
    yield from _check_wildcard(operations, f"{path}.operations", "operations")
    for index, operation in enumerate(operations):
        if operation not in OPERATIONS:
            yield not_supported(f"{path}.operations[{index}]", operation, OPERATIONS)
    yield from _check_wildcard(rule.get("apiGroups") or [], f"{path}.apiGroups", "API groups")
    versions = rule.get("apiVersions") or []
    yield from _check_wildcard(versions, f"{path}.apiVersions", "API versions")
    for index, version in enumerate(versions):
        if not version:
            yield required(f"{path}.apiVersions[{index}]")
    yield from _check_resources(rule.get("resources") or [], f"{path}.resources")
    yield from check_choice(rule, "scope", _SCOPES, path)


def _check_wildcard(found: list[str], path: str, words: str) -> Iterator[Cause]:
    if not found:
        yield required(path)
    if len(found) > 1 and "*" in found:
        yield invalid(path, found, f"{_ALONE} {words}")


def _check_resources(found: list[str], path: str) -> Iterator[Cause]:
    if not found:
        yield required(path)
    parents: set[str] = set()  # of x/*
    children: set[str] = set()  # of */x
    bare = False
    for index, name in enumerate(found):
        parent, slash, child = name.partition("/")
        if not name:
            yield required(f"{path}[{index}]")
        elif not slash:
            bare = name != "*"  # upstream asks the last one only
        else:
            for known, shown in (
                (parent in parents, f"{parent}/*"),
                (child in children, f"*/{child}"),
            ):
                if known:
                    detail = f"if '{shown}' is present, must not specify {name}"
                    yield invalid(f"{path}[{index}]", name, detail)
            parents |= {parent} if child == "*" else set()
            children |= {child} if parent == "*" else set()
    if len(found) > 1 and "*/*" in found:
        yield invalid(path, found, "if '*/*' is present, must not specify other resources")
    if "*" in found and bare:
        yield invalid(path, found, f"{_ALONE} resources without subresources")


def check_conditions(conditions: Sequence[Document], path: str) -> Iterator[Cause]:
    """Yields what is wrong with match conditions but for the expressions themselves."""
    if len(conditions) > _MOST_CONDITIONS:
        yield too_many(path, len(conditions), _MOST_CONDITIONS)
    seen: set[str] = set()
    for index, one in enumerate(conditions):
        where, name = f"{path}[{index}]", one.get("name", "")
        if not one.get("expression", "").strip():
            yield required(f"{where}.expression")
        if not name:
            yield required(f"{where}.name")
            continue
        yield from each(f"{where}.name", name, names.qualified_name(name))
        if name in seen:
            yield duplicate(f"{where}.name", name)
        seen.add(name)


def check_match(found: Document, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the requests that a policy is about."""
    if found.get("matchPolicy") is None:
        yield required(f"{path}.matchPolicy")
    yield from check_choice(found, "matchPolicy", MATCH_POLICIES, path)
    for name in ("namespaceSelector", "objectSelector"):
        if found.get(name) is None:
            yield required(f"{path}.{name}")
        yield from check_selector(found.get(name), f"{path}.{name}")
    for name in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(found.get(name) or ()):
            yield from _check_named_rule(rule, f"{path}.{name}[{index}]")


def _check_named_rule(rule: Document, path: str) -> Iterator[Cause]:
    found = rule.get("resourceNames") or ()
    for index, name in enumerate(found):
        where = f"{path}.resourceNames[{index}]"
        yield from each(where, name, names.path_segment(name))
        if name in found[:index]:
            yield duplicate(where, name)
    yield from check_rule(rule, path)
