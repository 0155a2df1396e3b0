"""What the scheduler does when a call gets lost, and whom it sends looking again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from controlled import EVERYBODY
from scheduler_cluster import pod
from simulation.control_plane import ControlPlane, control_plane, groups_of
from simulation.faults import FaultyTransport, Weather
from simulation.quiet import Quiet, ready
from simulation.test_simulated_gangs import GROUP, define, group
from steersman.client.client import APIClient
from steersman.client.errors import Unreachable
from steersman.client.view import FollowedViews
from steersman.cluster.control import MANAGER
from steersman.model.kind import Document
from steersman.model.kinds.deviceclass import DEVICECLASS
from steersman.model.kinds.event import EVENT
from steersman.model.kinds.persistentvolume import PERSISTENTVOLUME
from steersman.model.kinds.persistentvolumeclaim import PERSISTENTVOLUMECLAIM
from steersman.model.kinds.pod import POD
from steersman.model.kinds.priorityclass import PRIORITYCLASS
from steersman.model.kinds.resourceclaim import RESOURCECLAIM
from steersman.model.kinds.resourceslice import RESOURCESLICE
from steersman.model.kinds.storageclass import STORAGECLASS
from steersman.model.podgroup import LABEL
from steersman.model.times import rfc3339
from steersman.node.simulated.behaviour import Behaviour
from steersman.scheduler import service
from steersman.scheduler.configuration import DEFAULT, SchedulerConfiguration
from steersman.scheduler.configuration_file import parse
from steersman.scheduler.profile import DEFAULT as DEFAULT_PROFILE
from steersman.scheduler.profile import DEFAULT_NAME
from steersman.wire import prometheus
from steersman.wire.message import Request, Response, User
from steersman.world.interface import Tasks
from steersman.world.simulated import SimulatedWorld, simulate

NO_PREEMPTION = parse(
    {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "profiles": [{"plugins": {"postFilter": {"disabled": [{"name": "DefaultPreemption"}]}}}],
    }
)

IMPATIENT = parse(
    {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "profiles": [
            {"pluginConfig": [{"name": "VolumeBinding", "args": {"bindTimeoutSeconds": 5}}]}
        ],
    }
)

QUICK = parse(
    {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "profiles": [{"schedulerName": "quick"}],
    }
)


class Unlucky(FaultyTransport):
    """A way to the API on which calls get lost that a test names: `how` is "request", which is
    not done then, or "answer"."""

    losses: list[tuple[str, str, str]]
    sent: list[tuple[str, str]]

    def lose(self, method: str, end: str, how: str, times: int = 1) -> None:
        """Loses the next calls of a method to a path of an end."""
        self.losses += [(method, end, how)] * times

    async def send(self, request: Request) -> Response:
        """Sends, unless the call is one to lose."""
        if "watch=true" not in request.query:
            self.sent.append((request.method, request.path))
        found = next(
            (it for it in self.losses if it[0] == request.method and request.path.endswith(it[1])),
            None,
        )
        if found is None:
            return await super().send(request)
        self.losses.remove(found)
        if found[2] == "answer":
            await super().send(request)
        raise Unreachable(f"the {found[2]} was lost")

    def count(self, method: str, end: str) -> int:
        """Returns how often a call was made."""
        return sum(made[0] == method and made[1].endswith(end) for made in self.sent)


class Stage:
    """A control plane with one scheduler in the open: its queue, its snapshot, its way."""

    def __init__(
        self,
        plane: ControlPlane,
        world: SimulatedWorld,
        tasks: Tasks,
        weather: Weather,
        configuration: SchedulerConfiguration,
    ) -> None:
        self.quiet = Quiet(plane, world)
        self.admin, self.world, self.weather = plane.admin, world, weather
        user = User(service.IDENTITY, groups_of(service.IDENTITY))
        self.way = Unlucky(plane.transport(user), world, weather)
        self.way.losses, self.way.sent = [], []
        client = APIClient(self.way, world)
        manager = User(MANAGER, groups_of(MANAGER))  # copies are read by the manager
        copies = APIClient(FaultyTransport(plane.transport(manager), world, weather), world)
        views = FollowedViews(copies, world, tasks)
        self.scheduler = service.Scheduler(client, views, world, configuration)

    async def put(self, name: str, cpu: str, priority: str = "", **fields: Any) -> Any:
        """Creates a pod that wants so much of a node."""
        container = {"name": "c", "image": "i:1", "resources": {"requests": {"cpu": cpu}}}
        spec = {"containers": [container], "priorityClassName": priority}
        return await self.quiet.create(POD, name, spec=spec, **fields)

    async def found(self, name: str) -> Any:
        return await self.admin.get(POD.ref("default", name))

    async def placed(self, name: str) -> str:
        return str((await self.found(name)).spec.node_name)

    async def nominated(self, name: str) -> str:
        return str((await self.found(name)).status.nominated_node_name)

    async def message(self, name: str) -> str:
        """Returns why a pod is not scheduled, as it says itself."""
        conditions = (await self.found(name)).status.conditions
        return next((str(it.message) for it in conditions if it.type == "PodScheduled"), "")

    async def until(self, what: Callable[[], Awaitable[Any]], within: float = 20.0) -> Any:
        return await self.quiet.until(what, within)


def staged(
    scenario: Callable[[Stage], Awaitable[None]],
    nodes: int = 1,
    stop_seconds: float = 3.0,
    configuration: SchedulerConfiguration = DEFAULT,
) -> None:
    """Runs a scenario with nodes of four CPUs; only the scheduler's way is unlucky."""

    async def main(world: SimulatedWorld) -> None:
        weather = Weather()
        async with (
            control_plane(world, Weather(), lambda *_: None) as plane,
            world.tasks() as tasks,
        ):
            plane.run_controllers(EVERYBODY)
            plane.run_nodes(nodes, Behaviour(cpu="4", stop_seconds=stop_seconds))
            stage = Stage(plane, world, tasks, weather, configuration)
            await stage.until(lambda: ready(stage.quiet, nodes))
            await stage.quiet.create(PRIORITYCLASS, "high", value=1000)
            await stage.quiet.create(PRIORITYCLASS, "low", value=10)
            tasks.start(stage.scheduler.run(), name="scheduler")
            await scenario(stage)
            tasks.stop()

    simulate(1, main)


