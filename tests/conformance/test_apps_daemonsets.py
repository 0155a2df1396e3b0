"""DaemonSets and their revisions: rows of [sig-apps] Daemon set and ControllerRevision."""

from __future__ import annotations

from typing import Any

from served import STRATEGIC, Document
from simulation.objects import Objects, condition_of
from simulation.quiet import Quiet, pod_template, quietly
from steersman.node.simulated.behaviour import Behaviour

APP = {"daemonset-name": "agent"}
LABEL = "daemonset-name=agent"
NODES = ["node-0", "node-1", "node-2"]


def daemon_set(image: str = "example.com/agent:1", **pod: Any) -> Document:
    """Returns the spec of a DaemonSet."""
    template = pod_template(APP, image)
    template["spec"] |= pod
    return {"selector": {"matchLabels": APP}, "template": template}


async def begin(quiet: Quiet, name: str = "agent", **spec: Any) -> tuple[Objects, Objects]:
    """Creates a DaemonSet; returns it and the pods."""
    sets, pods = Objects(quiet, "apps/v1", "daemonsets"), Objects(quiet, "/api/v1", "pods")
    await sets.post(name, metadata={"labels": APP}, spec={**daemon_set(), **spec})
    return sets, pods


async def runs_on(pods: Objects, nodes: list[str], image: str = "") -> list[Document] | None:
    """Returns the ready pods once there is one on each of the nodes and none else."""
    found = await pods.items()
    if not all(condition_of(it, "Ready").get("status") == "True" for it in found):
        return None
    if sorted(it["spec"]["nodeName"] for it in found) != nodes:
        return None
    same = all(image in ("", it["spec"]["containers"][0]["image"]) for it in found)
    return found if same else None


def test_a_simple_one_runs_on_every_node_and_a_deleted_pod_comes_back() -> None:
    async def scenario(quiet: Quiet) -> None:
        sets, pods = await begin(quiet)
        found = await quiet.until(lambda: runs_on(pods, NODES))
        for pod in found:
            (owner,) = pod["metadata"]["ownerReferences"]
            assert (owner["kind"], owner["name"], owner["controller"]) == (
                "DaemonSet",
                "agent",
                True,
            )
        await quiet.world.sleep(1)
        status = (await sets.get("agent"))["status"]
        assert status["desiredNumberScheduled"] == status["currentNumberScheduled"] == 3
        assert status["numberReady"] == 3
        gone = found[0]
        await pods.delete(gone["metadata"]["name"])
        await quiet.until(lambda: is_new(pods, gone["metadata"]["uid"]))
        await sets.delete("agent")
        await quiet.until(lambda: pods.count(0))

    quietly(scenario)


async def is_new(pods: Objects, uid: str) -> bool:
    found = await runs_on(pods, NODES)
    return found is not None and uid not in {it["metadata"]["uid"] for it in found}


def test_a_complex_one_follows_the_labels_of_nodes_and_its_selector() -> None:
    async def scenario(quiet: Quiet) -> None:
        nodes = Objects(quiet, "/api/v1", "nodes", "")
        template = daemon_set(nodeSelector={"color": "blue"})["template"]
        sets, pods = await begin(quiet, template=template)
        await quiet.world.sleep(10)
        assert await pods.names() == []
        await nodes.patch("node-1", {"metadata": {"labels": {"color": "blue"}}})
        await quiet.until(lambda: runs_on(pods, ["node-1"]))
        await nodes.patch("node-1", {"metadata": {"labels": {"color": "green"}}})
        await quiet.until(lambda: pods.count(0))
        change = {
            "spec": {
                "template": {"spec": {"nodeSelector": {"color": "green"}}},
                "updateStrategy": {"type": "RollingUpdate"},
            }
        }
        await sets.patch("agent", change)
        await quiet.until(lambda: runs_on(pods, ["node-1"]))
        await quiet.world.sleep(1)
        status = (await sets.get("agent"))["status"]
        assert (status["desiredNumberScheduled"], status["numberReady"]) == (1, 1)

    quietly(scenario)


def test_a_pod_that_failed_is_made_anew() -> None:
    async def scenario(quiet: Quiet) -> None:
        _, pods = await begin(quiet)
        found = await quiet.until(lambda: runs_on(pods, NODES))
        failed = found[1]["metadata"]
        await pods.patch(failed["name"], {"status": {"phase": "Failed"}}, "status")
        await quiet.until(lambda: is_new(pods, failed["uid"]))
        assert failed["name"] not in await pods.names()

    quietly(scenario)


