"""Which flow a request belongs to, and how many seats it takes."""

from __future__ import annotations

import pytest

from steersman.api.access.authorization import Attributes
from steersman.api.bootstrap import flow
from steersman.api.cache import Table
from steersman.api.fairness import estimate
from steersman.api.fairness.configuration import MOST_KNOWN, Configuration
from steersman.api.fairness.estimate import ONE, Estimate
from steersman.api.fairness.interest import Interest
from steersman.api.fairness.seats import sharding
from steersman.model.kind import Document
from steersman.model.ref import Resource
from steersman.store.interface import Record
from steersman.wire.message import Request, User

EVERYBODY = "system:authenticated"
JANE = User("jane", (EVERYBODY,))
ACCOUNT = User(
    "system:serviceaccount:dev:builder",
    ("system:serviceaccounts", "system:serviceaccounts:dev", EVERYBODY),
)
CONTROLLER = User(
    "system:serviceaccount:kube-system:job-controller",
    ("system:serviceaccounts", "system:serviceaccounts:kube-system", EVERYBODY),
)
NODE = User("system:node:n1", ("system:nodes", EVERYBODY))
MASTER = User("admin", ("system:masters", EVERYBODY))
NOBODY = User("stranger")
GET = Attributes("get", "", "v1", "pods", namespace="dev", name="p")


def path(where: str, verb: str = "get") -> Attributes:
    return Attributes(verb, path=where, is_resource=False)


def configured(*more: Document, without: tuple[str, ...] = ()) -> Configuration:
    found = Configuration(600, 0.0)
    schemas = [one for one in flow.flow_documents() if one["metadata"]["name"] not in without]
    levels = [one for one in flow.level_documents() if one["metadata"]["name"] not in without]
    found.digest(levels, [*schemas, *more], 0.0)
    return found


def schema(name: str, precedence: int, level: str = "system", **rule: object) -> Document:
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}
    subjects = [{"kind": "User", "user": {"name": "jane"}}]
    rules = [{"subjects": subjects, "resourceRules": [everything], **rule}]
    spec = {
        "priorityLevelConfiguration": {"name": level},
        "matchingPrecedence": precedence,
        "rules": rules,
    }
    return {"metadata": {"name": name, "uid": f"uid-{name}"}, "spec": spec}


@pytest.mark.parametrize(
    ("user", "asked", "expected"),
    [
        (MASTER, GET, "exempt"),
        (NOBODY, GET, "catch-all"),
        (JANE, GET, "global-default"),
        (JANE, path("/version"), "global-default"),
        (JANE, path("/healthz"), "probes"),
        (JANE, path("/livez/ping"), "probes"),
        (JANE, path("/livezz"), "global-default"),
        (JANE, path("/readyz", "post"), "global-default"),
        (ACCOUNT, GET, "service-accounts"),
        (CONTROLLER, GET, "kube-system-service-accounts"),
        (NODE, GET, "system-nodes"),
        (NODE, GET._replace(resource="nodes", namespace=""), "system-node-high"),
        (NODE, GET._replace(resource="nodes", subresource="status", namespace=""),
         "system-node-high"),
        (NODE, GET._replace(resource="nodes", subresource="other", namespace=""), "system-nodes"),
        (NODE, Attributes("update", "coordination.k8s.io", "v1", "leases", "", "x"),
         "system-node-high"),
        (NODE, Attributes("list", "coordination.k8s.io", "v1", "leases"), "system-nodes"),
        (CONTROLLER, Attributes("update", "coordination.k8s.io", "v1", "leases", "", "x"),
         "system-leader-election"),
        (CONTROLLER, Attributes("list", "coordination.k8s.io", "v1", "leases", "", "x"),
         "kube-system-service-accounts"),
        (User("system:kube-scheduler", (EVERYBODY,)), GET, "kube-scheduler"),
    ],
)  # fmt: skip
def test_the_first_schema_that_matches_decides(
    user: User, asked: Attributes, expected: str
) -> None:
    found = configured().flow(user, asked)
    assert found is not None
    assert found.schema == expected


def test_what_goes_on_as_long_as_its_client_likes_is_not_limited() -> None:
    found = configured()
    for name in ("exec", "attach", "log", "portforward", "proxy"):
        assert found.flow(JANE, GET._replace(subresource=name)) is None
    assert found.flow(JANE, path("/debug/pprof/heap")) is None
    assert found.flow(JANE, GET._replace(verb="watch")) is not None
    assert found.flow(JANE, GET._replace(subresource="status")) is not None


def test_precedence_decides_then_the_name() -> None:
    first = configured(schema("b", 9000), schema("a", 9000), schema("c", 9001)).flow(JANE, GET)
    assert first is not None
    assert first.schema == "a"
    assert first.headers["X-Kubernetes-PF-FlowSchema-UID"] == "uid-a"
    lower = configured(schema("z", 8999), schema("a", 9000)).flow(JANE, GET)
    assert lower is not None
    assert lower.schema == "z"


