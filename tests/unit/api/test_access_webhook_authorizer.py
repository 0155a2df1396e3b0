"""A webhook that says who may do what: asked, believed for a while, not needed by those it never
concerns."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import uvloop

from hooks import Clock, listening
from served import MAPS, Served, config_map, prepare, serving
from steersman.api.access.settings import AccessSettings
from steersman.api.access.webhook.settings import WebhookSettings
from steersman.client.http import Target
from steersman.model.kind import Document
from steersman.wire.message import Request, Response, User

JANE = User("jane", ("system:authenticated",))
RBAC = "/apis/rbac.authorization.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1"


class Hook:
    """Keeps what it was asked and answers what the test wants."""

    def __init__(self) -> None:
        self.asked: list[Document] = []
        self.status: Callable[[Document], Document] = lambda _spec: {"allowed": True}
        self.codes: list[int] = []
        self.path = "/authorize"
        self.gate: asyncio.Event | None = None
        self.came = asyncio.Event()

    async def handle(self, request: Request) -> Response:
        assert (request.method, request.path, request.query) == ("POST", self.path, "")
        review = orjson.loads(request.body)
        self.asked.append(review)
        self.came.set()
        if self.gate is not None:
            await self.gate.wait()
        answer = {**review, "status": self.status(review["spec"])}
        return Response(orjson.dumps(answer), self.codes.pop(0) if self.codes else 200)


class Quick(Clock):
    """A clock by which pauses take no time, and are told."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def pause(self, seconds: float) -> None:
        self.slept.append(seconds)
        await super().pause(0 if seconds < 5 else seconds)


def asking(
    tmp_path: Path,
    case: Callable[[Hook, Served, Quick], Any],
    *modes: str,
    **settings: Any,
) -> None:
    async def main() -> None:
        world, hook = Quick(), Hook()
        async with listening(tmp_path, world, hook.handle) as (port, bundle):
            tls = ssl.create_default_context(cadata=base64.b64decode(bundle).decode())
            target = Target("localhost", port, tls, prefix="/authorize")
            one = WebhookSettings(target, "v1", **settings)
            access = AccessSettings(
                modes=modes or ("Webhook", "RBAC"), authorization_webhooks=(one,)
            )
            async with asyncio.timeout(60), serving(world, access=access) as api:
                await prepare(api)
                await case(hook, api, world)

    uvloop.run(main())


def test_who_is_allowed_may_and_is_asked_about_once(tmp_path: Path) -> None:
    async def case(hook: Hook, api: Served, clock: Quick) -> None:
        hook.status = lambda _spec: {"allowed": True, "reason": "so"}
        (await api.post(MAPS, config_map("a"), user=JANE)).ok()
        (review,) = hook.asked
        assert review == {
            "kind": "SubjectAccessReview",
            "apiVersion": "authorization.k8s.io/v1",
            "metadata": {},
            "spec": {
                "resourceAttributes": {
                    "namespace": "default",
                    "verb": "create",
                    "version": "v1",
                    "resource": "configmaps",
                },
                "user": "jane",
                "groups": ["system:authenticated"],
            },
            "status": {"allowed": False},
        }
        (await api.post(MAPS, config_map("b"), user=JANE)).ok()
        assert len(hook.asked) == 1
        clock.passed += 299
        (await api.post(MAPS, config_map("c"), user=JANE)).ok()
        assert len(hook.asked) == 1
        clock.passed += 2
        (await api.post(MAPS, config_map("d"), user=JANE)).ok()
        assert len(hook.asked) == 2
        assert (await api.get(f"{MAPS}/a")).code == 200  # administrators need nobody's word
        assert len(hook.asked) == 2

    asking(tmp_path, case)


def test_who_asks_the_same_at_once_shares_the_answer(tmp_path: Path) -> None:
    async def case(hook: Hook, api: Served, _clock: Quick) -> None:
        hook.gate = asyncio.Event()
        many = [asyncio.ensure_future(api.get(MAPS, user=JANE)) for _ in range(20)]
        await hook.came.wait()
        hook.gate.set()
        assert {(await one).code for one in many} == {200}
        assert len(hook.asked) == 1

    asking(tmp_path, case, authorized_seconds=0.0)


def test_one_who_gives_up_does_not_spoil_it_for_the_others(tmp_path: Path) -> None:
    async def case(hook: Hook, api: Served, _clock: Quick) -> None:
        hook.gate = asyncio.Event()
        first = asyncio.ensure_future(api.get(MAPS, user=JANE))
        await hook.came.wait()
        second = asyncio.ensure_future(api.get(MAPS, user=JANE))
        for _ in range(20):
            await asyncio.sleep(0)
        first.cancel()
        hook.gate.set()
        assert (await second).code == 200
        assert len(hook.asked) == 2

    asking(tmp_path, case)


