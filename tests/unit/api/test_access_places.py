"""Requests to the whole API that try to reach what their path does not give them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from steersman.api.assembly import Assembly, Configuration
from steersman.api.cache import Cache
from steersman.model.errors import APIError, BadRequest, Forbidden, Invalid, NotFound
from steersman.store.memory import MemoryStore
from steersman.wire.message import Request, Response, User
from steersman.world.real import RealWorld

ADMIN = User("admin", ("system:masters", "system:authenticated"))
BOB = User("bob", ("system:authenticated",))
CAROL = User("carol", ("system:authenticated",))
RBAC = "/apis/rbac.authorization.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
ANYTHING = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
ONE = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["own"], "verbs": ["*"]}
SECONDS = 60
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)

Ask = Callable[..., Coroutine[Any, Any, Any]]


def run(case: Callable[[Ask], Coroutine[Any, Any, None]]) -> None:
    """Runs a case against an API with a namespace in which bob may do anything, and carol may do
    anything with one secret."""

    async def main() -> None:
        world = RealWorld()
        configuration = Configuration("10.96.0.0/16", KEY, 6443, "10.0.0.1")
        assembly = Assembly(Cache(MemoryStore(world), world), configuration, world)

        async def ask(user: User, method: str, path: str, body: Any = None) -> Any:
            path, _, query = path.partition("?")
            sent = Request(method, path, query, body=orjson.dumps(body) if body else b"", user=user)
            answer = assembly.api.handle(sent)
            response = answer if isinstance(answer, Response) else await answer
            return orjson.loads(response.body) if isinstance(response.body, bytes) else None

        async with asyncio.timeout(SECONDS), world.tasks() as tasks:
            started = asyncio.Event()
            tasks.start(assembly.run(started.set), name="api")
            await started.wait()
            await ask(ADMIN, "POST", "/api/v1/namespaces", {"metadata": {"name": "mine"}})
            await grant(ask, "bob", ANYTHING)
            await grant(ask, "carol", ONE)
            await case(ask)
            tasks.stop()

    asyncio.run(main())


async def grant(ask: Ask, user: str, rule: dict[str, Any]) -> None:
    own = f"{RBAC}/namespaces/mine"
    role = {"metadata": {"name": user}, "rules": [rule]}
    await ask(ADMIN, "POST", f"{own}/roles", role)
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
    binding = {"metadata": {"name": user}, "roleRef": reference, "subjects": [subject]}
    await ask(ADMIN, "POST", f"{own}/rolebindings", binding)


async def refused(ask: Ask, error: type[APIError], *request: Any) -> None:
    with pytest.raises(error):
        await ask(*request)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/namespaces/mine/nodes",
        "/api/v1/namespaces/mine/persistentvolumes/one",
        "/api/v1/namespaces/mine/namespaces",
        "/api/v1/namespaces/mine/namespaces/kube-system",
        f"{RBAC}/namespaces/mine/clusterroles",
        f"{RBAC}/namespaces/mine/clusterrolebindings/cluster-admin",
    ],
)
def test_all_rights_in_a_namespace_do_not_reach_cluster_scoped_objects(path: str) -> None:
    async def case(ask: Ask) -> None:
        await refused(ask, NotFound, BOB, "GET", path)
        await refused(ask, NotFound, BOB, "DELETE", path)

    run(case)


def test_cluster_wide_reviews_are_not_asked_through_a_namespace() -> None:
    async def case(ask: Ask) -> None:
        path = "/apis/authorization.k8s.io/v1/namespaces/mine/subjectaccessreviews"
        spec = {"user": "admin", "nonResourceAttributes": {"verb": "get", "path": "/"}}
        await refused(ask, NotFound, BOB, "POST", path, {"spec": spec})

    run(case)


@pytest.mark.parametrize("name", ["uid", "selfLink", "deletionTimestamp", "namespace"])
def test_what_the_server_alone_sets_is_taken_off_a_review_before_it_is_looked_at(name: str) -> None:
    async def case(ask: Ask) -> None:
        spec = {"nonResourceAttributes": {"verb": "get", "path": "/version"}}
        value = {"deletionTimestamp": "2026-01-01T00:00:00Z", "namespace": ""}.get(name, "x")
        review = {"metadata": {name: value}, "spec": spec}
        found = await ask(BOB, "POST", REVIEWS, review)
        assert found["status"]["allowed"]
        assert name not in found["metadata"]
        review["metadata"] = {"name": "x"}
        await refused(ask, Invalid, BOB, "POST", REVIEWS, review)

    run(case)


def test_a_namespace_is_reached_by_its_own_path_with_the_rights_in_it() -> None:
    async def case(ask: Ask) -> None:
        found = await ask(BOB, "GET", "/api/v1/namespaces/mine")
        assert found["metadata"]["name"] == "mine"
        await refused(ask, Forbidden, BOB, "GET", "/api/v1/namespaces/kube-system")

    run(case)


def test_a_field_selector_names_an_object_for_reading_many_alone() -> None:
    async def case(ask: Ask) -> None:
        path = "/api/v1/namespaces/mine/secrets?fieldSelector=metadata.name%3Down"
        assert (await ask(CAROL, "GET", path))["items"] == []
        await refused(ask, Forbidden, CAROL, "POST", path, {"metadata": {"name": "other"}})
        await refused(ask, Forbidden, CAROL, "DELETE", path)

    run(case)


def test_an_unknown_document_is_not_found_also_where_documents_are_made_in_a_thread() -> None:
    async def case(ask: Ask) -> None:
        await refused(ask, NotFound, BOB, "GET", "/openapi/v3/apis/none/v1")

    run(case)


NAMED = "/api/v1/namespaces/default"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", f"{NAMED}/serviceaccounts/any/token", {"spec": [1]}),
        ("POST", f"{NAMED}/serviceaccounts/any/token", {"spec": {"expirationSeconds": 1e15}}),
        ("POST", f"{NAMED}/serviceaccounts/any/token", {"metadata": "x"}),
        ("POST", f"{NAMED}/serviceaccounts/any/token", {"spec": {"audiences": "x"}}),
        ("POST", f"{NAMED}/pods/any/eviction", {"deleteOptions": [1]}),
        ("POST", f"{NAMED}/pods/any/binding", {"target": "x"}),
        ("DELETE", f"{NAMED}/configmaps/any", {"preconditions": [1]}),
        ("DELETE", f"{NAMED}/configmaps/any", {"dryRun": 5}),
    ],
)
def test_a_body_of_the_wrong_shape_is_a_bad_request(
    method: str, path: str, body: dict[str, Any]
) -> None:
    async def case(ask: Ask) -> None:
        await refused(ask, BadRequest, ADMIN, method, path, body)

    run(case)


def test_nothing_lies_below_a_status() -> None:
    async def case(ask: Ask) -> None:
        for method in ("GET", "PATCH", "PUT"):
            path = "/api/v1/namespaces/mine/status/x"
            await refused(ask, NotFound, ADMIN, method, path, {"metadata": {"name": "mine"}})

    run(case)


def test_a_pod_without_a_spec_is_invalid() -> None:
    async def case(ask: Ask) -> None:
        await ask(ADMIN, "POST", f"{NAMED}/serviceaccounts", {"metadata": {"name": "default"}})
        await refused(ask, Invalid, ADMIN, "POST", f"{NAMED}/pods", {"metadata": {"name": "p"}})
        meta = {"name": "p", "annotations": {"kubernetes.io/config.mirror": "x"}}
        await refused(ask, Invalid, ADMIN, "POST", f"{NAMED}/pods", {"metadata": meta})

    run(case)


def test_a_pod_can_be_deleted_however_long_its_grace_period() -> None:
    async def case(ask: Ask) -> None:
        await ask(ADMIN, "POST", f"{NAMED}/serviceaccounts", {"metadata": {"name": "default"}})
        containers = [{"name": "c", "image": "i"}]
        spec = {"containers": containers, "nodeName": "n", "terminationGracePeriodSeconds": 1 << 50}
        await ask(ADMIN, "POST", f"{NAMED}/pods", {"metadata": {"name": "p"}, "spec": spec})
        found = await ask(ADMIN, "DELETE", f"{NAMED}/pods/p")
        assert found["metadata"]["deletionGracePeriodSeconds"] == 1 << 32

    run(case)


@pytest.mark.parametrize("name", ["a b", "a\0b", "A", "x\ny", "a" * 254])
def test_an_autoscaler_is_named_like_a_subdomain(name: str) -> None:
    async def case(ask: Ask) -> None:
        path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
        spec = {"scaleTargetRef": target, "maxReplicas": 2}
        body = {"metadata": {"name": name}, "spec": spec}
        await refused(ask, Invalid, ADMIN, "POST", path, body)

    run(case)
