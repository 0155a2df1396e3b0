"""What is checked of FlowSchemas and PriorityLevelConfigurations (pkg/apis/flowcontrol/validation),
and the specs of those that nobody may change."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

from steersman.model import names
from steersman.model.causes import (
    duplicate,
    each,
    forbidden,
    invalid,
    not_supported,
    required,
)
from steersman.model.errors import Cause
from steersman.model.kind import Document

_DISTINGUISHERS: Final = ("ByNamespace", "ByUser")
_LEVEL_TYPES: Final = ("Exempt", "Limited")
_RESPONSES: Final = ("Queue", "Reject")
_VERBS: Final = (
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "proxy",
    "update",
    "watch",
)
# kind of a subject -> the field that names it, sorted by kind
_SUBJECTS: Final = {"Group": "group", "ServiceAccount": "serviceAccount", "User": "user"}
# in which order upstream looks for fields of other kinds
_OTHERS: Final = ("ServiceAccount", "User", "Group")
_LAST_PRECEDENCE: Final = 10_000
_MOST_QUEUES: Final = 10_000_000
_MOST_HASH_BITS: Final = 60
_NAMESPACE: Final = "each member of this list must be '*' or a DNS-1123 label; "
_NOT_NEGATIVE: Final = "must be a non-negative integer"
_EVERYTHING: Final[Document] = {
    "resourceRules": [
        {
            "verbs": ["*"],
            "apiGroups": ["*"],
            "resources": ["*"],
            "clusterScope": True,
            "namespaces": ["*"],
        }
    ],
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
}


def _group(name: str) -> Document:
    return {"kind": "Group", "group": {"name": name}}


FIXED_SCHEMAS: Final[dict[str, Document]] = {
    "exempt": {
        "priorityLevelConfiguration": {"name": "exempt"},
        "matchingPrecedence": 1,
        "rules": [{"subjects": [_group("system:masters")], **_EVERYTHING}],
    },
    "catch-all": {
        "priorityLevelConfiguration": {"name": "catch-all"},
        "matchingPrecedence": _LAST_PRECEDENCE,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [
            {
                "subjects": [
                    _group("system:unauthenticated"),
                    _group("system:authenticated"),
                ],
                **_EVERYTHING,
            }
        ],
    },
}
FIXED_LEVEL: Final[Document] = {
    "type": "Limited",
    "limited": {
        "nominalConcurrencyShares": 5,
        "lendablePercent": 0,
        "limitResponse": {"type": "Reject"},
    },
}


def _internal(value: Any) -> Any:
    """Returns what is given of a document under Go's names, as messages show internal types."""
    if isinstance(value, dict):
        return {name[0].upper() + name[1:]: _internal(one) for name, one in value.items()}
    return [_internal(one) for one in value] if isinstance(value, list) else value


def check_schema(spec: Document, name: str) -> Iterator[Cause]:
    """Yields what is wrong with the spec of a FlowSchema of a name."""
    precedence, path = spec.get("matchingPrecedence", 0), "spec.matchingPrecedence"
    if precedence <= 0:
        yield invalid(path, precedence, "must be a positive value")
    if precedence > _LAST_PRECEDENCE:
        yield invalid(path, precedence, f"must not be greater than {_LAST_PRECEDENCE}")
    if precedence == 1 and name != "exempt":
        detail = "only the schema named 'exempt' may have matchingPrecedence 1"
        yield invalid(path, precedence, detail)
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type") not in _DISTINGUISHERS:
        yield not_supported("spec.distinguisherMethod.type", _internal(method), _DISTINGUISHERS)
    level = (spec.get("priorityLevelConfiguration") or {}).get("name", "")
    path = "spec.priorityLevelConfiguration.name"
    if not level:
        yield required(path, "must reference a priority level")
    else:
        yield from each(path, level, names.dns1123_subdomain(level))
    for index, rule in enumerate(spec.get("rules") or ()):
        yield from _check_rule(rule, f"spec.rules[{index}]")
    if name in FIXED_SCHEMAS and spec != FIXED_SCHEMAS[name]:
        yield invalid("spec", _internal(spec), f"spec of '{name}' must equal the fixed value")


def _check_rule(rule: Document, path: str) -> Iterator[Cause]:
    subjects = rule.get("subjects") or ()
    if not subjects:
        yield required(f"{path}.subjects", "subjects must contain at least one value")
    for index, subject in enumerate(subjects):
        yield from _check_subject(subject, f"{path}.subjects[{index}]")
    resources, others = rule.get("resourceRules") or (), rule.get("nonResourceRules") or ()
    if not resources and not others:
        detail = "at least one of resourceRules and nonResourceRules has to be non-empty"
        yield required(path, detail)
    for index, one in enumerate(resources):
        yield from _check_resources(one, f"{path}.resourceRules[{index}]")
    for index, one in enumerate(others):
        yield from _check_paths(one, f"{path}.nonResourceRules[{index}]")


