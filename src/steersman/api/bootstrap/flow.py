"""The default FlowSchemas and PriorityLevelConfigurations.

A table of facts from upstream's apiserver/pkg/apis/flowcontrol/bootstrap/default.go.
"""

from __future__ import annotations

from typing import NamedTuple

from steersman.api.bootstrap.grammar import subjects
from steersman.model.kind import Document

GROUP = "flowcontrol.apiserver.k8s.io"
AUTOUPDATE = "apf.kubernetes.io/autoupdate-spec"
VERBS = ("get", "create", "update")


class Level(NamedTuple):
    """A priority level; no queues: it rejects what is over its share."""

    name: str
    shares: int
    lendable_percent: int
    queues: int = 0
    hand: int = 0


class Flow(NamedTuple):
    """A flow schema; what it matches is (verbs, groups, resources, namespaces) by words, or
    paths."""

    name: str
    level: str
    precedence: int
    subjects: tuple[str, ...]
    resources: tuple[tuple[str, str, str, str], ...] = ()
    paths: str = ""
    by_namespace: bool = False
    distinguishes: bool = True


LEVELS = (
    Level("catch-all", 5, 0),
    Level("system", 30, 33, 64, 6),
    Level("node-high", 40, 25, 64, 6),
    Level("leader-election", 10, 0, 16, 4),
    Level("workload-high", 40, 50, 128, 6),
    Level("workload-low", 100, 90, 128, 6),
    Level("global-default", 20, 50, 128, 6),
)

_QUEUE_LENGTH = 50
_SYSTEM = "ServiceAccount:kube-system"
_ANY = ("*", "*", "*", "*")
_LEASES = "coordination.k8s.io"
_EVERYONE = ("Group:system:unauthenticated", "Group:system:authenticated")
_MANAGER = "User:system:kube-controller-manager"
_SCHEDULER = "User:system:kube-scheduler"

FLOWS = (
    Flow("exempt", "exempt", 1, ("Group:system:masters",), (_ANY,), "*", distinguishes=False),
    Flow("probes", "exempt", 2, _EVERYONE, (), "/healthz /readyz /livez", distinguishes=False),
    Flow(
        "system-leader-election",
        "leader-election",
        100,
        (_MANAGER, _SCHEDULER, f"{_SYSTEM}/*"),
        ((" ".join(VERBS), _LEASES, "leases", "*"),),
    ),
    Flow(
        "system-node-high",
        "node-high",
        400,
        ("Group:system:nodes",),
        (("*", "core", "nodes nodes/status", "*"), ("*", _LEASES, "leases", "*")),
    ),
    Flow("system-nodes", "system", 500, ("Group:system:nodes",), (_ANY,), "*"),
    Flow(
        "kube-controller-manager",
        "workload-high",
        800,
        (_MANAGER,),
        (_ANY,),
        "*",
        by_namespace=True,
    ),
    Flow("kube-scheduler", "workload-high", 800, (_SCHEDULER,), (_ANY,), "*", by_namespace=True),
    Flow(
        "kube-system-service-accounts",
        "workload-high",
        900,
        (f"{_SYSTEM}/*",),
        (_ANY,),
        "*",
        by_namespace=True,
    ),
    Flow("service-accounts", "workload-low", 9000, ("Group:system:serviceaccounts",), (_ANY,), "*"),
    Flow("global-default", "global-default", 9900, _EVERYONE, (_ANY,), "*"),
    Flow("catch-all", "catch-all", 10000, _EVERYONE, (_ANY,), "*"),
)


def level_documents() -> list[Document]:
    """Returns the default PriorityLevelConfigurations."""
    exempt = {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}}
    specs = {"exempt": exempt, **{level.name: _level_spec(level) for level in LEVELS}}
    return [_document("PriorityLevelConfiguration", name, spec) for name, spec in specs.items()]


def flow_documents() -> list[Document]:
    """Returns the default FlowSchemas."""
    return [_document("FlowSchema", flow.name, _flow_spec(flow)) for flow in FLOWS]


def _document(kind: str, name: str, spec: Document) -> Document:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": kind,
        "metadata": {"name": name, "annotations": {AUTOUPDATE: "true"}},
        "spec": spec,
    }


def _level_spec(level: Level) -> Document:
    response: Document = {"type": "Reject"}
    if level.queues:
        queuing = {
            "queues": level.queues,
            "handSize": level.hand,
            "queueLengthLimit": _QUEUE_LENGTH,
        }
        response = {"type": "Queue", "queuing": queuing}
    limited = {
        "nominalConcurrencyShares": level.shares,
        "lendablePercent": level.lendable_percent,
        "limitResponse": response,
    }
    return {"type": "Limited", "limited": limited}


def _flow_spec(flow: Flow) -> Document:
    rules: Document = {"subjects": [_subject(one) for one in subjects(flow.subjects)]}
    if flow.resources:
        rules["resourceRules"] = [_resource_rule(*one) for one in flow.resources]
    if flow.paths:
        verbs = ["get"] if flow.name == "probes" else ["*"]
        rules["nonResourceRules"] = [{"verbs": verbs, "nonResourceURLs": flow.paths.split()}]
    spec: Document = {
        "priorityLevelConfiguration": {"name": flow.level},
        "matchingPrecedence": flow.precedence,
        "rules": [rules],
    }
    if flow.distinguishes:
        by = "ByNamespace" if flow.by_namespace else "ByUser"
        spec["distinguisherMethod"] = {"type": by}
    return spec


def _resource_rule(verbs: str, groups: str, resources: str, namespaces: str) -> Document:
    """Returns a rule; one for all namespaces also covers what has none, leases excepted."""
    found = {
        "verbs": verbs.split(),
        "apiGroups": ["" if group == "core" else group for group in groups.split()],
        "resources": resources.split(),
        "namespaces": namespaces.split(),
    }
    clusterwide = resources == "*" or resources.startswith("nodes")
    return {**found, "clusterScope": True} if clusterwide else found


def _subject(short: Document) -> Document:
    """Rewrites an RBAC subject as flow control spells it."""
    kind = short["kind"]
    field = {"User": "user", "Group": "group", "ServiceAccount": "serviceAccount"}[kind]
    named = {key: short[key] for key in ("name", "namespace") if key in short}
    return {"kind": kind, field: named}
