"""Which requests a FlowSchema is about.

Pure. Follows apiserver's util/flowcontrol/rule.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from steersman.api.access.authorization import Attributes
from steersman.model.kind import Document
from steersman.wire.message import User

ALL: Final = "*"
_ACCOUNT: Final = "system:serviceaccount:"


class Schema(msgspec.Struct, frozen=True):
    """A FlowSchema as requests are held against it; `uid` is empty where it is not stored."""

    name: str
    uid: str
    precedence: int
    level: str
    method: str
    rules: tuple[Document, ...]


def parse(document: Document) -> Schema:
    """Returns a FlowSchema's document as a schema."""
    metadata, spec = document["metadata"], document["spec"]
    return Schema(
        metadata["name"],
        metadata.get("uid", ""),
        spec.get("matchingPrecedence", 1000),
        spec["priorityLevelConfiguration"]["name"],
        (spec.get("distinguisherMethod") or {}).get("type", ""),
        tuple(spec.get("rules") or ()),
    )


def matches(schema: Schema, user: User, asked: Attributes) -> bool:
    """Says whether a schema is about a request."""
    return any(_matches(rule, user, asked) for rule in schema.rules)


def _matches(rule: Document, user: User, asked: Attributes) -> bool:
    if not any(_is_subject(subject, user) for subject in rule.get("subjects") or ()):
        return False
    if asked.is_resource:
        return any(_is_resource(one, asked) for one in rule.get("resourceRules") or ())
    return any(_is_path(one, asked) for one in rule.get("nonResourceRules") or ())


def _is_subject(subject: Document, user: User) -> bool:
    kind = subject["kind"]
    if kind == "User":
        return subject["user"]["name"] in (ALL, user.name)
    if kind == "Group":
        name = subject["group"]["name"]
        return name == ALL or name in user.groups
    account = subject["serviceAccount"]
    prefix = f"{_ACCOUNT}{account['namespace']}:"
    return user.name.startswith(prefix) and account["name"] in (ALL, user.name[len(prefix) :])


def _is_resource(rule: Document, asked: Attributes) -> bool:
    if not (
        _is_in(asked.verb, rule["verbs"])
        and _is_in(asked.combined, rule["resources"])
        and _is_in(asked.group, rule["apiGroups"])
    ):
        return False
    if not asked.namespace:
        return bool(rule.get("clusterScope"))
    return _is_in(asked.namespace, rule.get("namespaces") or ())


def _is_path(rule: Document, asked: Attributes) -> bool:
    if not _is_in(asked.verb, rule["verbs"]):
        return False
    return any(_is_below(asked.path, one) for one in rule["nonResourceURLs"])


def _is_below(path: str, wanted: str) -> bool:
    """Says whether a path is the wanted one or stands under it; a star at its end changes
    nothing."""
    if wanted in (ALL, path):
        return True
    return path.startswith(wanted.removesuffix(ALL).removesuffix("/") + "/")


def _is_in(value: str, allowed: Iterable[str]) -> bool:
    return value in allowed or ALL in allowed


def in_order(schemas: Iterable[Schema]) -> Sequence[Schema]:
    """Returns schemas as they are tried: by precedence, then by name."""
    return sorted(schemas, key=lambda schema: (schema.precedence, schema.name))
