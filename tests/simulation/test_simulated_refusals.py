"""What controllers do where the API refuses: names that are taken, quotas, deletions; and whom
they take for their own."""

from __future__ import annotations

from typing import Any

from simulation.quiet import Quiet, pod_template, quietly
from steersman.model.kind import Document, Kind
from steersman.model.kinds.configmap import CONFIGMAP
from steersman.model.kinds.controllerrevision import CONTROLLERREVISION
from steersman.model.kinds.daemonset import DAEMONSET
from steersman.model.kinds.deployment import DEPLOYMENT
from steersman.model.kinds.namespace import NAMESPACE
from steersman.model.kinds.replicaset import REPLICASET
from steersman.model.kinds.resourcequota import RESOURCEQUOTA
from steersman.model.kinds.secret import SECRET
from steersman.model.kinds.serviceaccount import SERVICEACCOUNT
from steersman.model.kinds.validatingadmissionpolicy import (
    VALIDATINGADMISSIONPOLICY,
    VALIDATINGADMISSIONPOLICYBINDING,
)
from steersman.model.ref import Ref
from steersman.node.simulated.behaviour import Behaviour

APP = {"app": "web"}
WEB = DEPLOYMENT.ref("default", "web")
QUICK = Behaviour(start_seconds=0.2, stop_seconds=0.2)


def workload(image: str = "example.com/web:1", **more: Any) -> Document:
    return {"selector": {"matchLabels": APP}, "template": pod_template(APP, image), **more}


async def rolled_out(quiet: Quiet, replicas: int = 2) -> bool:
    found = await quiet.admin.get(WEB)
    return bool(
        found.status.available_replicas == found.status.updated_replicas == replicas
        and found.status.observed_generation == found.metadata.generation
    )


async def progress(quiet: Quiet, reason: str) -> Any:
    """Returns the condition that tells of progress once it has a reason."""
    found = await quiet.admin.get(WEB)
    return next((it for it in found.status.conditions if it.reason == reason), None)


async def owner_of(quiet: Quiet, ref: Ref) -> str:
    """Returns the name of the owner that controls an object."""
    owner = (await quiet.admin.get(ref)).metadata.controller
    return "" if owner is None else str(owner.name)