def test_a_binding_whose_answer_is_lost_was_done_and_is_not_done_again() -> None:
    async def scenario(stage: Stage) -> None:
        stage.weather.slow_watch = 5.0  # the answer to a question comes before the view shows it
        stage.way.lose("POST", "/a/binding", "answer")
        made = await stage.put("a", "3")
        await stage.until(lambda: stage.placed("a"))
        await stage.put("b", "3")
        await stage.until(lambda: stage.message("b"))
        assert "Insufficient cpu" in await stage.message("b")
        assert not stage.scheduler.queue.pods("backoff")
        assert stage.scheduler.snapshot.placed(made.metadata.uid) is not None
        assert stage.way.count("POST", "/binding") == 1

    staged(scenario)


def test_a_binding_whose_request_is_lost_is_done_with_the_next_attempt() -> None:
    async def scenario(stage: Stage) -> None:
        stage.way.lose("POST", "/a/binding", "request")
        await stage.put("a", "3")
        await stage.until(lambda: stage.placed("a"))
        assert stage.way.count("POST", "/a/binding") == 2
        text = "binding rejected: the request was lost"
        await stage.until(lambda: told(stage, "FailedScheduling", text))
        await stage.until(
            lambda: told(stage, "Scheduled", "Successfully assigned default/a to node-0")
        )

    staged(scenario)


async def told(stage: Stage, reason: str, text: str) -> bool:
    return (reason, text) in await stage.quiet.events("Pod")


def test_a_pod_keeps_its_room_as_long_as_nobody_knows_whether_it_was_bound() -> None:
    async def scenario(stage: Stage) -> None:
        stage.way.lose("POST", "/a/binding", "request")
        stage.way.lose("GET", "/pods/a", "request", times=8)
        made = await stage.put("a", "3")
        await stage.world.sleep(3)
        placed = stage.scheduler.snapshot.placed(made.metadata.uid)
        assert placed is not None and placed.state.name == "node-0"
        # asked every half second, not more often
        assert 5 <= stage.way.count("GET", "/pods/a") <= 7
        await stage.until(lambda: stage.placed("a"))
        assert stage.way.count("GET", "/pods/a") == 9

    staged(scenario)


