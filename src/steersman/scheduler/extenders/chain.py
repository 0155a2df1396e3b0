"""The extenders of a scheduler in their order, asked about one pod.

What an extender is told of pods and nodes is read from the API for the question: the scheduler's
own copies are views. An ignorable one that fails is passed over, another's failure is raised.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from steersman.client.client import path_of
from steersman.client.interface import Client
from steersman.model.kind import Document
from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD, Pod
from steersman.scheduler.extenders.extender import Extender, Reach, reach_http
from steersman.scheduler.extenders.failure import Failed
from steersman.scheduler.extenders.messages import Filtered, Nodes, Victims
from steersman.scheduler.extenders.settings import Settings
from steersman.scheduler.extenders.word import Word
from steersman.scheduler.filters.refusal import Refusal
from steersman.scheduler.preemption import Candidate, cost_of
from steersman.world.interface import World


class Chain:
    """All extenders of one scheduler."""

    def __init__(
        self,
        settings: Iterable[Settings],
        client: Client,
        world: World,
        reach: Reach = reach_http,
    ) -> None:
        self._extenders = [Extender(one, reach, world) for one in settings]
        self._client = client

    def mind(self, pod: Pod) -> bool:
        """Says whether a pod concerns any of them."""
        return any(it.minds(pod) for it in self._extenders)

    def binder(self, pod: Pod) -> Extender | None:
        """Returns who binds a pod, None where the scheduler does."""
        found = (it for it in self._extenders if it.settings.bind_verb and it.minds(pod))
        return next(found, None)

    @asynccontextmanager
    async def turn(self, pod: Pod) -> AsyncIterator[None]:
        """Waits until every extender that a pod concerns is free, and keeps them for it."""
        async with AsyncExitStack() as stack:
            for extender in self._extenders:  # always in this order, so that nobody waits crosswise
                if extender.minds(pod):
                    await stack.enter_async_context(extender.turn)
            yield

    async def ask(self, pod: Pod, names: Sequence[str]) -> Word:
        """Asks about the nodes on which a pod fits; raises Failed, and what the API raises."""
        verbs = ("filter_verb", "prioritize_verb")
        chosen = [
            it
            for it in self._extenders
            if it.minds(pod) and any(getattr(it.settings, verb) for verb in verbs)
        ]
        if not chosen or not names:
            return Word(frozenset(names))
        document = await self._pod(pod)
        nodes = Nodes(tuple(names))
        if any(not it.settings.names_only for it in chosen):
            nodes = await self._whole(names)
        refused: dict[str, Refusal] = {}
        refusers = []
        for extender in chosen:
            if not extender.settings.filter_verb or not nodes.names:
                continue
            found = await _filtered(extender, document, nodes)
            if found is None:
                continue
            refused |= found.refused
            if len(found.passed) < len(nodes.names):
                refusers.append(extender.settings.url)
            nodes = _only(nodes, found.passed)
        scores = await _scores(chosen, document, nodes) if len(nodes.names) > 1 else {}
        return Word(frozenset(nodes.names), refused, tuple(refusers), scores)

    async def choose(self, pod: Pod, candidates: Sequence[Candidate]) -> Sequence[Candidate]:
        """Returns the candidates that extenders leave, with the victims they leave; raises Failed,
        and what the API raises."""
        chosen = [it for it in self._extenders if it.settings.preempt_verb and it.minds(pod)]
        if not chosen or not candidates:
            return candidates
        document = await self._pod(pod)
        known = {it.node.name: it for it in candidates}
        whole = any(not it.settings.names_only for it in chosen)
        victims = {name: await self._victims(it, whole) for name, it in known.items()}
        for extender in chosen:
            if not victims:
                break
            answer = await _preempted(extender, document, victims)
            if answer is not None:
                victims = {
                    name: _among(it, victims.get(name), name, extender)
                    for name, it in answer.items()
                }
        return [_left(known[name], it) for name, it in victims.items()]

    async def _pod(self, pod: Pod) -> Document:
        """Returns the document of a pod as Go prints one that came in a list."""
        document = await self._client.read(path_of(POD, *pod.key))
        return {name: it for name, it in document.items() if name not in ("apiVersion", "kind")}

    async def _whole(self, names: Sequence[str]) -> Nodes:
        listed = await self._client.read(path_of(NODE))
        found = {it["metadata"]["name"]: it for it in listed.get("items") or ()}
        there = tuple(name for name in names if name in found)  # others went meanwhile
        return Nodes(there, tuple(found[name] for name in there))

    async def _victims(self, candidate: Candidate, whole: bool) -> Victims:
        pods = [it.pod for it in candidate.victims]
        documents = [await self._pod(pod) for pod in pods] if whole else []
        uids = tuple(pod.metadata.uid for pod in pods)
        return Victims(uids, candidate.violations, tuple(documents))


async def _filtered(extender: Extender, pod: Document, nodes: Nodes) -> Filtered | None:
    try:
        return await extender.filter(pod, nodes)
    except Failed:
        if not extender.settings.ignorable:
            raise
        return None


async def _scores(extenders: Iterable[Extender], pod: Document, nodes: Nodes) -> dict[str, int]:
    """Returns the sums of scores; who fails to score gives none, ignorable or not (upstream
    prioritizeNodes)."""
    total: dict[str, int] = {}
    for extender in extenders:
        if not extender.settings.prioritize_verb:
            continue
        try:
            scores = await extender.prioritize(pod, nodes)
        except Failed:
            continue
        for name, score in scores.items():
            total[name] = total.get(name, 0) + score
    return total


async def _preempted(
    extender: Extender, pod: Document, victims: Mapping[str, Victims]
) -> dict[str, Victims] | None:
    ignorable = extender.settings.ignorable
    try:
        answer = await extender.preempt(pod, victims)
    except Failed:
        if not ignorable:
            raise
        return None
    for name in [name for name, it in answer.items() if not it.uids]:
        if not ignorable:
            raise Failed(f'expected at least one victim pod on node "{name}"')
        del answer[name]
    return answer


def _only(nodes: Nodes, passed: Sequence[str]) -> Nodes:
    kept = frozenset(passed)
    pairs = zip(nodes.names, nodes.documents, strict=False)
    return Nodes(tuple(passed), tuple(document for name, document in pairs if name in kept))


def _among(answer: Victims, asked: Victims | None, node: str, extender: Extender) -> Victims:
    """Returns the victims of an answer with their documents; raises Failed for a pod that was not
    among those asked about."""
    for uid in answer.uids:
        if asked is None or uid not in asked.uids:
            url = extender.settings.url
            text = f"claims to preempt pod (UID: {uid}) on node: {node}"
            raise Failed(f"extender: {url} {text}, but the pod is not found on that node")
    assert asked is not None
    pairs = zip(asked.uids, asked.documents, strict=False)
    documents = tuple(document for uid, document in pairs if uid in answer.uids)
    return Victims(answer.uids, answer.violations, documents)


def _left(candidate: Candidate, victims: Victims) -> Candidate:
    kept = tuple(it for it in candidate.victims if it.pod.metadata.uid in victims.uids)
    violations = max(victims.violations, 0)
    return Candidate(candidate.node, kept, violations, cost_of(kept, violations))
