"""What is checked of affinity, tolerations, taints and spreading (pkg/apis/core/validation)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

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
from steersman.model.types.selector import check_requirement, check_selector

_EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_INCLUSION: Final = ("Honor", "Ignore")
_UNSATISFIABLE: Final = ("DoNotSchedule", "ScheduleAnyway")
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"


class Selected(NamedTuple):
    """Of what selects something in a pod's spec it is checked whether labels can have its values;
    of spread constraints the selectors are checked at all."""

    neighbours: bool = True
    nodes: bool = True
    spread: bool = True


SOUND: Final = Selected()


def sound_selections(spec: Document) -> Selected:
    """Returns what of a spec from before an update was sound: what was not may be so afterwards
    (AllowInvalidLabelValueInSelector, AllowInvalidLabelValueInRequiredNodeAffinity and
    AllowInvalidTopologySpreadConstraintLabelSelector)."""
    affinity, path = spec.get("affinity") or {}, "spec"
    required_terms = ((affinity.get("nodeAffinity") or {}).get(_REQUIRED) or {}).get(
        "nodeSelectorTerms"
    )
    values = (
        value
        for term in required_terms or ()
        for one in term.get("matchExpressions") or ()
        for value in one.get("values") or ()
    )
    constraints = spec.get("topologySpreadConstraints") or ()
    return Selected(
        not any(_check_selectors(term, path, True) for term in _terms(affinity)),
        not any(names.label_value(value) for value in values),
        not any(list(check_selector(one.get("labelSelector"), path)) for one in constraints),
    )


def _terms(affinity: Document) -> Iterator[Document]:
    for name in ("podAffinity", "podAntiAffinity"):
        found = affinity.get(name) or {}
        yield from found.get(_REQUIRED) or ()
        yield from (one.get("podAffinityTerm") or {} for one in found.get(_PREFERRED) or ())


def _check_selectors(term: Document, path: str, check_values: bool) -> list[Cause]:
    return [
        cause
        for name in ("labelSelector", "namespaceSelector")
        for cause in check_selector(term.get(name), f"{path}.{name}", check_values=check_values)
    ]


def check_affinity(affinity: Document, path: str, selected: Selected = SOUND) -> Iterator[Cause]:
    """Yields what is wrong with the affinity of a pod."""
    if (found := affinity.get("nodeAffinity")) is not None:
        yield from _check_node_affinity(found, f"{path}.nodeAffinity", selected)
    for name in ("podAffinity", "podAntiAffinity"):
        if (found := affinity.get(name)) is not None:
            yield from _check_pod_affinity(found, f"{path}.{name}", selected)


def _check_node_affinity(affinity: Document, path: str, selected: Selected) -> Iterator[Cause]:
    if (selector := affinity.get(_REQUIRED)) is not None:
        where = f"{path}.{_REQUIRED}"
        yield from check_node_selector(selector, where, check_values=selected.nodes)
    for index, term in enumerate(affinity.get(_PREFERRED) or ()):
        where = f"{path}.{_PREFERRED}[{index}]"
        yield from _check_weight(term, where)
        preference = term.get("preference") or {}
        yield from _check_term(preference, f"{where}.preference", check_values=False)


def _check_weight(term: Document, path: str) -> Iterator[Cause]:
    weight = term.get("weight", 0)
    if not 0 < weight <= 100:
        yield invalid(f"{path}.weight", weight, "must be in the range 1-100")


def check_node_selector(
    selector: Document, path: str, *, check_values: bool = True
) -> Iterator[Cause]:
    """Yields what is wrong with the terms of a node selector."""
    terms = selector.get("nodeSelectorTerms") or ()
    if not terms:
        detail = "must have at least one node selector term"
        yield required(f"{path}.nodeSelectorTerms", detail)
    for index, term in enumerate(terms):
        where = f"{path}.nodeSelectorTerms[{index}]"
        yield from _check_term(term, where, check_values=check_values)


def _check_term(term: Document, path: str, *, check_values: bool) -> Iterator[Cause]:
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        where = f"{path}.matchExpressions[{index}]"
        yield from check_requirement(expression, where, numeric=True, check_values=check_values)
    for index, expression in enumerate(term.get("matchFields") or ()):
        yield from _check_field(expression, f"{path}.matchFields[{index}]")


def _check_field(expression: Document, path: str) -> Iterator[Cause]:
    operator, values = expression.get("operator", ""), expression.get("values") or ()
    if operator not in ("In", "NotIn"):
        yield invalid(f"{path}.operator", operator, "not a valid selector operator")
    elif len(values) != 1:
        detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        yield required(f"{path}.values", detail)
    key = expression.get("key", "")
    if key != "metadata.name":
        yield invalid(f"{path}.key", key, "not a valid field selector key")
        return
    for index, value in enumerate(values):
        yield from each(f"{path}.values[{index}]", value, names.dns1123_subdomain(value))


def _check_pod_affinity(affinity: Document, path: str, selected: Selected) -> Iterator[Cause]:
    for index, term in enumerate(affinity.get(_REQUIRED) or ()):
        yield from _check_pod_term(term, f"{path}.{_REQUIRED}[{index}]", selected)
    for index, weighted in enumerate(affinity.get(_PREFERRED) or ()):
        where = f"{path}.{_PREFERRED}[{index}]"
        yield from _check_weight(weighted, where)
        term = weighted.get("podAffinityTerm") or {}
        yield from _check_pod_term(term, f"{where}.podAffinityTerm", selected)


def _check_pod_term(term: Document, path: str, selected: Selected) -> Iterator[Cause]:
    yield from _check_selectors(term, path, selected.neighbours)
    for namespace in term.get("namespaces") or ():
        yield from each(f"{path}.namespace", namespace, names.dns1123_label(namespace))
    yield from _check_label_keys(term, path)
    yield from _check_topology_key(term, path)


def _check_label_keys(term: Document, path: str) -> Iterator[Cause]:
    selector = term.get("labelSelector")
    for name in ("matchLabelKeys", "mismatchLabelKeys"):
        keys = term.get(name) or ()
        if keys and selector is None:
            yield forbidden(f"{path}.{name}", "must not be specified when labelSelector is not set")
            continue
        for index, key in enumerate(keys):
            yield from each(f"{path}.{name}[{index}]", key, names.qualified_name(key))
    yield from _check_label_keys_once(term, selector or {}, path)


def _check_label_keys_once(term: Document, selector: Document, path: str) -> Iterator[Cause]:
    """Yields the keys that are said twice; of a pod's keys the selector has one expression each by
    now (ValidateMatchLabelKeysAndMismatchLabelKeys, whose paths lack the field's name)."""
    keys, others = term.get("matchLabelKeys") or (), term.get("mismatchLabelKeys") or ()
    places = {key: index for index, key in enumerate(keys)}
    seen = set(selector.get("matchLabels") or ())
    for expression in selector.get("matchExpressions") or ():
        key = expression.get("key", "")
        if key in places and key in seen:
            detail = "exists in both matchLabelKeys and labelSelector"
            yield invalid(f"{path}[{places[key]}]", key, detail)
        seen.add(key)
    for index, key in enumerate(keys):
        if key in others:
            detail = "exists in both matchLabelKeys and mismatchLabelKeys"
            yield invalid(f"{path}.matchLabelKeys[{index}]", key, detail)


def _check_topology_key(document: Document, path: str) -> Iterator[Cause]:
    key = document.get("topologyKey", "")
    if not key:
        yield required(f"{path}.topologyKey", "can not be empty")
    yield from each(f"{path}.topologyKey", key, names.qualified_name(key))


def check_tolerations(tolerations: Sequence[Document], path: str) -> Iterator[Cause]:
    """Yields what is wrong with tolerations."""
    for index, toleration in enumerate(tolerations):
        yield from _check_toleration(toleration, f"{path}[{index}]")


def _check_toleration(toleration: Document, path: str) -> Iterator[Cause]:
    key, value = toleration.get("key", ""), toleration.get("value", "")
    operator, effect = toleration.get("operator", ""), toleration.get("effect", "")
    where = f"{path}.operator"
    if key:
        yield from each(f"{path}.key", key, names.qualified_name(key))
    elif operator != "Exists":
        detail = 'operator must be Exists when `key` is empty, which means "match all values and '
        yield invalid(where, operator, f'{detail}all keys"')
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        yield invalid(f"{path}.effect", effect, detail)
    if operator in ("Equal", ""):
        if problems := names.label_value(value):
            yield invalid(where, value, ";".join(problems))
    elif operator == "Exists":
        if value:
            yield invalid(where, value, "value must be empty when `operator` is 'Exists'")
    else:
        yield not_supported(where, operator, ("Equal", "Exists"))
    if effect and effect not in _EFFECTS:
        yield not_supported(f"{path}.effect", effect, _EFFECTS)


def check_taints(taints: Sequence[Document], path: str) -> Iterator[Cause]:
    """Yields what is wrong with the taints of a node."""
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        where = f"{path}[{index}]"
        key, value, effect = (taint.get(name, "") for name in ("key", "value", "effect"))
        yield from each(f"{where}.key", key, names.qualified_name(key))
        if problems := names.label_value(value):
            yield invalid(f"{where}.value", value, ";".join(problems))
        if not effect:
            yield required(f"{where}.effect")
        elif effect not in _EFFECTS:
            yield not_supported(f"{where}.effect", effect, _EFFECTS)
        if (key, effect) in seen:
            yield duplicate(where, taint, "taints must be unique by key and effect pair")
        seen.add((key, effect))


def check_spread(
    constraints: Sequence[Document], path: str, *, selectors: bool = True
) -> Iterator[Cause]:
    """Yields what is wrong with topology spread constraints, and with their `selectors`."""
    pairs = [(one.get("topologyKey", ""), one.get("whenUnsatisfiable", "")) for one in constraints]
    for index, constraint in enumerate(constraints):
        where = f"{path}[{index}]"
        skew, action = constraint.get("maxSkew", 0), constraint.get("whenUnsatisfiable", "")
        if skew <= 0:
            yield invalid(f"{where}.maxSkew", skew, "must be greater than zero")
        yield from _check_topology_key(constraint, where)
        if action not in _UNSATISFIABLE:
            yield not_supported(f"{where}.whenUnsatisfiable", action, _UNSATISFIABLE)
        if pairs[index] in pairs[index + 1 :]:  # upstream names the earlier one
            text = f"{{{', '.join(pairs[index])}}}"
            yield duplicate(f"{where}.{{topologyKey, whenUnsatisfiable}}", text)
        yield from _check_domains(constraint, where, action)
        for name in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            policy = constraint.get(name)
            if policy is not None and policy not in _INCLUSION:
                yield not_supported(f"{where}.{name}", policy, _INCLUSION)
        yield from _check_label_keys(constraint, where)
        if selectors:
            yield from check_selector(constraint.get("labelSelector"), f"{where}.labelSelector")


def _check_domains(constraint: Document, path: str, action: str) -> Iterator[Cause]:
    domains = constraint.get("minDomains")
    if domains is None:
        return
    if domains <= 0:
        yield invalid(f"{path}.minDomains", domains, "must be greater than zero")
    if action != "DoNotSchedule":
        detail = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
        yield invalid(f"{path}.minDomains", domains, detail)