def test_a_pod_that_goes_while_its_binding_is_in_doubt_gives_its_room_back() -> None:
    async def scenario(stage: Stage) -> None:
        stage.way.lose("POST", "/a/binding", "request")
        stage.way.lose("GET", "/pods/a", "request", times=2)
        await stage.put("a", "3")
        await stage.until(lambda: sent(stage, "POST", "/a/binding"))
        await stage.admin.delete(POD.ref("default", "a"), grace_seconds=0)
        await stage.put("b", "3")
        await stage.until(lambda: stage.placed("b"))

    staged(scenario)


async def sent(stage: Stage, method: str, end: str) -> bool:
    return stage.way.count(method, end) > 0


def test_why_a_pod_waits_is_written_with_the_next_attempt_where_the_first_got_lost() -> None:
    async def scenario(stage: Stage) -> None:
        stage.way.lose("PATCH", "/pods/big/status", "request")
        await stage.put("big", "5")
        await stage.until(lambda: stage.message("big"))
        assert (await stage.message("big")).startswith("0/1 nodes are available: 1 Insufficient")
        assert stage.way.count("PATCH", "/pods/big/status") == 2

    staged(scenario)


@pytest.mark.parametrize("lost", ["/pods/new/status", "/pods/old/status"])
def test_a_preemption_of_which_a_part_got_lost_is_done_with_the_next_attempt(lost: str) -> None:
    async def scenario(stage: Stage) -> None:
        await stage.put("old", "3")
        await stage.until(lambda: stage.placed("old"))
        stage.way.lose("PATCH", lost, "request")
        await stage.put("new", "3", "high")
        await stage.until(lambda: stage.placed("new"))
        assert await stage.quiet.gone(POD.ref("default", "old"))

    staged(scenario)


def test_a_less_important_pod_that_was_promised_the_room_loses_it_and_is_tried_again_at_once() -> (
    None
):
    async def scenario(stage: Stage) -> None:
        await stage.put("old", "4")
        await stage.until(lambda: stage.placed("old"))
        await stage.put("less", "3", "low")
        await stage.until(lambda: stage.nominated("less"))
        await stage.put("more", "3", "high")
        await stage.until(lambda: stage.nominated("more"))
        await stage.world.sleep(0.2)
        assert await stage.nominated("less") == ""
        await stage.until(lambda: no_victims(stage, "less"))
        assert not await stage.quiet.gone(POD.ref("default", "old"))

    staged(scenario, stop_seconds=60.0)


async def no_victims(stage: Stage, name: str) -> bool:
    """Says whether a pod was told that nobody could make room for it."""
    return "preemption: 0/1 nodes are available" in await stage.message(name)


def test_a_pod_that_is_tried_while_its_victims_still_leave_keeps_its_promise() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.put("old", "4")
        await stage.until(lambda: stage.placed("old"))
        new = await stage.put("new", "3", "high")
        await stage.until(lambda: stage.nominated("new"))
        await stage.admin.patch(POD.ref("default", "new"), {"metadata": {"labels": {"a": "b"}}})
        await stage.world.sleep(5)
        assert "not eligible due to a terminating pod" in await stage.message("new")
        assert stage.scheduler.snapshot.nominated(new.metadata.uid) == "node-0"
        assert await stage.nominated("new") == "node-0"

    staged(scenario, stop_seconds=60.0)


def test_events_are_signed_with_the_name_of_the_profile_that_decided() -> None:
    async def scenario(stage: Stage) -> None:
        for name, cpu, priority in (("a", "3", ""), ("b", "9", ""), ("c", "4", "high")):
            container = {"name": "c", "image": "i:1", "resources": {"requests": {"cpu": cpu}}}
            spec = {"containers": [container], "priorityClassName": priority}
            await stage.quiet.create(POD, name, spec={**spec, "schedulerName": "quick"})
            await stage.until(partial(stage.message if name == "b" else stage.placed, name))
        text = "Successfully assigned default/c to node-0"
        await stage.until(lambda: told(stage, "Scheduled", text))
        found = await stage.quiet.items(EVENT, "default")
        mine = [it for it in found if it.reason in {"Scheduled", "FailedScheduling", "Preempted"}]
        assert {it.reason for it in mine} == {"Scheduled", "FailedScheduling", "Preempted"}
        signed = {(it.reporting_component, it.reporting_instance) for it in mine}
        assert signed == {("quick", "quick")}

    staged(scenario, configuration=QUICK)


