"""Deployment: the rows of [sig-apps] Deployment."""

from __future__ import annotations

from typing import Any

from served import STRATEGIC, Document
from simulation.objects import Objects, condition_of, seen
from simulation.quiet import Quiet, pod_template, quietly
from steersman.node.simulated.behaviour import Behaviour

APP = {"name": "web"}
OLD, NEW = "example.com/web:1", "example.com/web:2"
BROKEN = {"steersman.dev/pull-fails": "no such image"}
REVISION = "deployment.kubernetes.io/revision"
SLOW = Behaviour(start_seconds=1.0, stop_seconds=1.0)


def deployment(replicas: int = 1, image: str = OLD, **spec: Any) -> Document:
    """Returns the spec of a Deployment."""
    template = pod_template(APP, image)
    return {
        "replicas": replicas,
        "selector": {"matchLabels": APP},
        "template": template,
        **spec,
    }


class Web:
    """A Deployment `web`, its sets and its pods."""

    def __init__(self, quiet: Quiet) -> None:
        self.quiet = quiet
        self.deployments = Objects(quiet, "apps/v1", "deployments")
        self.sets = Objects(quiet, "apps/v1", "replicasets")
        self.pods = Objects(quiet, "/api/v1", "pods")

    async def rolled_out(self) -> Document | None:
        """Returns the Deployment once all its pods are new and available."""
        found = await self.deployments.get("web")
        status, wanted = found.get("status", {}), found["spec"]["replicas"]
        counts = {status.get(it) for it in ("replicas", "updatedReplicas", "availableReplicas")}
        seen = status.get("observedGeneration") == found["metadata"]["generation"]
        return found if seen and counts == {wanted} else None

    async def settle(self) -> Document:
        found: Document = await self.quiet.until(self.rolled_out)
        return found

    async def image(self, image: str, **marks: str) -> None:
        """Gives the template an image and annotations."""
        template = {
            "metadata": {"annotations": marks},
            "spec": {"containers": [{"name": "web", "image": image}]},
        }
        await self.deployments.patch("web", {"spec": {"template": template}}, how=STRATEGIC)

    async def images(self) -> set[str]:
        return {it["spec"]["containers"][0]["image"] for it in await self.pods.items()}


def test_a_rolling_update_replaces_the_pods_of_an_adopted_set() -> None:
    async def scenario(quiet: Quiet) -> None:
        web = Web(quiet)
        mark = {REVISION: "3546343826724305832"}
        spec = {"replicas": 1, "selector": {"matchLabels": APP}, "template": pod_template(APP, OLD)}
        await web.sets.post("old", spec=spec, metadata={"annotations": mark, "labels": APP})
        await quiet.until(lambda: web.pods.count(1))
        await web.deployments.post("web", spec=deployment(1, NEW))
        found = await web.settle()
        assert found["metadata"]["annotations"][REVISION] == "3546343826724305833"
        assert await web.images() == {NEW}
        await quiet.until(lambda: scaled_away(web, "old"))
        assert len(await web.sets.items()) == 2

    quietly(scenario)


async def scaled_away(web: Web, name: str) -> bool:
    found = await web.sets.get(name)
    (owner,) = found["metadata"].get("ownerReferences", [{"kind": ""}])
    assert owner["kind"] in ("", "Deployment")
    return (found["spec"]["replicas"], found["status"]["replicas"]) == (0, 0)


def test_recreate_runs_no_new_pod_beside_an_old_one() -> None:
    async def scenario(quiet: Quiet) -> None:
        web = Web(quiet)
        await web.deployments.post("web", spec=deployment(2, strategy={"type": "Recreate"}))
        await web.settle()
        watched = await web.pods.watch()
        await web.image(NEW)
        await web.settle()
        assert await web.images() == {NEW}
        present = {it["metadata"]["uid"] for it in await web.pods.items()}
        gone = 0
        while watched.frames:
            frame = await watched.next()
            gone += frame["type"] == "DELETED"
            if frame["object"]["metadata"]["uid"] in present:
                assert gone == 2, "a new pod was there while an old one was"
        assert gone == 2

    quietly(scenario, behaviour=SLOW)


def test_old_sets_beyond_the_history_limit_are_deleted() -> None:
    async def scenario(quiet: Quiet) -> None:
        web = Web(quiet)
        spec = {"replicas": 1, "selector": {"matchLabels": APP}, "template": pod_template(APP, OLD)}
        await web.sets.post("old", spec=spec, metadata={"labels": APP})
        await quiet.until(lambda: web.pods.count(1))
        await web.deployments.post("web", spec=deployment(1, NEW, revisionHistoryLimit=0))
        await web.settle()
        await quiet.until(lambda: web.sets.count(1))
        (left,) = await web.sets.items()
        assert left["spec"]["template"]["spec"]["containers"][0]["image"] == NEW

    quietly(scenario)


