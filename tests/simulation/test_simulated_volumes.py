"""Claims and volumes in a storm: no volume for two, none taken from its claim, none lost; and, in
good weather, a claim's whole life as a client sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from simulation.quiet import Quiet, pod_template, quietly
from simulation.storms import in_turn
from simulation.volumes import run
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME
from steersman.model.kinds.persistentvolumeclaim import PERSISTENTVOLUMECLAIM
from steersman.model.kinds.pod import POD
from steersman.model.kinds.storageclass import STORAGECLASS

NORMAL_SECONDS = 10.0  # wall time for seeds in the normal tests; more of them are a command
AT_LEAST = 4
CLAIM = PERSISTENTVOLUMECLAIM.ref("default", "data")
SPEC = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


def test_claims_keep_their_volumes_in_any_storm_and_come_to_rest_in_the_calm() -> None:
    in_turn(run, NORMAL_SECONDS, AT_LEAST)


def test_one_seed_is_one_run_in_any_process() -> None:
    code = "from simulation.volumes import run; print(run(7))"
    # Another seed of hashes lays out memory otherwise: no order may come from a set
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
        )
        for seed in ("0", "2", "7")
    ]
    outcomes = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert set(outcomes) == {outcomes[0]}


@pytest.mark.long
def test_many_storms_over_claims_and_volumes() -> None:
    for seed in range(100_000, 100_300):
        run(seed)


async def phase(quiet: Quiet, wanted: str) -> Any:
    found = await quiet.admin.get(CLAIM)
    return found if found.status.phase == wanted else None


async def create_pod(quiet: Quiet, *volumes: Any) -> None:
    spec = {**pod_template({})["spec"], "volumes": list(volumes)}
    await quiet.create(POD, "web", spec=spec)
    await quiet.until(quiet.pods)


def test_a_claim_waits_for_its_pod_gets_a_volume_grows_and_goes_with_it() -> None:
    async def scenario(quiet: Quiet) -> None:
        await quiet.create(PERSISTENTVOLUMECLAIM, "data", spec=SPEC)
        await quiet.world.sleep(5)
        assert (await quiet.admin.get(CLAIM)).status.phase == "Pending"
        reasons = [reason for reason, _ in await quiet.events("PersistentVolumeClaim")]
        assert reasons == ["WaitForFirstConsumer"]
        source = {"persistentVolumeClaim": {"claimName": "data"}}
        await create_pod(quiet, {"name": "v", **source})
        claim = await phase(quiet, "Bound")
        assert claim.metadata.annotations["volume.kubernetes.io/selected-node"]
        volume = await quiet.admin.get(PERSISTENTVOLUME.ref("", claim.spec.volume_name))
        assert (volume.status.phase, volume.spec.claim_ref.uid) == ("Bound", claim.metadata.uid)
        assert claim.status.capacity == {"storage": "1Gi"}
        wanted = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
        await quiet.admin.patch(CLAIM, wanted)
        await quiet.until(lambda: grown(quiet))
        await quiet.admin.delete(CLAIM)
        await quiet.world.sleep(20)
        assert (await quiet.admin.get(CLAIM)).metadata.deletion_timestamp is not None
        await quiet.admin.delete(POD.ref("default", "web"))
        await quiet.until(lambda: quiet.gone(CLAIM))
        await quiet.until(lambda: quiet.gone(PERSISTENTVOLUME.ref("", claim.spec.volume_name)))
        reasons = {reason for reason, _ in await quiet.events("PersistentVolumeClaim")}
        assert reasons == {
            "WaitForFirstConsumer",
            "WaitForPodScheduled",
            "ExternalProvisioning",
            "Provisioning",
            "ProvisioningSucceeded",
            "ExternalExpanding",
            "Resizing",
            "VolumeResizeSuccessful",
        }

    quietly(scenario)


async def grown(quiet: Quiet) -> bool:
    return dict((await quiet.admin.get(CLAIM)).status.capacity) == {"storage": "2Gi"}


def test_an_ephemeral_volume_has_a_claim_that_goes_with_its_pod() -> None:
    async def scenario(quiet: Quiet) -> None:
        source = {"ephemeral": {"volumeClaimTemplate": {"spec": SPEC}}}
        await create_pod(quiet, {"name": "v", **source})
        (claim,) = await quiet.items(PERSISTENTVOLUMECLAIM)
        assert (claim.metadata.name, claim.status.phase) == ("web-v", "Bound")
        await quiet.admin.delete(POD.ref("default", "web"))
        await quiet.until(lambda: quiet.gone(PERSISTENTVOLUMECLAIM.ref("default", "web-v")))
        await quiet.until(lambda: none_left(quiet))

    quietly(scenario)


async def none_left(quiet: Quiet) -> bool:
    return not await quiet.items(PERSISTENTVOLUME)


def test_a_claim_made_before_any_default_class_gets_the_one_that_comes() -> None:
    async def scenario(quiet: Quiet) -> None:
        await quiet.admin.delete(STORAGECLASS.ref("", "local-path"))
        await quiet.create(PERSISTENTVOLUMECLAIM, "data", spec=SPEC)
        await quiet.world.sleep(5)
        mark = {"storageclass.kubernetes.io/is-default-class": "true"}
        fields = {"provisioner": "example.com/disk", "metadata": {"annotations": mark}}
        await quiet.create(STORAGECLASS, "late", **fields)
        await quiet.until(lambda: classed(quiet))
        name = "volume.kubernetes.io/storage-provisioner"
        await quiet.world.sleep(1)
        found = await quiet.admin.get(CLAIM)
        assert found.metadata.annotations[name] == "example.com/disk"

    quietly(scenario)


async def classed(quiet: Quiet) -> bool:
    return (await quiet.admin.get(CLAIM)).spec.storage_class_name == "late"


def test_a_volume_that_comes_later_is_found_and_stays_after_its_claim() -> None:
    async def scenario(quiet: Quiet) -> None:
        await quiet.create(PERSISTENTVOLUMECLAIM, "data", spec={**SPEC, "storageClassName": ""})
        await quiet.world.sleep(5)
        spec = {
            "capacity": {"storage": "2Gi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": "/x"},
        }
        await quiet.create(PERSISTENTVOLUME, "disk", spec=spec)
        await quiet.until(lambda: phase(quiet, "Bound"))
        await quiet.admin.delete(CLAIM)
        await quiet.until(lambda: quiet.gone(CLAIM))
        disk = PERSISTENTVOLUME.ref("", "disk")
        await quiet.world.sleep(20)
        assert (await quiet.admin.get(disk)).status.phase == "Released"
        await quiet.admin.delete(disk)
        await quiet.until(lambda: quiet.gone(disk))

    quietly(scenario)