def counted(stage: Stage) -> dict[str, str]:
    """Returns what the scheduler counted, by name and labels."""
    lines = prometheus.render(stage.scheduler.families()).decode().splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))


def test_attempts_are_counted_by_how_they_ended_and_victims_too() -> None:
    async def scenario(stage: Stage) -> None:
        stage.way.lose("POST", "/old/binding", "request")
        await stage.put("old", "3")
        await stage.until(lambda: stage.placed("old"))
        await stage.put("new", "3", "high")
        await stage.until(lambda: stage.placed("new"))
        await stage.until(lambda: told_of(stage, "new"))
        found, name = counted(stage), "scheduler_schedule_attempts_total"
        of = '{profile="default-scheduler",result='
        assert found[f'{name}{of}"scheduled"}}'] == "2"
        assert found[f'{name}{of}"error"}}'] == "1"
        assert int(found[f'{name}{of}"unschedulable"}}']) >= 1
        assert int(found["scheduler_preemption_attempts_total"]) >= 1
        assert found["scheduler_preemption_victims_sum"] == "1.000000"
        sli = "scheduler_pod_scheduling_sli_duration_seconds_count"
        assert found[f'{sli}{{attempts="2"}}'] == "2"  # each had to be tried again
        assert found['scheduler_pending_pods{queue="active"}'] == "0"

    staged(scenario)


def test_pods_with_gates_are_counted_until_their_gates_go() -> None:
    def gated(stage: Stage) -> str:
        return counted(stage)['scheduler_pending_pods{queue="gated"}']

    async def scenario(stage: Stage) -> None:
        for name in ("one", "two"):
            container = {"name": "c", "image": "i:1"}
            spec = {"containers": [container], "schedulingGates": [{"name": "example.com/g"}]}
            await stage.quiet.create(POD, name, spec=spec)

        async def both() -> bool:
            return gated(stage) == "2"

        await stage.until(both)
        open_now = {"spec": {"schedulingGates": None}}
        await stage.admin.patch(POD.ref("default", "one"), open_now)
        await stage.until(lambda: stage.placed("one"))
        assert gated(stage) == "1"

    staged(scenario)


def test_a_group_that_makes_room_counts_as_one_that_tried() -> None:
    async def scenario(stage: Stage) -> None:
        await define(stage.quiet)
        await stage.put("old", "3")
        await stage.until(lambda: stage.placed("old"))
        await group(stage.quiet, "g", 1)
        await stage.put("new", "3", "high", metadata={"labels": {LABEL: "g"}})
        await stage.until(lambda: stage.placed("new"))
        found = counted(stage)
        assert int(found["scheduler_preemption_attempts_total"]) >= 1
        assert found["scheduler_preemption_victims_sum"] == "1.000000"

    staged(scenario)


def test_a_group_that_lacks_more_than_room_gives_up_what_was_kept_for_it() -> None:
    async def scenario(stage: Stage) -> None:
        await define(stage.quiet)
        await stage.put("old", "3")
        await stage.until(lambda: stage.placed("old"))
        await group(stage.quiet, "g", 1)
        made = await stage.put("new", "3", "high", metadata={"labels": {LABEL: "g"}})
        await stage.until(lambda: stage.nominated("new"))
        assert stage.scheduler.snapshot.nominated(made.metadata.uid) == "node-0"
        more = {"spec": {"minResources": {"cpu": "100"}}}
        await stage.admin.patch(GROUP.ref("default", "g"), more)
        await stage.put("more", "3", "high", metadata={"labels": {LABEL: "g"}})  # so it is tried
        await stage.until(lambda: lacks(stage))
        assert await stage.nominated("new") == ""
        assert stage.scheduler.snapshot.nominated(made.metadata.uid) == ""

    async def lacks(stage: Stage) -> bool:
        return "resource gap: cpu" in await stage.message("new")

    staged(scenario, stop_seconds=60.0)


