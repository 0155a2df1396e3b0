"""StatefulSets on a whole control plane, as a client sees them."""

from __future__ import annotations

from typing import Any

from simulation.quiet import Quiet, pod_template, quietly
from steersman.controllers.statefulset_pod import CLAIM
from steersman.model.kinds.controllerrevision import CONTROLLERREVISION
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME
from steersman.model.kinds.pod import POD
from steersman.model.kinds.statefulset import STATEFULSET
from steersman.node.simulated.behaviour import Behaviour

APP = {"app": "db"}
DB = STATEFULSET.ref("default", "db")
SLOW = Behaviour(start_seconds=1.0, stop_seconds=1.0)
DATA = {
    "metadata": {"name": "data"},
    "spec": {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
    },
}


async def begin(quiet: Quiet, replicas: int = 3, **spec: Any) -> None:
    spec = {"replicas": replicas, "selector": {"matchLabels": APP}, "serviceName": "db", **spec}
    await quiet.create(STATEFULSET, "db", spec={"template": pod_template(APP), **spec})
    await quiet.until(lambda: settled(quiet))


async def bind(quiet: Quiet) -> None:
    """Binds claims as a volume controller would: pods with unbound ones are not placed."""
    for claim in await quiet.items(CLAIM):
        if claim.spec.volume_name or claim.metadata.deletion_timestamp is not None:
            continue
        name = f"pv-{claim.metadata.name}"
        reference = {"namespace": "default", "name": claim.metadata.name, "uid": claim.metadata.uid}
        spec = {**DATA["spec"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/srv"}}
        del spec["resources"]
        await quiet.create(PERSISTENTVOLUME, name, spec={**spec, "claimRef": reference})
        done = {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}
        patch = {"metadata": done, "spec": {"volumeName": name}}
        await quiet.admin.patch(CLAIM.ref("default", claim.metadata.name), patch)


async def settled(quiet: Quiet) -> Any:
    await bind(quiet)
    found = await quiet.admin.get(DB)
    status, spec = found.status, found.spec
    counts = {status.replicas, status.updated_replicas, status.available_replicas}
    same = status.current_revision == status.update_revision
    observed = status.observed_generation == found.metadata.generation
    return found if counts == {spec.replicas} and same and observed else None


async def names(quiet: Quiet) -> list[str]:
    return sorted(pod.metadata.name for pod in await quiet.items(POD))


async def watched(quiet: Quiet) -> list[list[str]]:
    """Returns the names of the pods there were, step by step, until the set is settled."""
    seen: list[list[str]] = []
    for _ in range(600):
        present = await names(quiet)
        if not seen or seen[-1] != present:
            seen.append(present)
        if await settled(quiet):
            return seen
        await quiet.world.sleep(0.1)
    raise AssertionError(f"not settled: {seen}")


def test_pods_come_in_order_with_their_names_and_identity() -> None:
    async def scenario(quiet: Quiet) -> None:
        await begin(quiet)
        said = [text for reason, text in await quiet.events("StatefulSet")]
        expected = [f"create Pod db-{number} in StatefulSet db successful" for number in range(3)]
        assert said == expected
        pods = sorted(await quiet.pods(), key=lambda pod: str(pod.metadata.name))
        begun = [pod.metadata.creation_timestamp for pod in pods]
        assert begun == sorted(begun)
        assert len(set(begun)) == 3
        (revision,) = await quiet.items(CONTROLLERREVISION)
        for number, pod in enumerate(pods):
            assert pod.metadata.name == pod.spec.hostname == f"db-{number}"
            assert pod.spec.subdomain == "db"
            assert pod.metadata.labels == {
                **APP,
                "statefulset.kubernetes.io/pod-name": f"db-{number}",
                "apps.kubernetes.io/pod-index": str(number),
                "controller-revision-hash": revision.metadata.name,
            }

    quietly(scenario, behaviour=SLOW)


def test_pods_are_scaled_away_from_the_highest_and_come_back_with_their_claims() -> None:
    async def scenario(quiet: Quiet) -> None:
        await begin(quiet, volumeClaimTemplates=[DATA])
        await quiet.admin.patch(DB, {"spec": {"replicas": 1}})
        steps = await watched(quiet)
        all_three = ["db-0", "db-1", "db-2"]
        assert steps == [all_three, all_three[:2], all_three[:1]]
        claims = {it.metadata.name: it.metadata.uid for it in await quiet.items(CLAIM)}
        assert sorted(claims) == ["data-db-0", "data-db-1", "data-db-2"]
        await quiet.admin.patch(DB, {"spec": {"replicas": 2}})
        await quiet.until(lambda: settled(quiet))
        assert {it.metadata.name: it.metadata.uid for it in await quiet.items(CLAIM)} == claims
        pod = await quiet.admin.get(POD.ref("default", "db-1"))
        (volume,) = [it for it in pod.spec.volumes if it.persistent_volume_claim]
        assert volume.persistent_volume_claim.claim_name == "data-db-1"

    quietly(scenario, behaviour=SLOW)


def test_claims_go_with_what_the_policy_says() -> None:
    async def scenario(quiet: Quiet) -> None:
        policy = {"whenDeleted": "Delete", "whenScaled": "Delete"}
        await begin(
            quiet,
            2,
            volumeClaimTemplates=[DATA],
            persistentVolumeClaimRetentionPolicy=policy,
        )
        await quiet.admin.patch(DB, {"spec": {"replicas": 1}})
        await quiet.until(lambda: claims_are(quiet, ["data-db-0"]))
        await quiet.admin.delete(DB, propagation="Background")
        await quiet.until(lambda: claims_are(quiet, []))

    quietly(scenario)


async def claims_are(quiet: Quiet, wanted: list[str]) -> bool:
    return [it.metadata.name for it in await quiet.items(CLAIM)] == wanted


def test_an_update_replaces_pods_from_the_highest_down_to_the_partition() -> None:
    async def scenario(quiet: Quiet) -> None:
        await begin(quiet)
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
        template = pod_template(APP, "db:2")
        patch = {"spec": {"template": template, "updateStrategy": rolling}}
        await quiet.admin.patch(DB, patch)
        await quiet.until(lambda: images(quiet, ["example.com/web:1", "db:2", "db:2"]))
        status = (await quiet.admin.get(DB)).status
        assert status.current_revision != status.update_revision
        assert (status.current_replicas, status.updated_replicas) == (1, 2)
        await quiet.admin.delete(POD.ref("default", "db-0"))
        await quiet.until(lambda: images(quiet, ["example.com/web:1", "db:2", "db:2"]))
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
        await quiet.admin.patch(DB, {"spec": {"updateStrategy": rolling}})
        found = await quiet.until(lambda: settled(quiet))
        assert found.status.current_replicas == 3
        deleted = [text for reason, text in await quiet.events("StatefulSet") if "delete" in text]
        assert deleted == [
            f"delete Pod db-{number} in StatefulSet db successful" for number in (2, 1, 0)
        ]

    quietly(scenario, behaviour=SLOW)


async def images(quiet: Quiet, wanted: list[str]) -> bool:
    pods = sorted(await quiet.pods(), key=lambda pod: str(pod.metadata.name))
    return [pod.spec.containers[0].image for pod in pods] == wanted


def test_on_delete_waits_for_somebody_to_delete() -> None:
    async def scenario(quiet: Quiet) -> None:
        await begin(quiet, 2, updateStrategy={"type": "OnDelete"})
        await quiet.admin.patch(DB, {"spec": {"template": pod_template(APP, "db:2")}})
        await quiet.world.sleep(20)
        assert await images(quiet, ["example.com/web:1"] * 2)
        await quiet.admin.delete(POD.ref("default", "db-0"))
        await quiet.until(lambda: images(quiet, ["db:2", "example.com/web:1"]))

    quietly(scenario)


def test_a_parallel_set_starts_all_at_once_from_its_first_ordinal() -> None:
    async def scenario(quiet: Quiet) -> None:
        await begin(quiet, podManagementPolicy="Parallel", ordinals={"start": 5})
        pods = await quiet.pods()
        assert sorted(pod.metadata.name for pod in pods) == ["db-5", "db-6", "db-7"]
        assert len({pod.metadata.creation_timestamp for pod in pods}) == 1
        assert (await quiet.admin.get(DB)).status.ready_replicas == 3

    quietly(scenario, behaviour=SLOW)


def test_old_revisions_above_the_limit_are_removed() -> None:
    async def scenario(quiet: Quiet) -> None:
        await begin(quiet, 1, revisionHistoryLimit=1)
        for number in range(2, 6):
            template = pod_template(APP, f"db:{number}")
            await quiet.admin.patch(DB, {"spec": {"template": template}})
            await quiet.until(lambda: settled(quiet))
        await quiet.world.sleep(1)
        found = await quiet.items(CONTROLLERREVISION)
        assert sorted(it.revision for it in found) == [4, 5]

    quietly(scenario)


def test_a_failed_pod_is_replaced_under_its_name() -> None:
    async def scenario(quiet: Quiet) -> None:
        await begin(quiet, 2)
        ref = POD.ref("default", "db-0")
        old = await quiet.admin.get(ref)
        await quiet.admin.patch(ref, {"status": {"phase": "Failed"}}, subresource="status")
        await quiet.until(lambda: replaced(quiet, old.metadata.uid))
        await quiet.until(lambda: settled(quiet))

    quietly(scenario)


async def replaced(quiet: Quiet, uid: str) -> bool:
    return (await quiet.admin.get(POD.ref("default", "db-0"))).metadata.uid != uid