def _check_subject(subject: Document, path: str) -> Iterator[Cause]:
    kind = subject.get("kind", "")
    if kind not in _SUBJECTS:
        yield not_supported(f"{path}.kind", kind, tuple(_SUBJECTS))
        return
    field = _SUBJECTS[kind]
    found, where = subject.get(field), f"{path}.{field}"
    if found is None:
        yield required(where, f"{field} is required when subject kind is '{kind}'")
    elif kind == "ServiceAccount":
        yield from _check_account(found, where)
    elif not found.get("name"):
        yield required(f"{where}.name")
    for other in _OTHERS:
        field = _SUBJECTS[other]
        if other != kind and subject.get(field) is not None:
            detail = f"{field} is forbidden when subject kind is not '{other}'"
            yield forbidden(f"{path}.{field}", detail)


def _check_account(account: Document, path: str) -> Iterator[Cause]:
    name, namespace = account.get("name", ""), account.get("namespace", "")
    if not name:
        yield required(f"{path}.name")
    elif name != "*":
        yield from each(f"{path}.name", name, names.dns1123_subdomain(name))
    if not namespace:
        yield required(f"{path}.namespace", "must specify namespace for service account")
    else:
        yield from each(f"{path}.namespace", namespace, names.dns1123_label(namespace))


def _check_verbs(rule: Document, path: str) -> Iterator[Cause]:
    verbs: list[str] = rule.get("verbs") or []
    if not verbs:
        yield required(f"{path}.verbs", "verbs must contain at least one value")
    elif "*" in verbs:
        yield from _check_alone(verbs, f"{path}.verbs", "verbs")
    elif not set(verbs) <= set(_VERBS):
        yield not_supported(f"{path}.verbs", verbs, _VERBS)


def _check_alone(found: list[str], path: str, words: str) -> Iterator[Cause]:
    if "*" in found and len(found) > 1:
        yield invalid(path, found, f"if '*' is present, must not specify other {words}")


def _check_resources(rule: Document, path: str) -> Iterator[Cause]:
    yield from _check_verbs(rule, path)
    for name, one, all_of in (
        ("apiGroups", "api group", "api groups"),
        ("resources", "resource", "resources"),
    ):
        found = rule.get(name) or []
        if not found:
            yield required(f"{path}.{name}", f"resource rules must supply at least one {one}")
        yield from _check_alone(found, f"{path}.{name}", all_of)
    found, where = rule.get("namespaces") or [], f"{path}.namespaces"
    if not found and not rule.get("clusterScope"):
        detail = "resource rules that are not cluster scoped must supply at least one namespace"
        yield required(where, detail)
    yield from _check_alone(found, where, "namespaces")
    for index, name in enumerate(() if "*" in found else found):
        problems = [_NAMESPACE + problem for problem in names.dns1123_label(name)]
        yield from each(f"{where}[{index}]", name, problems)


def _check_paths(rule: Document, path: str) -> Iterator[Cause]:
    yield from _check_verbs(rule, path)
    found, where = rule.get("nonResourceURLs") or [], f"{path}.nonResourceURLs"
    if not found:
        yield required(where, "nonResourceURLs must contain at least one value")
    yield from _check_alone(found, where, "non-resource URLs")
    for index, one in enumerate(() if "*" in found else found):
        yield from each(f"{where}[{index}]", one, _path_problems(one))


def _path_problems(path: str) -> list[str]:
    if not path:
        return ["must not be empty"]
    if not path.startswith("/"):
        return ["must start with slash"]
    if " " in path:
        return ["must not contain white-space"]
    if "//" in path:
        return ["must not contain double slash"]
    misplaced = path.count("*") > 1 or ("*" in path and not path.endswith("/*"))
    return ["wildcard can only do suffix matching"] if misplaced else []