async def told_of(stage: Stage, name: str) -> bool:
    return await told(stage, "Scheduled", f"Successfully assigned default/{name} to node-0")


def test_without_the_plugin_of_preemption_nobody_tries_to_make_room() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.put("old", "3")
        await stage.until(lambda: stage.placed("old"))
        await stage.put("new", "3", "high")
        await stage.until(lambda: stage.message("new"))
        assert counted(stage)["scheduler_preemption_attempts_total"] == "0"

    staged(scenario, configuration=NO_PREEMPTION)


def test_without_the_plugin_of_preemption_an_important_pod_waits_like_others() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.put("old", "3")
        await stage.until(lambda: stage.placed("old"))
        await stage.put("new", "3", "high")
        await stage.until(lambda: stage.message("new"))
        assert await stage.message("new") == "0/1 nodes are available: 1 Insufficient cpu."
        await stage.world.sleep(20)
        assert (await stage.found("old")).metadata.deletion_timestamp is None

    staged(scenario, configuration=NO_PREEMPTION)


def test_no_more_is_written_at_once_than_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "WRITES_AT_ONCE", 2)

    async def scenario(stage: Stage) -> None:
        stage.way.lose("POST", "/binding", "request", times=2)
        for name in "ab":
            stage.way.lose("GET", f"/pods/{name}", "request", times=10)
        for name in "abc":
            await stage.put(name, "1")
        await stage.world.sleep(3)
        assert stage.way.count("POST", "/binding") == 2
        for name in "abc":
            await stage.until(lambda name=name: stage.placed(name))  # type: ignore[misc]

    staged(scenario)


def test_when_a_pod_became_unschedulable_stays_when_only_the_reason_is_another() -> None:
    def waiting(**condition: Any) -> Document:
        told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", **condition}
        patch = service.plan_condition(
            pod(status={"conditions": [told]}, metadata={"generation": 2}), "no room", 1000.0
        )
        assert patch is not None
        (new,) = patch["status"]["conditions"]
        assert isinstance(new, dict)
        return new

    same = waiting(message="no node")
    assert "lastTransitionTime" not in same
    assert (same["message"], same["observedGeneration"]) == ("no room", 2)
    assert waiting(status="True", reason="", message="")["lastTransitionTime"] == rfc3339(1000.0)
    first = service.plan_condition(pod(), "no room", 1000.0)
    assert first is not None
    assert first["status"]["conditions"][0]["lastTransitionTime"] == rfc3339(1000.0)


def test_a_pod_that_says_already_why_it_waits_is_not_written_again() -> None:
    told = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "no room",
    }
    found = pod(status={"conditions": [told], "nominatedNodeName": "n"})
    assert service.plan_condition(found, "no room", 1000.0) is None
    assert service.plan_condition(found, "no room", 1000.0, "n") is None
    moved = service.plan_condition(found, "no room", 1000.0, "m")
    assert moved == {"status": {"nominatedNodeName": "m"}}
    freed = service.plan_condition(found, "no room", 1000.0, "")
    assert freed == {"status": {"nominatedNodeName": None}}


async def with_volume(stage: Stage, name: str) -> None:
    """Creates a volume and a claim that waits for its pod."""
    fields = {"accessModes": ["ReadWriteOnce"], "storageClassName": "waits"}
    capacity, wanted = {"storage": "1Gi"}, {"requests": {"storage": "1Gi"}}
    volume = {**fields, "capacity": capacity, "hostPath": {"path": "/x"}}
    await stage.quiet.create(PERSISTENTVOLUME, name, spec=volume)
    await stage.quiet.create(PERSISTENTVOLUMECLAIM, name, spec={**fields, "resources": wanted})


def test_a_volume_that_one_pod_is_to_get_is_promised_to_no_other_meanwhile() -> None:
    async def scenario(stage: Stage) -> None:
        await stage.quiet.create(
            STORAGECLASS,
            "waits",
            provisioner="kubernetes.io/no-provisioner",
            volumeBindingMode="WaitForFirstConsumer",
        )
        for name in "ab":
            await with_volume(stage, name)
        await stage.world.sleep(1)
        stage.weather.slow_call = 2.0  # the second pod is decided before the first has its volume
        for name in "ab":
            source = {"name": "v", "persistentVolumeClaim": {"claimName": name}}
            spec = {"containers": [{"name": "c", "image": "i:1"}], "volumes": [source]}
            await stage.quiet.create(POD, name, spec=spec)
        for name in "ab":
            await stage.until(lambda name=name: stage.placed(name), 60.0)  # type: ignore[misc]
        texts = [text for _, text in await stage.quiet.events("Pod")]
        assert not [text for text in texts if "VolumeBinding" in text]

    staged(scenario)


