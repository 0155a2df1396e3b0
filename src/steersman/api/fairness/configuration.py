"""What FlowSchemas and PriorityLevelConfigurations say, in the form in which requests meet it.

Follows apiserver's apf_controller.go. The objects that must be there are made up where they are
not; a level that is gone lives on until its last request is answered.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from steersman.api.access.authorization import Attributes
from steersman.api.bootstrap import flow as wanted
from steersman.api.fairness import rules
from steersman.api.fairness.rules import Schema
from steersman.api.fairness.seats import sharding
from steersman.api.fairness.seats.figures import Figures
from steersman.api.fairness.seats.level import Level
from steersman.api.fairness.seats.limits import Shares, divide, shares_of
from steersman.api.fairness.seats.queues import Flow, Queuing
from steersman.model.kind import Document
from steersman.wire.message import User

EXEMPT: Final = "exempt"
CATCH_ALL: Final = "catch-all"
SCHEMA_UID: Final = "X-Kubernetes-PF-FlowSchema-UID"
LEVEL_UID: Final = "X-Kubernetes-PF-PriorityLevel-UID"
# kube-apiserver's BasicLongRunningRequestCheck
LONG_SUBRESOURCES: Final = ("attach", "exec", "proxy", "log", "portforward")
PROFILES: Final = "/debug/pprof/"
# What one request may take of a level's own seats (priorityLevelMaxSeatsPercent)
MOST_SEATS_PART: Final = 0.15
# Who asks for what, remembered with its flow: 30 controllers, some hundred nodes and people, with
# some dozen kinds and namespaces each. All is forgotten when it is full.
MOST_KNOWN: Final = 16_384


class Configuration:
    """Levels by name and schemas in their order; `seats` are those of the whole server."""

    def __init__(self, seats: int, now: float) -> None:
        self._seats = seats
        self.levels: dict[str, Level] = {}
        self.schemas: Sequence[Schema] = ()
        self.figures: dict[tuple[str, str], Figures] = {}
        self._shares: dict[str, Shares] = {}
        self._known: dict[tuple[object, ...], Flow | None] = {}
        self._flows: dict[tuple[str, str], Flow] = {}
        self.digest((), (), now)

    def digest(self, levels: Iterable[Document], schemas: Iterable[Document], now: float) -> None:
        """Takes over what is stored."""
        found = {document["metadata"]["name"]: document for document in levels}
        named = [schema for schema in map(rules.parse, schemas) if schema.level in found]
        for document in wanted.level_documents():
            name = document["metadata"]["name"]
            if name in (EXEMPT, CATCH_ALL) and name not in found:
                found[name] = document
        self._keep_levels(found, now)
        for document in wanted.flow_documents():
            made = rules.parse(document)
            if made.name in (EXEMPT, CATCH_ALL) and all(one.name != made.name for one in named):
                named.append(made)
        self.schemas = rules.in_order(named)
        self.forget()

    def forget(self) -> None:
        """Has every request classified anew."""
        self._known.clear()
        self._flows.clear()

    def reap(self) -> bool:
        """Says whether a level that is gone has come to its end."""
        return any(level.quiescing and level.idle for level in self.levels.values())

    def _keep_levels(self, found: Mapping[str, Document], now: float) -> None:
        for name, document in found.items():
            level = self.levels.get(name)
            if level is None:
                level = self.levels[name] = Level(name, now, exempt=name == EXEMPT)
            level.uid = document["metadata"].get("uid", "")
            level.quiescing = False
            level.configure(queuing_of(document["spec"]))
            self._shares[name] = shares_of(document["spec"])
        for name in [name for name in self.levels if name not in found]:
            self.levels[name].quiescing = True
            if self.levels[name].idle:
                del self.levels[name], self._shares[name]
        self._divide()
        kept = {key: one for key, one in self.figures.items() if key[0] in self.levels}
        self.figures = kept

    def _divide(self) -> None:
        total = sum(shares.shares for shares in self._shares.values())
        for name, shares in self._shares.items():
            level = self.levels[name]
            level.limits = divide(shares, total, self._seats)
            level.most_seats = most_seats(level.limits.nominal, level.queuing)

    def flow(self, user: User, asked: Attributes) -> Flow | None:
        """Returns which flow a request belongs to, None where it is not limited; remembered."""
        what = asked[:6] if asked.is_resource else (asked.verb, asked.path)
        key = (user.name, user.groups, what)
        try:
            return self._known[key]
        except KeyError:
            pass
        if len(self._known) >= MOST_KNOWN:
            self.forget()
        found = self._known[key] = None if is_long(asked) else self._classify(user, asked)
        return found

    def _classify(self, user: User, asked: Attributes) -> Flow:
        schema = self._schema(user, asked)
        level = self.levels[schema.level]
        distinguisher = ""
        if level.queuing.queues > 1:
            by = {"ByUser": user.name, "ByNamespace": asked.namespace}
            distinguisher = by.get(schema.method, "")
        key = (schema.name, distinguisher)
        if (flow := self._flows.get(key)) is None:
            flow = self._flows[key] = self._make_flow(schema, level, distinguisher)
        return flow

    def _schema(self, user: User, asked: Attributes) -> Schema:
        """Returns the first schema that matches; who is in neither group of everybody is caught
        too."""
        for schema in self.schemas:
            if rules.matches(schema, user, asked):
                return schema
        return next(schema for schema in self.schemas if schema.name == CATCH_ALL)

    def _make_flow(self, schema: Schema, level: Level, distinguisher: str) -> Flow:
        hand: Sequence[int] = ()
        if queues := level.queuing.queues:
            value = sharding.hash_flow(schema.name, distinguisher) if queues > 1 else 0
            hand = sharding.deal(value, queues, level.queuing.hand)
        headers = {LEVEL_UID: level.uid, SCHEMA_UID: schema.uid}
        figures = self.figures.setdefault((level.name, schema.name), Figures())
        return Flow(level, schema.name, distinguisher, hand, headers, figures)


def is_long(asked: Attributes) -> bool:
    """Says whether a request goes on as long as its client likes, and is not limited for that
    reason; a watch is limited until it has begun."""
    if asked.is_resource:
        return asked.verb == "proxy" or asked.subresource in LONG_SUBRESOURCES
    return asked.path.startswith(PROFILES)


def queuing_of(spec: Document) -> Queuing:
    """Returns the queues that a level's spec wants."""
    response = (spec.get("limited") or {}).get("limitResponse") or {}
    if response.get("type") != "Queue":
        return Queuing()
    found = response.get("queuing") or {}
    return Queuing(
        found.get("queues", 64), found.get("handSize", 8), found.get("queueLengthLimit", 50)
    )


def most_seats(nominal: int, queuing: Queuing) -> int:
    """Returns how many seats one request may be taken to need, 0 where the level sets no bound."""
    if not queuing.queues:
        return 0
    return max(1, min(math.ceil(nominal * MOST_SEATS_PART), nominal // queuing.hand))