def check_level(spec: Document, name: str) -> Iterator[Cause]:
    """Yields what is wrong with the spec of a PriorityLevelConfiguration of a name."""
    kind, limited, exempt = spec.get("type", ""), spec.get("limited"), spec.get("exempt")
    if (name == "exempt") != (kind == "Exempt"):
        detail = "type must be 'Exempt' if and only if name is 'exempt'"
        yield invalid("spec.type", kind, detail)
    if kind == "Exempt":
        yield from _check_shares(exempt or {}, "spec.exempt")
    elif kind == "Limited":
        if limited is not None:
            yield from _check_limited(limited, "spec.limited")
    elif kind:
        yield not_supported("spec.type", kind, _LEVEL_TYPES)
    if name == "catch-all" and spec != FIXED_LEVEL:
        yield invalid("spec", _internal(spec), f"spec of '{name}' must equal the fixed value")
    if name == "exempt" and (kind != "Exempt" or limited is not None):
        detail = "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value"
        yield invalid("spec", _internal(spec), detail)
    yield from _check_declared(kind, limited, exempt)


def _check_declared(
    kind: str, limited: Document | None, exempt: Document | None
) -> Iterator[Cause]:
    """Yields what upstream's types declare, which is told last and in no words of its own."""
    if exempt is not None and kind != "Exempt":
        yield forbidden("spec.exempt", "")
    yield from _check_mode("spec.limited", limited is not None, kind == "Limited")
    if not kind:
        yield required("spec.type")
    if limited is not None:
        response = limited.get("limitResponse") or {}
        path, answer = "spec.limited.limitResponse", response.get("type", "")
        is_given = response.get("queuing") is not None
        yield from _check_mode(f"{path}.queuing", is_given, answer == "Queue")
        if not answer:
            yield required(f"{path}.type")


def _check_mode(path: str, is_given: bool, is_wanted: bool) -> Iterator[Cause]:
    if is_given and not is_wanted:
        yield forbidden(path, "")
    elif is_wanted and not is_given:
        yield required(path)


def _check_shares(found: Document, path: str) -> Iterator[Cause]:
    shares, percent = found.get("nominalConcurrencyShares"), found.get("lendablePercent")
    if shares is not None and shares < 0:
        yield invalid(f"{path}.nominalConcurrencyShares", shares, _NOT_NEGATIVE)
    if percent is not None and not 0 <= percent <= 100:
        detail = "must be between 0 and 100, inclusive"
        yield invalid(f"{path}.lendablePercent", percent, detail)


def _check_limited(limited: Document, path: str) -> Iterator[Cause]:
    shares = limited.get("nominalConcurrencyShares")
    yield from _check_shares({"nominalConcurrencyShares": shares}, path)
    yield from _check_response(limited.get("limitResponse") or {}, f"{path}.limitResponse")
    yield from _check_shares({"lendablePercent": limited.get("lendablePercent")}, path)
    borrowed = limited.get("borrowingLimitPercent")
    if borrowed is not None and borrowed < 0:
        detail = f"if specified, {_NOT_NEGATIVE}"
        yield invalid(f"{path}.borrowingLimitPercent", borrowed, detail)


def _check_response(response: Document, path: str) -> Iterator[Cause]:
    kind, queuing = response.get("type", ""), response.get("queuing")
    if kind and kind not in _RESPONSES:
        yield not_supported(f"{path}.type", kind, _RESPONSES)
    elif kind == "Queue" and queuing is not None:
        yield from _check_queues(queuing, f"{path}.queuing")


def _check_queues(queuing: Document, path: str) -> Iterator[Cause]:
    length, queues, hand = (
        queuing.get(name, 0) for name in ("queueLengthLimit", "queues", "handSize")
    )
    if length <= 0:
        yield invalid(f"{path}.queueLengthLimit", length, "must be positive")
    if queues <= 0:
        yield invalid(f"{path}.queues", queues, "must be positive")
    elif queues > _MOST_QUEUES:
        yield invalid(f"{path}.queues", queues, f"must not be greater than {_MOST_QUEUES}")
    if hand <= 0:
        yield invalid(f"{path}.handSize", hand, "must be positive")
    elif hand > queues:
        yield invalid(f"{path}.handSize", hand, f"should not be greater than queues ({queues})")
    elif math.ceil(math.log2(queues) * hand) > _MOST_HASH_BITS:
        detail = (
            f"required entropy bits of deckSize {queues} and handSize {hand} should not be "
            f"greater than {_MOST_HASH_BITS}"
        )
        yield invalid(f"{path}.handSize", hand, detail)


def check_status(conditions: Sequence[Document], path: str) -> Iterator[Cause]:
    """Yields what is wrong with the conditions of either kind."""
    seen: set[str] = set()
    for index, condition in enumerate(conditions):
        where, kind = f"{path}[{index}].type", condition.get("type", "")
        if kind in seen:
            yield duplicate(where, kind)
        seen.add(kind)
        if not kind:
            yield required(where, "must not be empty")