def test_a_new_image_reaches_every_pod_and_a_revision_holds_each_template() -> None:
    async def scenario(quiet: Quiet) -> None:
        sets, pods = await begin(quiet, updateStrategy={"type": "RollingUpdate"})
        await quiet.until(lambda: runs_on(pods, NODES))
        revisions = Objects(quiet, "apps/v1", "controllerrevisions")
        (first,) = await revisions.items(LABEL)
        new = {"name": "web", "image": "example.com/agent:2"}
        change = {"spec": {"template": {"spec": {"containers": [new]}}}}
        await sets.patch("agent", change, how=STRATEGIC)
        found = await quiet.until(lambda: runs_on(pods, NODES, "example.com/agent:2"))
        both = sorted(await revisions.items(LABEL), key=lambda it: int(it["revision"]))
        assert [it["revision"] for it in both] == [1, 2]
        hashes = [it["metadata"]["labels"]["controller-revision-hash"] for it in both]
        assert both[0]["metadata"]["name"] == first["metadata"]["name"] == f"agent-{hashes[0]}"
        for pod in found:
            assert pod["metadata"]["labels"]["controller-revision-hash"] == hashes[1]

    quietly(scenario)


def test_a_roll_back_leaves_the_pods_alone_that_were_never_updated() -> None:
    async def scenario(quiet: Quiet) -> None:
        sets, pods = await begin(quiet, updateStrategy={"type": "RollingUpdate"})
        found = await quiet.until(lambda: runs_on(pods, NODES))
        before = {it["metadata"]["uid"] for it in found}
        bad = {"steersman.dev/pull-fails": "no such image"}
        template = daemon_set("foo:non-existent")["template"]
        template["metadata"]["annotations"] = bad
        await sets.patch("agent", {"spec": {"template": template}})
        await quiet.until(lambda: one_is_broken(pods))
        template = daemon_set()["template"]
        template["metadata"]["annotations"] = None
        await sets.patch("agent", {"spec": {"template": template}})
        found = await quiet.until(lambda: runs_on(pods, NODES, "example.com/agent:1"))
        after = {it["metadata"]["uid"] for it in found}
        assert len(before & after) == 2
        for pod in found:
            assert pod["status"]["containerStatuses"][0]["restartCount"] == 0

    quietly(scenario, behaviour=Behaviour(start_seconds=1.0))


async def one_is_broken(pods: Objects) -> bool:
    """Says whether one pod has the image that is not there, and the others the old one."""
    found = await pods.items()
    images = sorted(it["spec"]["containers"][0]["image"] for it in found)
    reasons = {
        status["state"]["waiting"]["reason"]
        for it in found
        for status in it.get("status", {}).get("containerStatuses", ())
        if "waiting" in status["state"]
    }
    broken = not reasons.isdisjoint(("ErrImagePull", "ImagePullBackOff"))
    return broken and images == [*["example.com/agent:1"] * 2, "foo:non-existent"]


def test_a_collection_of_them_is_listed_everywhere_and_deleted() -> None:
    async def scenario(quiet: Quiet) -> None:
        sets, pods = await begin(quiet)
        await quiet.until(lambda: runs_on(pods, NODES))
        assert await sets.names(LABEL, everywhere=True) == ["agent"]
        await sets.clear(LABEL)
        assert await sets.names(LABEL, everywhere=True) == []
        await quiet.until(lambda: pods.count(0))

    quietly(scenario)


def test_a_controller_revision_is_made_patched_replaced_and_deleted_by_hand() -> None:
    async def scenario(quiet: Quiet) -> None:
        sets, pods = await begin(quiet)
        await quiet.until(lambda: runs_on(pods, NODES))
        revisions = Objects(quiet, "apps/v1", "controllerrevisions")
        (first,) = await revisions.items(LABEL, everywhere=True)
        (owner,) = first["metadata"]["ownerReferences"]
        assert owner["uid"] == (await sets.get("agent"))["metadata"]["uid"]
        name = first["metadata"]["name"]
        patched = await revisions.patch(name, {"metadata": {"labels": {name: "patched"}}})
        assert patched["metadata"]["labels"][name] == "patched"
        labels = {**APP, "controller-revision-hash": "byhand"}
        await revisions.post(
            "agent-byhand",
            metadata={"labels": labels, "ownerReferences": [owner]},
            data=first["data"],
            revision=2,
        )
        assert await revisions.names(LABEL) == sorted([name, "agent-byhand"])
        await revisions.delete(name)
        await quiet.until(lambda: revisions.count(1, LABEL))
        second = await revisions.get("agent-byhand")
        second["metadata"]["labels"]["agent-byhand"] = "updated"
        await revisions.put(second)
        change = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}}
        await sets.patch("agent", change)
        await quiet.until(lambda: revisions.count(2, LABEL))
        await revisions.clear("agent-byhand=updated")
        await quiet.until(lambda: revisions.count(1, LABEL))
        (third,) = await revisions.items(LABEL)
        assert third["revision"] == 3

    quietly(scenario)