def test_a_schema_whose_level_is_missing_counts_for_nothing() -> None:
    found = configured(schema("mine", 5, "missing")).flow(JANE, GET)
    assert found is not None
    assert found.schema == "global-default"


def test_what_must_be_there_is_made_up() -> None:
    found = configured(without=("exempt", "catch-all", "global-default"))
    for user, name in ((MASTER, "exempt"), (JANE, "catch-all")):
        caught = found.flow(user, GET)
        assert caught is not None
        assert (caught.schema, caught.level.name) == (name, name)
        assert caught.headers == {
            "X-Kubernetes-PF-FlowSchema-UID": "",
            "X-Kubernetes-PF-PriorityLevel-UID": "",
        }


@pytest.mark.parametrize(
    ("subject", "user", "matched"),
    [
        ({"kind": "User", "user": {"name": "*"}}, NODE, True),
        ({"kind": "User", "user": {"name": "jane"}}, ACCOUNT, False),
        ({"kind": "Group", "group": {"name": "*"}}, NOBODY, True),
        ({"kind": "Group", "group": {"name": "system:nodes"}}, NODE, True),
        ({"kind": "Group", "group": {"name": "system:nodes"}}, JANE, False),
        ({"kind": "ServiceAccount", "serviceAccount": {"namespace": "dev", "name": "*"}},
         ACCOUNT, True),
        ({"kind": "ServiceAccount", "serviceAccount": {"namespace": "dev", "name": "builder"}},
         ACCOUNT, True),
        ({"kind": "ServiceAccount", "serviceAccount": {"namespace": "dev", "name": "build"}},
         ACCOUNT, False),
        ({"kind": "ServiceAccount", "serviceAccount": {"namespace": "de", "name": "*"}},
         ACCOUNT, False),
    ],
)  # fmt: skip
def test_subjects_are_users_groups_and_accounts(
    subject: Document, user: User, matched: bool
) -> None:
    found = configured(schema("mine", 2, subjects=[subject])).flow(user, GET)
    assert found is not None
    assert (found.schema == "mine") is matched


@pytest.mark.parametrize(
    ("rule", "asked", "matched"),
    [
        ({"verbs": ["get"]}, GET, True),
        ({"verbs": ["list", "watch"]}, GET, False),
        ({"apiGroups": ["apps"]}, GET, False),
        ({"apiGroups": [""]}, GET, True),
        ({"resources": ["pods/status"]}, GET, False),
        ({"resources": ["pods/status"]}, GET._replace(subresource="status"), True),
        ({"resources": ["pods"]}, GET._replace(subresource="status"), False),
        ({"namespaces": ["dev"]}, GET, True),
        ({"namespaces": ["test"]}, GET, False),
        ({}, GET._replace(namespace=""), False),
        ({"clusterScope": True}, GET._replace(namespace=""), True),
        ({"clusterScope": True, "namespaces": []}, GET, False),
    ],
)
def test_rules_name_verbs_groups_resources_and_namespaces(
    rule: Document, asked: Attributes, matched: bool
) -> None:
    everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}
    one = schema("mine", 2, resourceRules=[{**everything, **rule}])
    found = configured(one).flow(JANE, asked)
    assert found is not None
    assert (found.schema == "mine") is matched


@pytest.mark.parametrize(
    ("wanted", "matched"),
    [("/x", True), ("/x/y", True), ("/x/*", True), ("*", True), ("/x/y/z", False), ("/w", False),
     ("/x/", True)],
)  # fmt: skip
def test_paths_match_with_what_stands_under_them(wanted: str, matched: bool) -> None:
    rule = {"verbs": ["get"], "nonResourceURLs": [wanted]}
    one = schema("mine", 2, resourceRules=[], nonResourceRules=[rule])
    found = configured(one).flow(JANE, path("/x/y"))
    assert found is not None
    assert (found.schema == "mine") is matched


def test_flows_are_told_apart_by_user_or_by_namespace() -> None:
    found = configured()
    users = {found.flow(User(f"u{count}", (EVERYBODY,)), GET) for count in range(3)}
    assert len({one.distinguisher for one in users if one}) == 3
    mine, other = (found.flow(CONTROLLER, GET._replace(namespace=name)) for name in ("a", "b"))
    assert mine is not None
    assert other is not None
    assert (mine.distinguisher, other.distinguisher) == ("a", "b")
    assert len(set(mine.hand)) == 6
    assert mine is found.flow(CONTROLLER, GET._replace(namespace="a", name="another"))
    exempt = found.flow(MASTER, GET)
    assert exempt is not None
    assert (exempt.distinguisher, exempt.hand) == ("", ())


def test_who_asks_for_what_is_forgotten_before_it_is_too_much() -> None:
    found = configured()
    first = found.flow(JANE, path("/0"))
    for count in range(1, MOST_KNOWN):
        found.flow(JANE, path(f"/{count}"))
    assert found.flow(JANE, path("/0")) is first
    found.flow(JANE, path("/one-more"))
    assert found.flow(JANE, path("/0")) is not first