async def with_devices(stage: Stage, *nodes: str, **device: Any) -> None:
    """Creates a class of devices, one device on each node, and a claim for one of them."""
    await stage.quiet.create(DEVICECLASS, "gpu")
    for node in nodes:
        pool = {"name": node, "resourceSliceCount": 1}
        fields = {"driver": "d.example", "pool": pool, "nodeName": node}
        await stage.quiet.create(
            RESOURCESLICE, node, spec={**fields, "devices": [{"name": "d0", **device}]}
        )
    request = {"name": "r", "exactly": {"deviceClassName": "gpu"}}
    await stage.quiet.create(RESOURCECLAIM, "c", spec={"devices": {"requests": [request]}})


async def with_claim(stage: Stage, name: str, **spec: Any) -> None:
    claims = [{"name": "x", "resourceClaimName": "c"}]
    containers = [{"name": "c", "image": "i:1"}]
    spec = {"containers": containers, "resourceClaims": claims, **spec}
    await stage.quiet.create(POD, name, spec=spec)


def test_a_pod_whose_claim_could_not_be_reserved_says_so_and_is_bound_with_the_next_attempt() -> (
    None
):
    async def scenario(stage: Stage) -> None:
        await with_devices(stage, "node-0")
        stage.way.lose("PATCH", "/resourceclaims/c/status", "request")
        await with_claim(stage, "a")
        text = 'running PreBind plugin "DynamicResources": the request was lost'
        await stage.until(lambda: told(stage, "FailedScheduling", text))
        assert stage.way.count("POST", "/a/binding") == 0
        await stage.until(lambda: stage.placed("a"))
        claim = await stage.admin.get(RESOURCECLAIM.ref("default", "c"))
        assert [one.name for one in claim.status.reserved_for] == ["a"]

    staged(scenario)


@pytest.mark.parametrize("lost", [False, True])
def test_a_claim_that_nobody_uses_is_deallocated_for_a_pod_that_must_go_elsewhere(
    lost: bool,
) -> None:
    async def scenario(stage: Stage) -> None:
        await with_devices(stage, "node-0", "node-1")
        here = [{"key": "metadata.name", "operator": "In", "values": ["node-0"]}]
        result = {"request": "r", "driver": "d.example", "pool": "node-0", "device": "d0"}
        allocation = {
            "devices": {"results": [result]},
            "nodeSelector": {"nodeSelectorTerms": [{"matchFields": here}]},
        }
        claim = RESOURCECLAIM.ref("default", "c")
        await stage.admin.patch(claim, {"status": {"allocation": allocation}}, subresource="status")
        await stage.world.sleep(1)
        if lost:
            stage.way.lose("PATCH", "/resourceclaims/c/status", "request")
        await with_claim(stage, "a", nodeSelector={"kubernetes.io/hostname": "node-1"})
        await stage.until(lambda: stage.placed("a"))
        found = await stage.admin.get(claim)
        assert [one.pool for one in found.status.allocation.devices.results] == ["node-1"]
        texts = [
            text for reason, text in await stage.quiet.events("Pod") if reason == "FailedScheduling"
        ]
        assert [text.endswith(" deallocation of ResourceClaim completed") for text in texts] == [
            True
        ]

    staged(scenario, nodes=2)


SELECTED = "volume.kubernetes.io/selected-node"


