"""Quotas on a whole control plane: what is used is written, and no commit goes beyond."""

from __future__ import annotations

from controlled import EVERYBODY
from simulation.control_plane import control_plane
from simulation.faults import Weather
from simulation.quiet import Quiet, pod_template, quietly, ready
from steersman.model.kind import Document
from steersman.model.kinds.configmap import CONFIGMAP
from steersman.model.kinds.deployment import DEPLOYMENT
from steersman.model.kinds.deviceclass import DEVICECLASS
from steersman.model.kinds.persistentvolumeclaim import PERSISTENTVOLUMECLAIM
from steersman.model.kinds.pod import POD
from steersman.model.kinds.resourceclaim import RESOURCECLAIM
from steersman.model.kinds.resourcequota import RESOURCEQUOTA
from steersman.model.kinds.service import SERVICE
from steersman.model.ref import Resource
from steersman.model.resource_claims import EXTENDED_ANNOTATION
from steersman.node.simulated.behaviour import Behaviour
from steersman.world.simulated import SimulatedWorld, simulate

APP = {"app": "web"}


def template(cpu: str = "1") -> Document:
    made = pod_template(APP)
    made["spec"]["containers"][0]["resources"] = {"requests": {"cpu": cpu}}
    return made


def workload(replicas: int, cpu: str = "1") -> Document:
    selector = {"matchLabels": APP}
    return {"replicas": replicas, "selector": selector, "template": template(cpu)}


async def used(quiet: Quiet, **wanted: str) -> bool:
    """Says whether a quota's status holds these amounts, names written with _ for dots."""
    quota = await quiet.admin.get(RESOURCEQUOTA.ref("default", "q"))
    found = {name.replace(".", "_"): amount for name, amount in quota.status.used.items()}
    return found == wanted and dict(quota.status.hard) == dict(quota.spec.hard)


def test_what_is_used_of_a_quota_follows_what_comes_and_goes() -> None:
    async def scenario(quiet: Quiet) -> None:
        hard = {"pods": "3", "requests.cpu": "5", "services": "2", "configmaps": "9"}
        hard |= {"requests.storage": "5Gi"}
        hard |= {"count/events": "0", "count/events.events.k8s.io": "0"}  # of which no use is told
        await quiet.create(RESOURCEQUOTA, "q", spec={"hard": hard})
        nothing = {"pods": "0", "requests_cpu": "0", "services": "1", "requests_storage": "0"}
        await quiet.until(lambda: used(quiet, **nothing, configmaps="1"))  # the root CA's
        await quiet.create(DEPLOYMENT, "web", spec=workload(2, "1500m"))
        await quiet.create(SERVICE, "web", spec={"ports": [{"port": 80}]})
        await quiet.create(CONFIGMAP, "m")
        resources = {"requests": {"storage": "1Gi"}}
        claim = {"accessModes": ["ReadWriteOnce"], "resources": resources}
        await quiet.create(PERSISTENTVOLUMECLAIM, "c", spec=claim)
        full = {"pods": "2", "requests_cpu": "3", "services": "2", "requests_storage": "1Gi"}
        await quiet.until(lambda: used(quiet, **full, configmaps="2"))
        for kind, name in ((CONFIGMAP, "m"), (DEPLOYMENT, "web"), (SERVICE, "web")):
            await quiet.admin.delete(kind.ref("default", name))
        await quiet.admin.delete(PERSISTENTVOLUMECLAIM.ref("default", "c"))
        await quiet.until(lambda: used(quiet, **nothing, configmaps="1"))

    quietly(scenario)


def test_claims_for_devices_count_as_the_extended_resource_that_their_class_meets() -> None:
    async def scenario(quiet: Quiet) -> None:
        gpu = "requests_example_com/gpu"
        spec = {"extendedResourceName": "example.com/gpu"}
        await quiet.create(DEVICECLASS, "gpu", spec=spec)
        await quiet.create(RESOURCEQUOTA, "q", spec={"hard": {"requests.example.com/gpu": "9"}})
        wish = {"name": "r", "exactly": {"deviceClassName": "gpu", "count": 2}}
        await quiet.create(RESOURCECLAIM, "c", spec={"devices": {"requests": [wish]}})
        pod = pod_template(APP)["spec"]
        amounts = {"example.com/gpu": "3"}
        pod["containers"][0]["resources"] = {"requests": amounts, "limits": amounts}
        made = await quiet.create(POD, "p", spec=pod)
        await quiet.until(lambda: used(quiet, **{gpu: "5"}))
        owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": made.metadata.uid}
        metadata = {
            "annotations": {EXTENDED_ANNOTATION: "true"},
            "ownerReferences": [{**owner, "controller": True}],
        }
        wish["exactly"] = {"deviceClassName": "gpu", "count": 4}
        requests = {"devices": {"requests": [wish]}}
        await quiet.create(RESOURCECLAIM, "d", metadata=metadata, spec=requests)
        await quiet.until(lambda: used(quiet, **{gpu: "6"}))  # one more than its pod asks for
        name = pod["containers"][0]["name"]
        mapping = {"containerName": name, "resourceName": "example.com/gpu", "requestName": "r"}
        told = {"resourceClaimName": "other", "requestMappings": [mapping]}
        await quiet.admin.patch(
            POD.ref("default", "p"),
            {"status": {"extendedResourceClaimStatus": told}},
            subresource="status",
        )
        await quiet.until(lambda: used(quiet, **{gpu: "9"}))
        await quiet.admin.delete(DEVICECLASS.ref("", "gpu"))
        await quiet.until(lambda: used(quiet, **{gpu: "3"}))

    quietly(scenario)