def test_hands_are_dealt_as_upstream_deals_them() -> None:
    # shufflesharding_test.go: hash values made of the cards drawn, least significant first
    assert sharding.deal(0, 128, 6) == (0, 1, 2, 3, 4, 5)
    drawn, value = (13, 12, 12), 0
    for card, size in reversed(list(zip(drawn, (16, 15, 14), strict=True))):
        value = value * size + card
    assert sharding.deal(value, 16, 3) == (13, 12, 14)
    for name in map(str, range(200)):
        hand = sharding.deal(sharding.hash_flow("s", name), 64, 6)
        assert len(set(hand)) == 6
        assert all(0 <= card < 64 for card in hand)
    assert sharding.hash_flow("ab", "c") != sharding.hash_flow("a", "bc")


def table(count: int, size: int) -> Table:
    found = Table(Resource("", "pods"))
    for number in range(count):
        value = b"x" * size
        found.change(Record("", value, number + 1, number + 1), "dev", str(number))
    return found


LIST = Attributes("list", "", "v1", "pods", namespace="dev")
WATCH = LIST._replace(verb="watch")


@pytest.mark.parametrize(
    ("asked", "query", "most", "seats"),
    [
        (LIST, "", 0, 10),  # 2 MB, of which 1 MB is held at once
        (LIST, "", 4, 4),
        (LIST, "limit=100", 0, 2),
        (LIST, "limit=101", 0, 3),
        (LIST, "limit=100&resourceVersion=0", 0, 2),
        (LIST, "resourceVersion=7&resourceVersionMatch=Exact", 0, 20),
        (LIST, "resourceVersion=7&resourceVersionMatch=NotOlderThan", 0, 10),
        (LIST, "limit=1&resourceVersion=7", 0, 1),
        (LIST, "resourceVersion=7", 0, 10),
        (LIST, "limit=600&continue=x", 0, 12),
        (LIST, "limit=600&resourceVersion=7", 0, 12),
        (LIST, "limit=600&resourceVersion=0", 0, 10),
        (LIST, "limit=10&continue=x&labelSelector=a", 0, 10),
        (LIST, "limit=10&continue=x&fieldSelector=a", 0, 10),
        (LIST, "limit=many", 0, 100),
        (LIST._replace(fields="metadata.name=1"), "fieldSelector=metadata.name%3D1", 0, 1),
        (WATCH, "watch=1", 0, 10),
        (WATCH, "watch=1&resourceVersion=0", 0, 10),
        (WATCH, "watch=1&resourceVersion=5", 0, 1),
        (WATCH, "watch=1&resourceVersion=5&sendInitialEvents=true", 0, 10),
    ],
)
def test_a_read_takes_seats_by_what_it_holds_in_memory(
    asked: Attributes, query: str, most: int, seats: int
) -> None:
    request = Request("GET", "/api/v1/namespaces/dev/pods", query)
    assert estimate.of_read(asked, request, table(1000, 2000), most).seats == seats


def test_a_small_or_empty_list_takes_one_seat() -> None:
    request = Request("GET", "/api/v1/namespaces/dev/pods", "")
    assert estimate.of_read(LIST, request, table(3, 100), 0) == ONE
    assert estimate.of_read(LIST, request, table(0, 0), 0) == ONE


def test_a_table_knows_how_much_it_holds() -> None:
    found = table(3, 100)
    assert found.bytes == 300
    found.change(Record("", b"xx", 9, 1), "dev", "0")
    assert found.bytes == 202
    found.change(Record("", None, 10, 1), "dev", "0")
    assert found.bytes == 200


def test_a_write_takes_seats_by_who_watches() -> None:
    assert estimate.of_write(9, 0) == ONE
    assert estimate.of_write(10, 0) == Estimate(1, 1, 0.005)
    assert estimate.of_write(95, 0) == Estimate(1, 10, 0.005)
    assert estimate.of_write(1000, 0) == Estimate(1, 10, 0.05)
    assert estimate.of_write(1000, 4) == Estimate(1, 4, 0.125)
    assert estimate.of_write(1000, 4).seats == 4


def test_watches_are_counted_where_a_write_meets_them() -> None:
    found = Interest()
    leave = found.add(WATCH._replace(namespace=""))
    found.add(WATCH)
    found.add(WATCH._replace(name="p"))
    found.add(WATCH._replace(fields="metadata.name=p"))
    found.add(WATCH._replace(namespace="other"))
    found.add(WATCH._replace(group="apps"))
    found.add(WATCH._replace(fields="spec.nodeName=n1"))
    found.add(WATCH._replace(fields="spec.nodeName="))
    write = Attributes("update", "", "v1", "pods", "", "dev", "p")
    assert found.of(write) == 5
    assert found.of(write._replace(name="q")) == 3
    assert found.of(write._replace(name="")) == 3
    assert found.of(write._replace(namespace="third", name="")) == 1
    assert found.of(write._replace(resource="configmaps")) == 0
    leave()
    assert found.of(write) == 4
