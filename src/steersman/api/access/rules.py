"""RBAC policy rules as values: matching a request, covering other rules, printing them.

Pure; follows upstream's pkg/apis/rbac/v1/evaluation_helpers and component-helpers' rbac
validation. Knows nothing of roles or bindings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from steersman.api.access.authorization import Attributes, quoted_list

ALL = "*"


class Rule(NamedTuple):
    """One PolicyRule."""

    verbs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The compact form of refusals (rbacv1helpers.CompactString)."""
        parts = (
            ("APIGroups", self.groups),
            ("Resources", self.resources),
            ("NonResourceURLs", self.urls),
            ("ResourceNames", self.names),
            ("Verbs", self.verbs),
        )
        return (
            "{" + ", ".join(f"{name}:{quoted_list(value)}" for name, value in parts if value) + "}"
        )


EVERYTHING = (
    Rule(verbs=(ALL,), groups=(ALL,), resources=(ALL,)),
    Rule(verbs=(ALL,), urls=(ALL,)),
)


def parse(document: Mapping[str, Any]) -> Rule:
    """Reads one entry of a role's `rules`."""
    return Rule(
        tuple(document.get("verbs") or ()),
        tuple(document.get("apiGroups") or ()),
        tuple(document.get("resources") or ()),
        tuple(document.get("resourceNames") or ()),
        tuple(document.get("nonResourceURLs") or ()),
    )


def parse_all(documents: Iterable[Mapping[str, Any]] | None) -> tuple[Rule, ...]:
    """Reads a role's `rules`, which may be null."""
    return tuple(parse(document) for document in documents or ())


def matches(rule: Rule, attributes: Attributes) -> bool:
    """Says whether a rule allows a request."""
    if not attributes.is_resource:
        return _has(rule.verbs, attributes.verb) and matches_url(rule, attributes.path)
    return matches_resource(rule, attributes) and (
        not rule.names or attributes.object_name in rule.names
    )


def matches_resource(rule: Rule, attributes: Attributes) -> bool:
    """Says whether a rule allows a verb on a resource, for some name at least."""
    return (
        _has(rule.verbs, attributes.verb)
        and _has(rule.groups, attributes.group)
        and _has_resource(rule.resources, attributes.combined, attributes.subresource)
    )


def matches_url(rule: Rule, path: str) -> bool:
    """Says whether a rule names a non-resource path."""
    return any(_covers_url(url, path) for url in rule.urls)


def _has(values: Sequence[str], value: str) -> bool:
    return value in values or ALL in values


def _has_resource(values: Sequence[str], combined: str, subresource: str) -> bool:
    if _has(values, combined):
        return True
    return bool(subresource) and f"*/{subresource}" in values


def _covers_url(owned: str, wanted: str) -> bool:
    if owned in (ALL, wanted):
        return True
    return owned.endswith(ALL) and wanted.startswith(owned.rstrip(ALL))


def missing(owned: Sequence[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """Returns the parts of the wanted rules that the owned ones do not cover, broken down to one
    group, resource, verb and name each (validation.Covers)."""
    parts = (part for rule in wanted for part in break_down(rule))
    return [part for part in parts if not any(covers(rule, part) for rule in owned)]


def break_down(rule: Rule) -> Iterable[Rule]:
    """Yields the smallest rules that together say the same."""
    for group in rule.groups:
        for resource in rule.resources:
            for verb in rule.verbs:
                whole = Rule((verb,), (group,), (resource,))
                yield from (whole._replace(names=(name,)) for name in rule.names or ())
                if not rule.names:
                    yield whole
    for url in rule.urls:
        for verb in rule.verbs:
            yield Rule((verb,), urls=(url,))


def covers(owned: Rule, part: Rule) -> bool:
    """Says whether one rule allows all that a broken-down part allows."""
    if not _all_in(owned.verbs, part.verbs):
        return False
    if part.urls:
        return all(any(_covers_url(url, wanted) for url in owned.urls) for wanted in part.urls)
    if not _all_in(owned.groups, part.groups) or not _resources_in(owned, part):
        return False
    return not owned.names or (bool(part.names) and set(part.names) <= set(owned.names))


def _all_in(owned: Sequence[str], wanted: Sequence[str]) -> bool:
    return ALL in owned or set(wanted) <= set(owned)


def _resources_in(owned: Rule, part: Rule) -> bool:
    return all(
        _has_resource(owned.resources, wanted, wanted.partition("/")[2])
        for wanted in part.resources
    )


def compact(rules: Iterable[Rule]) -> list[Rule]:
    """Joins the verbs of rules for one group, resource and name (validation.CompactRules)."""
    verbs: dict[Rule, list[str]] = {}
    for rule in rules:
        verbs.setdefault(rule._replace(verbs=()), []).extend(rule.verbs)
    joined: list[Rule] = []
    for rest, found in verbs.items():
        if rest.urls:  # upstream joins resource rules only
            joined.extend(rest._replace(verbs=(verb,)) for verb in found)
        else:
            joined.append(rest._replace(verbs=tuple(found)))
    return joined


def document(rule: Rule) -> dict[str, list[str]]:
    """Returns a rule as it stands in a role; empty fields are left out."""
    fields = {
        "apiGroups": rule.groups,
        "nonResourceURLs": rule.urls,
        "resourceNames": rule.names,
        "resources": rule.resources,
    }
    written = {name: list(value) for name, value in fields.items() if value}
    return {**written, "verbs": list(rule.verbs)}
