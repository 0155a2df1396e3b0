"""StatefulSet: the rows of [sig-apps] StatefulSet Basic StatefulSet functionality."""

from __future__ import annotations

from typing import Any

from served import STRATEGIC, Document, Watched
from simulation.objects import Objects, condition_of
from simulation.quiet import Quiet, pod_template, quietly
from steersman.node.simulated.behaviour import Behaviour

APP = {"baz": "blah", "foo": "bar"}
LABEL = "baz=blah,foo=bar"
OLD, NEW = "example.com/web:1", "example.com/web:2"
SLOW = Behaviour(start_seconds=0.5, stop_seconds=0.5)
GATE = "example.com/open"
HASH = "controller-revision-hash"


class Db:
    """A StatefulSet `ss` and its pods. Which of these are ready a readiness gate says, where
    upstream's test breaks and mends a probe."""

    def __init__(self, quiet: Quiet) -> None:
        self.quiet = quiet
        self.sets = Objects(quiet, "apps/v1", "statefulsets")
        self.pods = Objects(quiet, "/api/v1", "pods")

    async def begin(self, replicas: int, **spec: Any) -> None:
        made = {
            "replicas": replicas,
            "serviceName": "test",
            "selector": {"matchLabels": APP},
            "template": pod_template(APP, OLD),
            **spec,
        }
        await self.sets.post("ss", spec=made, metadata={"labels": APP})

    async def scale(self, replicas: int) -> None:
        await self.sets.patch("ss", {"spec": {"replicas": replicas}})

    async def image(self, image: str) -> None:
        change = {"spec": {"containers": [{"name": "web", "image": image}]}}
        await self.sets.patch("ss", {"spec": {"template": change}}, how=STRATEGIC)

    async def ready(self, number: int) -> Document | None:
        """Returns the set once it has so many pods, all of them ready and current."""
        found = await self.sets.get("ss")
        status = found.get("status", {})
        seen = status.get("observedGeneration") == found["metadata"]["generation"]
        counts = {status.get("replicas", 0), status.get("readyReplicas", 0)}
        return found if seen and counts == {number} else None

    async def settle(self, number: int) -> Document:
        found: Document = await self.quiet.until(lambda: self.ready(number))
        return found

    async def images(self) -> dict[str, str]:
        """Returns the image of each pod."""
        return {
            it["metadata"]["name"]: it["spec"]["containers"][0]["image"]
            for it in await self.pods.items()
        }

    async def mark(self, name: str, ready: bool) -> None:
        """Has a pod be ready or not."""
        one = {"type": GATE, "status": "True" if ready else "False"}
        await self.pods.patch(name, {"status": {"conditions": [one]}}, "status", STRATEGIC)
        await self.quiet.until(lambda: self.says(name, ready))

    async def says(self, name: str, ready: bool) -> bool:
        return await self.is_ready(name) is ready

    async def come(self, number: int) -> None:
        """Waits for pods one after the other and lets each become ready."""
        for ordinal in range(number):
            await self.quiet.until(lambda ordinal=ordinal: self.runs(f"ss-{ordinal}"))  # type: ignore[misc]
            await self.mark(f"ss-{ordinal}", True)

    async def runs(self, name: str) -> bool:
        found = {it["metadata"]["name"]: it for it in await self.pods.items()}
        return condition_of(found.get(name, {}), "ContainersReady").get("status") == "True"

    async def is_ready(self, name: str) -> bool:
        return condition_of(await self.pods.get(name), "Ready").get("status") == "True"


def gated() -> Document:
    """Returns a template whose pods are ready once their gate is opened."""
    made = pod_template(APP, OLD)
    made["spec"]["readinessGates"] = [{"conditionType": GATE}]
    return made


def came_and_went(watched: Watched) -> list[str]:
    """Returns which pods came and went since a watch was opened, in order."""
    return [f"{kind} {name}" for kind, name in watched.brief() if kind != "MODIFIED"]


