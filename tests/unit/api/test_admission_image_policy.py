"""ImagePolicyWebhook: somebody outside is asked whether images may run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import uvloop

from hooks import Clock
from served import MAPS, PODS, Served, config_map, pod, prepare, serving
from steersman.api.admission.plugins.image_policy import PolicySettings, parse
from steersman.api.admission.plugins.registry import AdmissionSettings, enabled
from steersman.client.http import Target
from steersman.listen import serve
from steersman.model.kind import Document
from steersman.wire.message import Request, Response


class Hook:
    """Keeps what it was asked and answers what the test wants."""

    def __init__(self) -> None:
        self.asked: list[Document] = []
        self.status: Document = {"allowed": True}
        self.code = 200

    def handle(self, request: Request) -> Response:
        assert (request.method, request.path) == ("POST", "/images")
        self.asked.append(orjson.loads(request.body))
        return Response(orjson.dumps({"status": self.status}), self.code)


def asking(case: Callable[[Hook, Served, Clock], Any], **settings: Any) -> None:
    async def main() -> None:
        world, hook = Clock(), Hook()
        async with serve.Server(hook.handle, world) as server:
            _, port = await server.listen("127.0.0.1", 0, None)
            target = Target("127.0.0.1", port, prefix="/images")
            policy = PolicySettings(target, retry_seconds=0.0, **settings)
            admission = AdmissionSettings(enabled(["ImagePolicyWebhook"]), image_policy=policy)
            async with asyncio.timeout(60), serving(world, admission=admission) as api:
                await prepare(api)
                await case(hook, api, world)

    uvloop.run(main())


def test_a_pods_images_are_asked_about_and_the_answer_is_believed_for_a_while() -> None:
    async def case(hook: Hook, api: Served, clock: Clock) -> None:
        made = pod("p", initContainers=[{"name": "first", "image": "other"}])
        marks = {"x.image-policy.k8s.io/ticket": "1", "other": "2"}
        made["metadata"]["annotations"] = marks
        (await api.post(PODS, made)).ok()
        (review,) = hook.asked
        assert review == {
            "kind": "ImageReview",
            "apiVersion": "imagepolicy.k8s.io/v1alpha1",
            "metadata": {},
            "spec": {
                "containers": [{"image": "busybox"}, {"image": "other"}],
                "annotations": {"x.image-policy.k8s.io/ticket": "1"},
                "namespace": "default",
            },
            "status": {"allowed": False},
        }
        made["metadata"]["name"] = "q"
        (await api.post(PODS, made)).ok()
        assert len(hook.asked) == 1
        clock.passed += 301
        made["metadata"]["name"] = "r"
        (await api.post(PODS, made)).ok()
        assert len(hook.asked) == 2
        (await api.post(MAPS, config_map("a"))).ok()
        assert len(hook.asked) == 2

    asking(case)


def test_images_that_may_not_run_are_refused() -> None:
    async def case(hook: Hook, api: Served, clock: Clock) -> None:
        hook.status = {"allowed": False, "reason": "too old"}
        refused = await api.post(PODS, pod("p"))
        assert (refused.code, refused.message) == (
            403,
            'pods "p" is forbidden: image policy webhook backend denied one or more images: too '
            "old",
        )
        clock.passed += 31
        hook.status = {}
        refused = await api.post(PODS, pod("p"))
        assert refused.message == (
            'pods "p" is forbidden: one or more images rejected by webhook backend'
        )
        hook.status = {"allowed": True}
        clock.passed += 31
        (await api.post(PODS, pod("p"))).ok()
        assert len(hook.asked) == 3

    asking(case)


@pytest.mark.parametrize(("allows", "code"), [(False, 403), (True, 201)])
def test_silence_is_what_it_was_said_to_be(allows: bool, code: int) -> None:
    async def case(hook: Hook, api: Served, _clock: Clock) -> None:
        hook.code = 500
        answer = await api.post(PODS, pod("p"))
        assert answer.code == code
        if code == 403:
            assert answer.message.startswith('pods "p" is forbidden: an error on the server')
        assert len(hook.asked) == 5
        hook.code = 200
        (await api.post(PODS, pod("q"))).ok()
        assert len(hook.asked) == 6

    asking(case, allows=allows)


def test_what_is_not_to_be_kept_is_asked_each_time() -> None:
    async def case(hook: Hook, api: Served, _clock: Clock) -> None:
        for name in ("a", "b"):
            (await api.post(PODS, pod(name))).ok()
        assert len(hook.asked) == 2

    asking(case, allow_seconds=0.0)


def test_a_configuration_names_the_webhook_and_its_times() -> None:
    target, asked = Target("there"), []

    def read(path: Path) -> Target:
        asked.append(path)
        return target

    policy = {"kubeConfigFile": "/etc/k", "allowTTL": 60, "denyTTL": -1, "defaultAllow": True}
    found = parse({"imagePolicy": {**policy, "retryBackoff": 250}}, read)
    assert found == PolicySettings(target, 60.0, 0.0, 0.25, True)
    assert asked == [Path("/etc/k")]
    assert parse({"imagePolicy": {"kubeConfigFile": "k"}}, read) == PolicySettings(target)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({}, "imagePolicy.kubeConfigFile: Required value"),
        (
            {"kubeConfigFile": "k", "allowTTL": 1},
            "imagePolicy.allowTTL: valid value is between 1s and 30m0s, got 1s",
        ),
        (
            {"kubeConfigFile": "k", "denyTTL": 1801},
            "imagePolicy.denyTTL: valid value is between 1s and 30m0s, got 1801s",
        ),
        (
            {"kubeConfigFile": "k", "retryBackoff": 300_001},
            "imagePolicy.retryBackoff: valid value is between 1ns and 5m0s, got 300.001s",
        ),
        ({"colour": "red"}, "Object contains unknown field `colour` - at `$.imagePolicy`"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(policy: Document, expected: str) -> None:
    with pytest.raises(ValueError) as raised:
        parse({"imagePolicy": policy}, lambda _: Target())
    assert str(raised.value) == expected