@pytest.mark.parametrize(
    ("happens", "text"),
    [
        ("nothing", "context deadline exceeded"),
        ("given back", 'selectedNode annotation value "elsewhere" not set'),
        ("gone", 'persistentvolumeclaim "a" not found'),
    ],
)
def test_a_pod_whose_claim_is_not_bound_is_told_why_and_gives_its_room_back(
    happens: str, text: str
) -> None:
    claim = PERSISTENTVOLUMECLAIM.ref("default", "a")

    async def selected(stage: Stage) -> bool:
        found = await stage.admin.get(claim)
        return found.metadata.annotations.get(SELECTED) == "node-0"

    async def scenario(stage: Stage) -> None:
        nobody = {"provisioner": "example.com/nobody", "volumeBindingMode": "WaitForFirstConsumer"}
        await stage.quiet.create(STORAGECLASS, "waits", **nobody)
        wanted = {"requests": {"storage": "1Gi"}}
        fields = {"accessModes": ["ReadWriteOnce"], "storageClassName": "waits"}
        await stage.quiet.create(PERSISTENTVOLUMECLAIM, "a", spec={**fields, "resources": wanted})
        source = {"name": "v", "persistentVolumeClaim": {"claimName": "a"}}
        requests = {"resources": {"requests": {"cpu": "3"}}}
        containers = [{"name": "c", "image": "i:1", **requests}]
        spec = {"containers": containers, "volumes": [source]}
        made = await stage.quiet.create(POD, "a", spec=spec)
        await stage.until(lambda: selected(stage))
        assert stage.scheduler.snapshot.placed(made.metadata.uid) is not None
        if happens == "given back":
            annotations = {"annotations": {SELECTED: "elsewhere"}}
            await stage.admin.patch(claim, {"metadata": annotations})
        if happens == "gone":
            await stage.admin.delete(claim)
        said = f'running PreBind plugin "VolumeBinding": binding volumes: {text}'
        await stage.until(lambda: told(stage, "FailedScheduling", said))
        assert stage.way.count("POST", "/a/binding") == 0
        if happens != "nothing":  # the room is another's at once
            await stage.put("b", "3")
            await stage.until(lambda: stage.placed("b"), 3.0)

    staged(scenario, configuration=IMPATIENT)


def test_a_claim_that_is_bound_is_read_anew_before_its_pod_is_bound() -> None:
    async def bound(stage: Stage) -> bool:
        found = await stage.admin.get(PERSISTENTVOLUMECLAIM.ref("default", "a"))
        return bool(found.status.phase == "Bound")

    async def scenario(stage: Stage) -> None:
        amount = {"storage": "1Gi"}
        fields = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
        wanted = {**fields, "resources": {"requests": amount}}
        given = {**fields, "capacity": amount, "hostPath": {"path": "/x"}}
        await stage.quiet.create(PERSISTENTVOLUME, "v", spec=given)
        await stage.quiet.create(PERSISTENTVOLUMECLAIM, "a", spec=wanted)
        await stage.until(lambda: bound(stage))
        stage.way.lose("GET", "/persistentvolumeclaims/a", "request")
        source = {"name": "v", "persistentVolumeClaim": {"claimName": "a"}}
        spec = {"containers": [{"name": "c", "image": "i:1"}], "volumes": [source]}
        await stage.quiet.create(POD, "a", spec=spec)
        text = 'running PreBind plugin "VolumeBinding": the request was lost'
        await stage.until(lambda: told(stage, "FailedScheduling", text))
        assert stage.way.count("POST", "/a/binding") == 0
        await stage.until(lambda: stage.placed("a"))

    staged(scenario)


def test_a_device_that_is_not_made_ready_in_time_is_given_up() -> None:
    hurried = replace(DEFAULT_PROFILE, device_timeout_seconds=5.0)

    async def scenario(stage: Stage) -> None:
        conditions = {"bindingConditions": ["Attached"], "bindingFailureConditions": ["Broken"]}
        await with_devices(stage, "node-0", **conditions)
        await with_claim(stage, "a")
        claim = RESOURCECLAIM.ref("default", "c")

        async def allocated() -> bool:
            return (await stage.admin.get(claim)).status.allocation is not None

        async def given_up() -> bool:
            return not await allocated()

        await stage.until(allocated)
        await stage.world.sleep(4)
        assert await allocated()
        await stage.until(given_up, 2.0)
        text = 'running PreBind plugin "DynamicResources": device binding timeout'
        await stage.until(lambda: told(stage, "FailedScheduling", text))
        assert stage.way.count("POST", "/a/binding") == 0

    staged(scenario, configuration=SchedulerConfiguration({DEFAULT_NAME: hurried}))