def test_scaling_is_in_order_and_halts_at_a_pod_that_is_not_ready() -> None:
    async def scenario(quiet: Quiet) -> None:
        db = Db(quiet)
        watched = await db.pods.watch(LABEL)
        await db.begin(1, template=gated())
        await db.come(1)
        await db.mark("ss-0", False)
        await db.scale(3)
        await quiet.world.sleep(10)
        assert await db.pods.names() == ["ss-0"]
        await db.come(3)
        await db.settle(3)
        assert came_and_went(watched) == ["ADDED ss-0", "ADDED ss-1", "ADDED ss-2"]
        for name in ("ss-0", "ss-1", "ss-2"):
            await db.mark(name, False)
        await db.scale(0)
        await quiet.world.sleep(10)
        assert await db.pods.names() == ["ss-0", "ss-1", "ss-2"]
        for name in ("ss-0", "ss-1"):  # one that is the last to be unready does not hold itself
            await db.mark(name, True)
        await db.settle(0)
        gone = ["DELETED ss-2", "DELETED ss-1", "DELETED ss-0"]
        assert came_and_went(watched) == gone

    quietly(scenario, behaviour=SLOW)


def test_a_parallel_set_scales_in_bursts_also_where_pods_are_not_ready() -> None:
    async def scenario(quiet: Quiet) -> None:
        db = Db(quiet)
        await db.begin(1, template=gated(), podManagementPolicy="Parallel")
        await db.come(1)
        await db.mark("ss-0", False)
        await db.scale(3)
        await quiet.until(lambda: db.pods.count(3))
        assert not await db.is_ready("ss-0")
        await db.come(3)
        await db.settle(3)
        await db.mark("ss-1", False)
        await db.scale(0)
        await quiet.until(lambda: db.pods.count(0))
        await db.settle(0)

    quietly(scenario, behaviour=SLOW)


def test_an_update_goes_down_the_ordinals_and_a_roll_back_too() -> None:
    async def scenario(quiet: Quiet) -> None:
        db = Db(quiet)
        await db.begin(3)
        before = (await db.settle(3))["status"]
        assert before["currentRevision"] == before["updateRevision"]
        for image, back in ((NEW, False), (OLD, True)):
            watched = await db.pods.watch(LABEL)
            await db.image(image)
            await quiet.until(lambda image=image: all_have(db, image))  # type: ignore[misc]
            status = (await quiet.until(lambda: rolled(db)))["status"]
            assert (status["currentRevision"] == before["currentRevision"]) is back
            gone = [name for kind, name in watched.brief() if kind == "DELETED"]
            assert gone == ["ss-2", "ss-1", "ss-0"]
        revisions = Objects(quiet, "apps/v1", "controllerrevisions")
        numbers = sorted(it["revision"] for it in await revisions.items())
        assert numbers == [2, 3]

    quietly(scenario, behaviour=SLOW)


async def all_have(db: Db, image: str) -> bool:
    return list((await db.images()).values()) == [image] * 3


async def rolled(db: Db) -> Document | None:
    """Returns the set once all its pods are of its update revision, which is the current one."""
    found = await db.ready(3)
    status = (found or {}).get("status", {})
    same = status.get("currentRevision") == status.get("updateRevision")
    return found if found and same and status.get("updatedReplicas") == 3 else None


