"""What is asked of an extender and what it answers, as values (kube-scheduler extender/v1).

Upstream's types have no JSON names: they go out under Go's, and come in whatever their case.
Nothing here waits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from steersman.model.gotext import quote
from steersman.model.kind import Document
from steersman.scheduler.extenders.failure import Failed
from steersman.scheduler.extenders.word import PLUGIN
from steersman.scheduler.filters.refusal import Refusal

# Of what an extender says about one node this much is shown; upstream sets no bound
MOST_TEXT: Final = 1024
T = TypeVar("T", bound=msgspec.Struct)


class Nodes(msgspec.Struct, frozen=True):
    """What is told of nodes: their names, and the whole of them where an extender wants that."""

    names: tuple[str, ...]
    documents: tuple[Document, ...] = ()


class Victims(msgspec.Struct, frozen=True):
    """The pods that would leave a node, by uid, and how many budgets that breaks."""

    uids: tuple[str, ...]
    violations: int = 0
    documents: tuple[Document, ...] = ()


class _Metadata(msgspec.Struct, frozen=True):
    name: str = ""


class _Node(msgspec.Struct, frozen=True):
    metadata: _Metadata = _Metadata()


class _NodeList(msgspec.Struct, frozen=True):
    items: tuple[_Node, ...] | None = None


class _FilterResult(msgspec.Struct, frozen=True, rename="lower"):
    nodes: _NodeList | None = None
    nodenames: tuple[str, ...] | None = None
    failednodes: dict[str, str] | None = None
    failedandunresolvablenodes: dict[str, str] | None = None
    error: str = ""


class _HostPriority(msgspec.Struct, frozen=True):
    host: str = ""
    score: int = 0


class _BindingResult(msgspec.Struct, frozen=True):
    error: str = ""


class _MetaPod(msgspec.Struct, frozen=True):
    uid: str = ""


class _MetaVictims(msgspec.Struct, frozen=True):
    pods: tuple[Any, ...] | None = None
    numpdbviolations: int = 0


class _PreemptionResult(msgspec.Struct, frozen=True):
    nodenametometavictims: dict[str, Any] | None = None


class Filtered(msgspec.Struct, frozen=True):
    """Which of the nodes asked about passed, in their order, and why others did not."""

    passed: tuple[str, ...]
    refused: Mapping[str, Refusal]


def render_ask(pod: Document, nodes: Nodes, *, names_only: bool) -> Document:
    """Returns ExtenderArgs: a pod and the nodes that are in question."""
    whole = None if names_only else {"metadata": {}, "items": list(nodes.documents)}
    return {"Pod": pod, "Nodes": whole, "NodeNames": list(nodes.names) if names_only else None}


def render_victims(pod: Document, victims: Mapping[str, Victims], *, names_only: bool) -> Document:
    """Returns ExtenderPreemptionArgs: a pod, and who would leave each of the nodes for it."""
    meta = {
        name: {"Pods": [{"UID": uid} for uid in it.uids], "NumPDBViolations": it.violations}
        for name, it in victims.items()
    }
    whole = {
        name: {"Pods": list(it.documents), "NumPDBViolations": it.violations}
        for name, it in victims.items()
    }
    return {
        "Pod": pod,
        "NodeNameToVictims": None if names_only else whole,
        "NodeNameToMetaVictims": meta if names_only else None,
    }


def render_binding(namespace: str, name: str, uid: str, node: str) -> Document:
    """Returns ExtenderBindingArgs."""
    return {"PodName": name, "PodNamespace": namespace, "PodUID": uid, "Node": node}


def parse_filtered(answer: Any, url: str, asked: Collection[str], *, names_only: bool) -> Filtered:
    """Returns what an ExtenderFilterResult says; raises Failed, also where it names a node that
    was not in question."""
    found = _read(answer, _FilterResult)
    if found.error:
        raise Failed(found.error[:MOST_TEXT])
    if names_only and found.nodenames is not None:
        passed: Iterable[str] = found.nodenames
    else:
        items = found.nodes.items if found.nodes is not None else None
        passed = [node.metadata.name for node in items or ()]
    known = frozenset(asked)
    for name in passed:
        if name not in known:
            text = f"claims a filtered node {quote(name[:MOST_TEXT])} which is not found in the"
            raise Failed(f"extender {quote(url)} {text} input node list")
    chosen = frozenset(passed)
    refused = {**_refused(found.failednodes, final=False)}
    refused |= _refused(found.failedandunresolvablenodes, final=True)
    return Filtered(
        tuple(name for name in asked if name in chosen),
        {name: it for name, it in refused.items() if name in known and name not in chosen},
    )


def _refused(said: Mapping[str, str] | None, *, final: bool) -> dict[str, Refusal]:
    return {
        name: Refusal(PLUGIN, (text[:MOST_TEXT],), final) for name, text in (said or {}).items()
    }


def parse_scores(answer: Any) -> dict[str, int]:
    """Returns the scores of a HostPriorityList; raises Failed."""
    if not isinstance(answer, list | None):
        raise Failed(f"a HostPriorityList is expected, not {type(answer).__name__}")
    return {it.host: it.score for it in (_read(one, _HostPriority) for one in answer or ())}


def parse_victims(answer: Any) -> dict[str, Victims]:
    """Returns what an ExtenderPreemptionResult leaves of the candidates; raises Failed."""
    found = _read(answer, _PreemptionResult).nodenametometavictims or {}
    chosen = {}
    for name, one in found.items():
        victims = _read(one, _MetaVictims)
        uids = tuple(_read(pod, _MetaPod).uid for pod in victims.pods or ())
        chosen[name] = Victims(uids, victims.numpdbviolations)
    return chosen


def parse_bound(answer: Any) -> None:
    """Raises Failed where an ExtenderBindingResult tells of an error."""
    if error := _read(answer, _BindingResult).error:
        raise Failed(error[:MOST_TEXT])


def _read(answer: Any, kind: type[T]) -> T:
    """Reads an answer as a type; null and unknown fields say nothing."""
    if isinstance(answer, dict):
        answer = {name.lower(): value for name, value in answer.items() if value is not None}
    try:
        return msgspec.convert({} if answer is None else answer, kind)
    except msgspec.ValidationError as error:
        raise Failed(str(error)) from None