def test_what_is_not_to_be_kept_is_asked_each_time(tmp_path: Path) -> None:
    async def case(hook: Hook, api: Served, _clock: Quick) -> None:
        for count in (1, 2, 3):
            assert (await api.get(MAPS, user=JANE)).code == 200
            assert len(hook.asked) == count
        hook.status = lambda _spec: {"allowed": False}
        assert (await api.get(MAPS, user=JANE)).code == 403
        assert (await api.get(MAPS, user=JANE)).code == 403
        assert len(hook.asked) == 4

    asking(tmp_path, case, authorized_seconds=0.0)


def test_a_refusal_is_kept_for_its_own_time(tmp_path: Path) -> None:
    async def case(hook: Hook, api: Served, clock: Quick) -> None:
        hook.status = lambda _spec: {"allowed": False, "reason": "not today"}
        refused = await api.get(MAPS, user=JANE)
        assert refused.code == 403
        assert refused.message == (
            'configmaps is forbidden: User "jane" cannot list resource "configmaps" in API group '
            '"" in the namespace "default": not today'
        )
        clock.passed += 29
        assert (await api.get(MAPS, user=JANE)).code == 403
        assert len(hook.asked) == 1
        clock.passed += 2
        assert (await api.get(MAPS, user=JANE)).code == 403
        assert len(hook.asked) == 2

    asking(tmp_path, case)


def test_too_long_a_question_is_not_kept(tmp_path: Path) -> None:
    async def case(hook: Hook, api: Served, _clock: Quick) -> None:
        for count in (1, 2):
            assert (await api.get(f"{MAPS}/{'x' * 10_000}", user=JANE)).code == 404
            assert len(hook.asked) == count

    asking(tmp_path, case)


def test_without_an_opinion_the_next_is_asked_and_a_denial_is_final(tmp_path: Path) -> None:
    async def case(hook: Hook, api: Served, clock: Quick) -> None:
        binding = {
            "metadata": {"name": "jane"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "view",
            },
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}],
        }
        (await api.post(f"{RBAC}/clusterrolebindings", binding)).ok()
        hook.status = lambda _spec: {"allowed": False}
        assert (await api.get(MAPS, user=JANE)).code == 200
        clock.passed += 60
        hook.status = lambda _spec: {"allowed": False, "denied": True, "reason": "locked"}
        refused = await api.get(MAPS, user=JANE)
        assert refused.code == 403
        assert refused.message.endswith(": locked")

    asking(tmp_path, case)


def test_who_is_allowed_before_needs_no_webhook(tmp_path: Path) -> None:
    async def case(hook: Hook, api: Served, _clock: Quick) -> None:
        hook.status = lambda _spec: {"denied": True}
        assert (await api.get("/version", user=JANE)).code == 200
        assert not hook.asked
        assert (await api.get(MAPS, user=JANE)).code == 403
        assert len(hook.asked) == 1

    asking(tmp_path, case, "RBAC", "Webhook")


@pytest.mark.parametrize("denies", [False, True])
def test_a_webhook_that_fails_is_told(tmp_path: Path, denies: bool) -> None:
    async def case(hook: Hook, api: Served, clock: Quick) -> None:
        hook.codes = [500] * 5
        failed = await api.get(MAPS, user=JANE)
        assert failed.code == 500
        assert failed.message.startswith(f'Internal Server Error: "{MAPS}": an error on the server')
        assert len(hook.asked) == 5
        pauses = clock.slept[-4:]
        for pause, least in zip(pauses, (0.5, 0.75, 1.125, 1.6875), strict=True):
            assert least <= pause <= least * 1.2
        # RBAC is asked only where the webhook has no opinion
        discovery = await api.get("/api", user=JANE)
        assert discovery.code == 200
        hook.codes = [403]
        review = await api.post(
            f"{REVIEWS}/selfsubjectaccessreviews",
            {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}},
            user=User("joe", ("system:authenticated",)),
        )
        # nobody answered, so that he may not even ask
        assert review.code == (500 if denies else 201)
        hook.codes = [500, 200]
        assert (await api.get(MAPS, user=JANE)).code == 200

    asking(tmp_path, case, denies=denies)


def test_a_webhook_that_is_not_there_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        world = Quick()
        one = WebhookSettings(Target("localhost", 1), "v1")
        access = AccessSettings(modes=("Webhook",), authorization_webhooks=(one,))
        async with asyncio.timeout(60), serving(world, access=access) as api:
            failed = await api.get(MAPS, user=JANE)
            assert failed.code == 500
            assert f'"{MAPS}": Post "http://localhost:1/": ' in failed.message
            review = await api.post(
                f"{REVIEWS}/subjectaccessreviews",
                {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}, "user": "x"}},
            )
            status = review.ok()["status"]
            assert status["allowed"] is False
            assert status["evaluationError"].startswith('Post "http://localhost:1/": ')

    uvloop.run(main())


def test_conditions_say_whom_the_webhook_is_asked_about(tmp_path: Path) -> None:
    async def case(hook: Hook, api: Served, _clock: Quick) -> None:
        assert (await api.get(MAPS, user=User("joe"))).code == 403
        assert not hook.asked
        assert (await api.get(MAPS, user=JANE)).code == 200
        assert len(hook.asked) == 1

    asking(tmp_path, case, conditions=("request.user == 'jane'",))


