"""Which names a definition gets, and what is said of it: NamesAccepted, Established and the rest.

Pure. Follows apiextensions' controllers status/naming, establish and apiapproval; where they write
one after the other, what comes of them is written at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from steersman.model.kind import Document
from steersman.model.kinds.customresourcedefinition import with_condition
from steersman.model.structural.definition_check import approval, is_protected, is_true

_APPROVAL: Final = "KubernetesAPIApprovalPolicyConformant"
_SAID_OF_APPROVAL: Final = {
    "Invalid": ("False", "InvalidAnnotation"),
    "Missing": ("False", "MissingAnnotation"),
    "Approved": ("True", "ApprovedAnnotation"),
    "Bypassed": ("False", "UnapprovedAnnotation"),
}


@dataclass(frozen=True, slots=True)
class Taken:
    """The names that other definitions of the group have."""

    resources: frozenset[str]
    kinds: frozenset[str]

    @classmethod
    def by(cls, others: Iterable[Document]) -> Taken:
        """Returns the names that definitions have."""
        resources: set[str] = set()
        kinds: set[str] = set()
        for other in others:
            names = (other.get("status") or {}).get("acceptedNames") or {}
            resources |= {names.get("plural", ""), names.get("singular", "")}
            resources |= set(names.get("shortNames") or ())
            kinds |= {names.get("kind", ""), names.get("listKind", "")}
        return cls(frozenset(resources - {""}), frozenset(kinds - {""}))


def plan(
    definition: Document, taken: Callable[[], Taken], time: str, *, good_bundle: bool
) -> Document | None:
    """Returns the definition with the names and conditions it should have, None where it has them.

    taken:       gives the names of others, looked at where something changes
    good_bundle: says whether the certificates of its conversion webhook can be read
    """
    made = _named(definition, taken, time)
    if is_true(made, "NamesAccepted") and not is_true(made, "Established"):
        made = _established(made, time, good_bundle)
    if is_protected(definition["spec"]["group"]):
        state, why = approval(definition)
        made = with_condition(made, _APPROVAL, *_SAID_OF_APPROVAL[state], why, time)
    return None if made["status"] == definition.get("status") else made


def _named(definition: Document, names: Callable[[], Taken], time: str) -> Document:
    wanted = definition["spec"]["names"]
    status = definition.get("status") or {}
    accepted = dict(status.get("acceptedNames") or {})
    if _same(wanted, accepted) and is_true(definition, "NamesAccepted"):
        return definition
    taken = names()
    reason = message = ""
    for name in ("plural", "singular", "kind", "listKind"):
        used = taken.kinds if "ind" in name else taken.resources
        if wanted.get(name) != accepted.get(name) and wanted.get(name) in used:
            reason = f"{name[0].upper()}{name[1:]}Conflict"
            message = _in_use(wanted[name])
        else:
            accepted[name] = wanted.get(name)
        if name == "singular" and (wrong := _short_names(wanted, accepted, taken)):
            reason, message = "ShortNamesConflict", wrong
    accepted["categories"] = wanted.get("categories")
    kept = {name: value for name, value in accepted.items() if value is not None}
    made = {**definition, "status": {**status, "acceptedNames": kept}}
    said = ("False", reason, message) if reason else ("True", "NoConflicts", "no conflicts found")
    made = with_condition(made, "NamesAccepted", *said, time)
    if reason and not _has_condition(made, "Established"):
        why = "not all names are accepted"
        return with_condition(made, "Established", "False", "NotAccepted", why, time)
    return made


def _short_names(wanted: Mapping[str, Any], accepted: Document, taken: Taken) -> str:
    """Takes the short names over where all are free; returns which are not."""
    known = accepted.get("shortNames") or ()
    names = wanted.get("shortNames")
    bad = [_in_use(name) for name in names or () if name not in known and name in taken.resources]
    if not bad:
        accepted["shortNames"] = names
        return ""
    return bad[0] if len(bad) == 1 else f"[{', '.join(dict.fromkeys(bad))}]"


def _in_use(name: str) -> str:
    return f'"{name}" is already in use'


def _same(wanted: Mapping[str, Any], accepted: Mapping[str, Any]) -> bool:
    names = {*wanted, *accepted}
    return all((wanted.get(name) or None) == (accepted.get(name) or None) for name in names)


def _has_condition(definition: Document, type: str) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == type for one in conditions)


def _established(definition: Document, time: str, good_bundle: bool) -> Document:
    if not good_bundle:
        why = "The conversion webhook CABundle is invalid"
        return with_condition(definition, "Established", "False", "InvalidCABundle", why, time)
    why = "the initial names have been accepted"
    return with_condition(definition, "Established", "True", "InitialNamesAccepted", why, time)