def test_a_workload_held_by_a_quota_goes_on_when_there_is_room() -> None:
    async def scenario(quiet: Quiet) -> None:
        await quiet.create(RESOURCEQUOTA, "q", spec={"hard": {"pods": "2"}})
        await quiet.create(DEPLOYMENT, "web", spec=workload(4))
        await quiet.until(lambda: used(quiet, pods="2"))
        reasons = {reason for reason, _ in await quiet.events("ReplicaSet")}
        assert "FailedCreate" in reasons
        changed = {"spec": {"hard": {"pods": "4", "count/deployments.apps": "1"}}}
        await quiet.admin.patch(RESOURCEQUOTA.ref("default", "q"), changed)
        full = {"pods": "4", "count/deployments_apps": "1"}
        await quiet.until(lambda: used(quiet, **full), within=600)
        smaller = {"spec": {"hard": {"pods": None}}}
        await quiet.admin.patch(RESOURCEQUOTA.ref("default", "q"), smaller)
        await quiet.until(lambda: used(quiet, **{"count/deployments_apps": "1"}))

    quietly(scenario)


def test_a_quota_with_scopes_counts_what_is_in_them() -> None:
    async def scenario(quiet: Quiet) -> None:
        hard = {"pods": "9", "count/configmaps": "9"}
        await quiet.create(RESOURCEQUOTA, "q", spec={"hard": hard, "scopes": ["BestEffort"]})
        await quiet.create(DEPLOYMENT, "web", spec=workload(2))
        await quiet.create(POD, "free", spec=pod_template(APP)["spec"])
        await quiet.until(lambda: used(quiet, **{"pods": "1", "count/configmaps": "0"}))

    quietly(scenario)


def test_a_pod_that_a_finalizer_holds_counts_until_its_grace_period_is_over() -> None:
    async def scenario(quiet: Quiet) -> None:
        await quiet.create(RESOURCEQUOTA, "q", spec={"hard": {"pods": "9", "count/pods": "9"}})
        held = {"finalizers": ["example.com/held"]}
        await quiet.create(POD, "p", metadata=held, spec=pod_template(APP)["spec"])
        await quiet.until(quiet.pods)
        await quiet.until(lambda: used(quiet, **{"pods": "1", "count/pods": "1"}))
        await quiet.admin.delete(POD.ref("default", "p"))
        await quiet.until(lambda: used(quiet, **{"pods": "0", "count/pods": "1"}))
        await quiet.admin.patch(POD.ref("default", "p"), {"metadata": {"finalizers": None}})
        await quiet.until(lambda: used(quiet, **{"pods": "0", "count/pods": "0"}))

    quietly(scenario)


def test_counts_alone_and_other_bounds_are_written_too() -> None:
    async def scenario(quiet: Quiet) -> None:
        await quiet.create(RESOURCEQUOTA, "q", spec={"hard": {"count/configmaps": "9"}})
        await quiet.until(lambda: used(quiet, **{"count/configmaps": "1"}))
        await quiet.create(CONFIGMAP, "m")
        await quiet.until(lambda: used(quiet, **{"count/configmaps": "2"}))
        await quiet.create(POD, "p", spec=pod_template(APP)["spec"])
        wider = {"spec": {"hard": {"pods": "5"}}}
        await quiet.admin.patch(RESOURCEQUOTA.ref("default", "q"), wider)
        await quiet.until(lambda: used(quiet, **{"count/configmaps": "2", "pods": "1"}))

    quietly(scenario)


def test_a_storm_of_creations_never_goes_beyond_a_quota() -> None:
    most = 7
    for seed in range(5):
        assert storm(seed, most) == most


def storm(seed: int, most: int) -> int:
    """Runs deployments that want more than a quota allows, through faults; returns the most pods
    that were ever stored."""
    stored: set[str] = set()
    peak = 0

    def see(resource: Resource, namespace: str, name: str, document: Document | None) -> None:
        nonlocal peak
        if resource == POD.resource and namespace == "default":
            (stored.discard if document is None else stored.add)(name)
            peak = max(peak, len(stored))

    async def main(world: SimulatedWorld) -> None:
        weather = Weather()
        async with control_plane(world, weather, see) as plane:
            plane.run_controllers(EVERYBODY)
            plane.run_scheduler()
            plane.run_nodes(3, Behaviour())
            quiet = Quiet(plane, world)
            await quiet.until(lambda: ready(quiet, 3))
            spec = {"hard": {"count/pods": str(most)}}
            await quiet.create(RESOURCEQUOTA, "q", spec=spec)
            weather.lose_request = weather.lose_answer = weather.break_watch = 0.1
            weather.slow_call = weather.slow_watch = 0.5
            for number in range(6):
                await quiet.create(DEPLOYMENT, f"web-{number}", spec=workload(3, "1m"))
            await world.sleep(60)
            weather.calm()
            await quiet.until(lambda: used(quiet, **{"count/pods": str(most)}))

    simulate(seed, main)
    return peak