def test_a_pod_that_goes_during_an_update_comes_back_with_its_own_revision() -> None:
    async def scenario(quiet: Quiet) -> None:
        db = Db(quiet)
        await db.begin(3)
        first = (await db.settle(3))["status"]["currentRevision"]
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 3}}
        await db.sets.patch("ss", {"spec": {"updateStrategy": rolling}})
        await db.image(NEW)
        await quiet.world.sleep(10)
        assert set((await db.images()).values()) == {OLD}
        await move_partition(db, 2)
        await quiet.until(lambda: images_are(db, [OLD, OLD, NEW]))
        for name in ("ss-0", "ss-2"):  # of the old and of the new template
            await db.pods.delete(name)
            await quiet.until(lambda name=name: renewed(db, name))  # type: ignore[misc]
            assert list((await db.images()).values()) == [OLD, OLD, NEW]
        hashes = [it["metadata"]["labels"][HASH] for it in await db.pods.items()]
        assert hashes[:2] == [first] * 2
        assert hashes[2] == (await db.sets.get("ss"))["status"]["updateRevision"] != first
        for partition, images in ((1, [OLD, NEW, NEW]), (0, [NEW, NEW, NEW])):
            await move_partition(db, partition)
            await quiet.until(lambda images=images: images_are(db, images))  # type: ignore[misc]
        await quiet.until(lambda: rolled(db))

    quietly(scenario, behaviour=SLOW)


async def move_partition(db: Db, partition: int) -> None:
    change = {"spec": {"updateStrategy": {"rollingUpdate": {"partition": partition}}}}
    await db.sets.patch("ss", change)


async def images_are(db: Db, images: list[str]) -> bool:
    found = await db.images()
    return await db.ready(3) is not None and [found[it] for it in sorted(found)] == images


async def renewed(db: Db, name: str) -> bool:
    found = await db.pods.get(name)
    return "deletionTimestamp" not in found["metadata"] and await db.ready(3) is not None


def test_a_pod_that_its_node_refused_is_made_anew_until_it_can_run() -> None:
    async def scenario(quiet: Quiet) -> None:
        db = Db(quiet)
        await db.begin(1)
        await db.settle(1)
        first = (await db.pods.get("ss-0"))["metadata"]["uid"]
        watched = await db.pods.watch(LABEL)
        refused = {"phase": "Failed", "reason": "NodePorts", "message": "no free ports"}
        await db.pods.patch("ss-0", {"status": refused}, "status")
        await quiet.until(lambda: another(db, first))
        assert ("DELETED", "ss-0") in watched.brief()
        await db.settle(1)

    quietly(scenario)


async def another(db: Db, uid: str) -> bool:
    return bool((await db.pods.get("ss-0"))["metadata"]["uid"] != uid)


def test_a_stateful_set_has_a_scale() -> None:
    async def scenario(quiet: Quiet) -> None:
        db = Db(quiet)
        await db.begin(1)
        await db.settle(1)
        scale = await db.sets.get("ss", "scale")
        assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (1, 1)
        scale["spec"]["replicas"] = 2
        assert (await db.sets.put(scale, "scale"))["spec"]["replicas"] == 2
        assert (await db.settle(2))["spec"]["replicas"] == 2
        await db.sets.patch("ss", {"spec": {"replicas": 4}}, "scale")
        assert (await db.settle(4))["spec"]["replicas"] == 4

    quietly(scenario)


def test_stateful_sets_are_listed_patched_and_deleted_as_a_collection() -> None:
    async def scenario(quiet: Quiet) -> None:
        db = Db(quiet)
        await db.begin(1)
        await db.settle(1)
        assert await db.sets.names(LABEL, everywhere=True) == ["ss"]
        change = {
            "metadata": {"labels": {"test-ss": "patched"}},
            "spec": {
                "replicas": 2,
                "template": {
                    "spec": {
                        "terminationGracePeriodSeconds": 0,
                        "containers": [{"name": "web", "image": NEW}],
                    }
                },
            },
        }
        await db.sets.patch("ss", change, how=STRATEGIC)
        found = await db.settle(2)
        assert found["metadata"]["labels"] == {**APP, "test-ss": "patched"}
        await quiet.until(lambda: both_new(db))
        await db.sets.clear("test-ss=patched")
        assert await db.sets.names(everywhere=True) == []
        await quiet.until(lambda: db.pods.count(0))

    quietly(scenario)


async def both_new(db: Db) -> bool:
    return list((await db.images()).values()) == [NEW, NEW]