async def refuse(quiet: Quiet, operation: str, plural: str, expression: str) -> None:
    """Has the API refuse what does not hold of an object."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": [operation]}
    spec = {
        "matchConstraints": {"resourceRules": [{**rule, "resources": [plural]}]},
        "validations": [{"expression": expression}],
    }
    await quiet.create(VALIDATINGADMISSIONPOLICY, "no", spec=spec)
    binding = {"policyName": "no", "validationActions": ["Deny"]}
    await quiet.create(VALIDATINGADMISSIONPOLICYBINDING, "no", spec=binding)


async def allow_again(quiet: Quiet) -> None:
    await quiet.admin.delete(VALIDATINGADMISSIONPOLICYBINDING.ref("", "no"))


async def names(quiet: Quiet, kind: Kind) -> set[str]:
    return {it.metadata.name for it in await quiet.items(kind)}


def test_a_set_of_somebody_else_by_the_same_name_is_left_alone_and_another_name_is_taken() -> None:
    async def scenario(quiet: Quiet) -> None:
        taken: set[str] = set()
        for collisions in (None, 1, 2):
            await quiet.create(DEPLOYMENT, "web", spec=workload(replicas=1))
            await quiet.until(lambda: rolled_out(quiet, 1))
            assert (await quiet.admin.get(WEB)).status.collision_count == collisions
            (own,) = await names(quiet, REPLICASET) - taken
            assert await owner_of(quiet, REPLICASET.ref("default", own)) == "web"
            await quiet.admin.delete(WEB)
            await quiet.until(lambda own=own: quiet.gone(REPLICASET.ref("default", own)))  # type: ignore[misc]
            assert await names(quiet, REPLICASET) == taken
            template = pod_template({"app": "x"})
            foreign = {"selector": {"matchLabels": {"app": "x"}}, "template": template}
            await quiet.create(REPLICASET, own, spec={**foreign, "replicas": 0})
            taken.add(own)

    quietly(scenario, nodes=1, behaviour=QUICK)


def test_a_set_that_a_quota_refuses_is_told_and_made_when_the_quota_allows_it() -> None:
    async def scenario(quiet: Quiet) -> None:
        hard = {"hard": {"count/replicasets.apps": "0"}}
        await quiet.create(RESOURCEQUOTA, "q", spec=hard)
        await quiet.create(DEPLOYMENT, "web", spec=workload(replicas=2))
        told = await quiet.until(lambda: progress(quiet, "ReplicaSetCreateError"))
        assert (told.type, told.status) == ("Progressing", "False")
        assert told.message.startswith('Failed to create new replica set "web-')
        assert "exceeded quota: q, requested: count/replicasets.apps=1" in told.message
        events = await quiet.until(lambda: quiet.events("Deployment"))
        assert ("ReplicaSetCreateError", told.message) in events
        assert (await quiet.admin.get(WEB)).status.collision_count is None
        await quiet.admin.delete(RESOURCEQUOTA.ref("default", "q"))
        await quiet.until(lambda: rolled_out(quiet), within=120)

    quietly(scenario, nodes=1, behaviour=QUICK)


def test_a_refused_set_of_a_deployment_without_a_deadline_is_told_by_an_event_alone() -> None:
    async def scenario(quiet: Quiet) -> None:
        await quiet.create(RESOURCEQUOTA, "q", spec={"hard": {"count/replicasets.apps": "0"}})
        endless = workload(replicas=1, progressDeadlineSeconds=2**31 - 1)
        await quiet.create(DEPLOYMENT, "web", spec=endless)
        await quiet.until(lambda: quiet.events("Deployment"))
        assert await progress(quiet, "ReplicaSetCreateError") is None

    quietly(scenario, nodes=1)


def test_a_set_without_an_owner_is_adopted_and_one_that_matches_no_more_is_let_go() -> None:
    async def scenario(quiet: Quiet) -> None:
        await quiet.create(DEPLOYMENT, "web", spec=workload(replicas=2))
        await quiet.until(lambda: rolled_out(quiet))
        await quiet.create(
            REPLICASET, "orphan", metadata={"labels": APP}, spec=workload(replicas=0)
        )
        orphan = REPLICASET.ref("default", "orphan")
        await quiet.until(lambda: owner_of(quiet, orphan))
        assert await owner_of(quiet, orphan) == "web"
        await quiet.admin.patch(orphan, {"metadata": {"labels": {"app": "other"}}})

        async def is_free() -> bool:
            return await owner_of(quiet, orphan) == ""

        await quiet.until(is_free)

    quietly(scenario, nodes=1, behaviour=QUICK)


def test_a_revision_of_somebody_else_by_the_same_name_makes_a_daemon_set_take_another() -> None:
    async def scenario(quiet: Quiet) -> None:
        ref = DAEMONSET.ref("default", "web")
        await quiet.create(DAEMONSET, "web", spec=workload())
        await quiet.until(lambda: runs(quiet, 1))
        (first,) = await names(quiet, CONTROLLERREVISION)
        await quiet.admin.delete(ref)
        await quiet.until(lambda: quiet.gone(CONTROLLERREVISION.ref("default", first)))
        await quiet.until(lambda: runs(quiet, 0))
        await quiet.create(CONTROLLERREVISION, first, data={"not": "ours"}, revision=1)
        await quiet.create(DAEMONSET, "web", spec=workload())
        await quiet.until(lambda: runs(quiet, 1))
        assert (await quiet.admin.get(ref)).status.collision_count == 1
        (second,) = await names(quiet, CONTROLLERREVISION) - {first}
        assert await owner_of(quiet, CONTROLLERREVISION.ref("default", second)) == "web"

    quietly(scenario, nodes=1, behaviour=QUICK)


async def runs(quiet: Quiet, count: int, image: str = "") -> bool:
    found = [pod for pod in await quiet.pods() if image in pod.spec.containers[0].image]
    return len(found) == count


def test_a_daemon_set_forgets_revisions_above_its_limit() -> None:
    async def scenario(quiet: Quiet) -> None:
        ref = DAEMONSET.ref("default", "web")
        await quiet.create(DAEMONSET, "web", spec=workload(revisionHistoryLimit=1))
        for number in (1, 2, 3):
            image = f"example.com/web:{number}"
            await quiet.admin.patch(ref, {"spec": {"template": pod_template(APP, image)}})
            await quiet.until(lambda image=image: runs(quiet, 1, image))  # type: ignore[misc]

        async def kept() -> bool:
            found = await quiet.items(CONTROLLERREVISION)
            return sorted(it.revision for it in found) == [2, 3]

        await quiet.until(kept)

    quietly(scenario, nodes=1, behaviour=QUICK)


def test_a_daemon_set_whose_pods_a_quota_refuses_goes_on_to_try() -> None:
    async def scenario(quiet: Quiet) -> None:
        await quiet.create(RESOURCEQUOTA, "q", spec={"hard": {"pods": "0"}})
        await quiet.create(DAEMONSET, "web", spec=workload())
        await quiet.until(lambda: failed(quiet))
        found = await quiet.admin.get(DAEMONSET.ref("default", "web"))
        assert found.status.desired_number_scheduled == 1  # told all the same
        await quiet.admin.delete(RESOURCEQUOTA.ref("default", "q"))
        await quiet.until(lambda: runs(quiet, 1), within=120)

    quietly(scenario, nodes=1, behaviour=QUICK)


async def failed(quiet: Quiet) -> bool:
    events = await quiet.events("DaemonSet")
    return any(it[0] == "FailedCreate" and "exceeded quota" in it[1] for it in events)


def test_a_namespace_whose_content_cannot_be_deleted_says_so_and_goes_when_it_can() -> None:
    async def scenario(quiet: Quiet) -> None:
        await quiet.create(NAMESPACE, "team")
        await quiet.until(lambda: quiet.admin.get(SERVICEACCOUNT.ref("team", "default")))
        await quiet.create(CONFIGMAP, "kept", "team")
        await quiet.create(SECRET, "other", "team")
        await refuse(quiet, "DELETE", "configmaps", "oldObject.metadata.name != 'kept'")
        ref = NAMESPACE.ref("", "team")
        await quiet.admin.delete(ref)

        async def told(status: str) -> Any:
            found = (await quiet.admin.get(ref)).status.conditions
            kind = "NamespaceDeletionContentFailure"
            return next((it for it in found if (it.type, it.status) == (kind, status)), None)

        found = await quiet.until(lambda: told("True"))
        assert found.reason == "ContentDeletionFailed"
        assert found.message.startswith("Failed to delete all resource types, 1 remaining: ")
        assert "denied request" in found.message
        await quiet.until(lambda: quiet.gone(SECRET.ref("team", "other")))  # others go all the same
        await allow_again(quiet)
        await quiet.until(lambda: quiet.gone(ref), within=120)

    quietly(scenario, nodes=1)