def test_a_template_that_changes_during_a_rollout_is_rolled_over_to() -> None:
    async def scenario(quiet: Quiet) -> None:
        web = Web(quiet)
        spec = {"replicas": 1, "selector": {"matchLabels": APP}, "template": pod_template(APP, OLD)}
        await web.sets.post("old", spec=spec, metadata={"labels": APP})
        await quiet.until(lambda: web.pods.count(1))
        bounds = {"maxUnavailable": 0, "maxSurge": 1}
        made = deployment(1, "redis", strategy={"rollingUpdate": bounds}, minReadySeconds=10)
        made["template"]["metadata"]["annotations"] = BROKEN
        await web.deployments.post("web", spec=made)
        await quiet.until(lambda: web.pods.count(2))
        await web.deployments.patch(
            "web", {"spec": {"template": {"metadata": {"annotations": None}}}}
        )
        await web.image(NEW)
        began = quiet.world.now()
        await web.settle()
        assert quiet.world.now() - began >= 9  # readiness is told in whole seconds
        assert await web.images() == {NEW}
        await quiet.until(lambda: scaled_away(web, "old"))
        sizes = sorted(it["spec"]["replicas"] for it in await web.sets.items())
        assert sizes == [0, 0, 1]

    quietly(scenario)


def test_a_deployment_is_scaled_in_proportion_while_it_rolls() -> None:
    async def scenario(quiet: Quiet) -> None:
        web = Web(quiet)
        bounds = {"maxSurge": 3, "maxUnavailable": 2}
        await web.deployments.post("web", spec=deployment(10, strategy={"rollingUpdate": bounds}))
        await web.settle()
        await web.image("webserver:404", **BROKEN)
        await quiet.until(lambda: sizes_are(web, {OLD: 8, "webserver:404": 5}))
        await web.deployments.patch("web", {"spec": {"replicas": 30}})
        await quiet.until(lambda: sizes_are(web, {OLD: 20, "webserver:404": 13}))

    quietly(scenario)


async def sizes_are(web: Web, sizes: dict[str, int]) -> bool:
    """Says whether the sets are to have so many pods, by their images."""
    found = {
        it["spec"]["template"]["spec"]["containers"][0]["image"]: it["spec"]["replicas"]
        for it in await web.sets.items()
    }
    return found == sizes


def test_a_deployment_has_a_scale() -> None:
    async def scenario(quiet: Quiet) -> None:
        web = Web(quiet)
        await web.deployments.post("web", spec=deployment(1))
        await web.settle()
        scale = await web.deployments.get("web", "scale")
        assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (1, 1)
        assert scale["status"]["selector"] == "name=web"
        scale["spec"]["replicas"] = 2
        assert (await web.deployments.put(scale, "scale"))["spec"]["replicas"] == 2
        assert (await web.settle())["spec"]["replicas"] == 2
        await web.deployments.patch("web", {"spec": {"replicas": 4}}, "scale")
        assert (await web.settle())["spec"]["replicas"] == 4

    quietly(scenario)


def test_a_deployment_lives_its_whole_life() -> None:
    async def scenario(quiet: Quiet) -> None:
        web = Web(quiet)
        mark = {"test-deployment-static": "true"}
        label = "test-deployment-static=true"
        watched = await web.deployments.watch(label)
        await web.deployments.post("web", spec=deployment(2), metadata={"labels": mark})
        await seen(watched, "ADDED", lambda it: it["metadata"]["name"] == "web")
        await seen(watched, "MODIFIED", lambda it: it["status"].get("availableReplicas") == 2)
        change = {"metadata": {"labels": {"test-deployment": "patched"}}, "spec": {"replicas": 1}}
        await web.deployments.patch("web", change, how=STRATEGIC)
        await web.image(NEW)
        await seen(
            watched,
            "MODIFIED",
            lambda it: (
                it["metadata"]["labels"].get("test-deployment") == "patched"
                and it["status"].get("readyReplicas") == 1
            ),
        )
        assert await web.deployments.names(label, everywhere=True) == ["web"]
        whole = await web.settle()
        whole["metadata"]["labels"]["test-deployment"] = "updated"
        whole["status"] = {"readyReplicas": 7}
        assert (await web.deployments.put(whole))["status"]["readyReplicas"] == 1
        own = {"type": "Own", "status": "True", "reason": "E2E", "message": "by hand"}
        whole = await web.deployments.get("web", "status")
        whole["status"]["conditions"].append(own)
        await web.deployments.put(whole, "status")
        await seen(watched, "MODIFIED", lambda it: condition_of(it, "Own") == own)
        await web.deployments.clear(label)
        await seen(watched, "DELETED", lambda it: it["metadata"]["name"] == "web")
        await quiet.until(lambda: web.pods.count(0))

    quietly(scenario)