@pytest.mark.parametrize(("denies", "code"), [(False, 200), (True, 500)])
def test_a_condition_without_a_value_counts_as_a_failure(
    tmp_path: Path, denies: bool, code: int
) -> None:
    async def case(hook: Hook, api: Served, _clock: Quick) -> None:
        assert (await api.get("/version", user=JANE)).code == code
        assert not hook.asked

    condition = "request.extra['none'][0] == 'x'"
    asking(tmp_path, case, "Webhook", "AlwaysAllow", denies=denies, conditions=(condition,))


def test_what_is_asked_in_the_course_of_a_write_is_fetched_too(tmp_path: Path) -> None:
    async def case(hook: Hook, api: Served, _clock: Quick) -> None:
        def status(spec: Document) -> Document:
            return {"allowed": spec["resourceAttributes"]["verb"] in ("create", "bind")}

        hook.status = status
        binding = {
            "metadata": {"name": "more"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "cluster-admin",
            },
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}],
        }
        (await api.post(f"{RBAC}/clusterrolebindings", binding, user=JANE)).ok()
        verbs = [one["spec"]["resourceAttributes"]["verb"] for one in hook.asked]
        assert sorted(set(verbs)) == ["bind", "create"]
        hook.status = lambda spec: {"allowed": spec["resourceAttributes"]["verb"] == "create"}
        refused = await api.post(
            f"{RBAC}/clusterrolebindings",
            {**binding, "metadata": {"name": "other"}},
            user=User("joe", ("system:authenticated",)),
        )
        assert refused.code == 403
        assert "attempting to grant RBAC permissions not currently held" in refused.message

    asking(tmp_path, case, authorized_seconds=0.0, unauthorized_seconds=0.0)


def test_impersonation_and_reviews_ask_as_well(tmp_path: Path) -> None:
    async def case(hook: Hook, api: Served, _clock: Quick) -> None:
        hook.status = lambda spec: {
            "allowed": spec["user"] != "mallory",
            "denied": spec["user"] == "mallory",
            "reason": spec["user"],
        }
        asked = {"resourceAttributes": {"verb": "get", "resource": "pods"}}
        spec = {**asked, "user": "joe", "groups": ["g"]}
        review = await api.post(f"{REVIEWS}/subjectaccessreviews", {"spec": spec})
        assert review.ok()["status"] == {"allowed": True, "reason": "joe"}
        review = await api.post(
            f"{REVIEWS}/subjectaccessreviews", {"spec": {**spec, "user": "mallory"}}
        )
        assert review.ok()["status"] == {
            "allowed": False,
            "denied": True,
            "reason": "mallory",
        }
        rules = await api.post(
            f"{REVIEWS}/selfsubjectrulesreviews", {"spec": {"namespace": "default"}}, user=JANE
        )
        status = rules.ok()["status"]
        assert status["incomplete"] is True
        expected = "webhook authorizer does not support user rule resolution"
        assert status["evaluationError"] == expected

    asking(tmp_path, case)


async def counted(api: Served, name: str) -> dict[str, str]:
    """Returns what is counted of webhooks, by labels."""
    text = (await api.get("/metrics")).document.decode()
    start = f"apiserver_authorization_webhook_{name}{{"
    lines = [line for line in text.splitlines() if line.startswith(start)]
    return {line.removeprefix(start).split("}")[0]: line.rpartition(" ")[2] for line in lines}


def test_what_became_of_its_answers_is_counted(tmp_path: Path) -> None:
    async def case(hook: Hook, api: Served, _clock: Quick) -> None:
        (await api.post(MAPS, config_map("a"), user=JANE)).ok()
        (await api.post(MAPS, config_map("b"), user=JANE)).ok()  # from memory
        hook.codes = [403]
        assert (await api.get(f"{MAPS}/a", user=JANE)).code == 500
        hook.gate = asyncio.Event()
        assert (await api.delete(f"{MAPS}/a", user=JANE)).code == 500
        hook.gate.set()
        evaluations = await counted(api, "evaluations_total")
        assert evaluations == {
            'name="mine",result="error"': "1",
            'name="mine",result="success"': "1",
            'name="mine",result="timeout"': "1",
        }
        opened = await counted(api, "evaluations_fail_open_total")
        assert opened == {'name="mine",result="error"': "1", 'name="mine",result="timeout"': "1"}
        durations = await counted(api, "duration_seconds_count")
        assert durations == evaluations

    asking(tmp_path, case, name="mine", timeout_seconds=0.5)


def test_one_that_denies_where_it_fails_does_not_fail_open(tmp_path: Path) -> None:
    async def case(hook: Hook, api: Served, _clock: Quick) -> None:
        hook.codes = [403]
        assert (await api.get(f"{MAPS}/a", user=JANE)).code == 500
        assert await counted(api, "evaluations_total") == {'name="default",result="error"': "1"}
        assert await counted(api, "evaluations_fail_open_total") == {}

    asking(tmp_path, case, denies=True)
