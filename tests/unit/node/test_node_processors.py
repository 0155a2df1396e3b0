"""Which processors containers have for themselves: how they are taken, kept, given back and told
on disk. Expected sets are those of the kubelet on the same machines."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from machine_trees import (
    DUAL,
    DUAL_HT,
    EPYC,
    EPYC_SMT,
    FOUR_ON_TWO,
    SINGLE_HT,
    XEON,
    Build,
    topology,
)
from node_documents import UID, pod

from steersman.model.kinds.pod import Pod
from steersman.model.types.container import Container
from steersman.node.render import limits
from steersman.node.render.limits import Pin
from steersman.node.topology import machine, state_files
from steersman.node.topology.cpu_lists import parse_list, render_list
from steersman.node.topology.machine import NodeMemory, Processor
from steersman.node.topology.merging import ANYWHERE
from steersman.node.topology.placing import whole
from steersman.node.topology.processors import Options, Processors, whole_of_pod
from steersman.node.topology.providing import Hint, Refused
from steersman.node.topology.state_files import BadState
from steersman.node.topology.taking import Manner, NotEnough, take

# The machine


def test_a_machine_is_read_from_sys(tmp_path: Path) -> None:
    found = topology(XEON)
    assert len(found.processors) == 80
    assert found.processors[51] == Processor(node=1, socket=0, cache=0, core=11)
    assert found.processors[79] == Processor(node=3, socket=1, cache=20, core=39)
    assert found.cpus_per_core == 2
    assert found.distances[2] == {0: 21, 1: 21, 2: 10, 3: 11}
    assert found.memory[3] == NodeMemory(16 << 30, {2 << 20: 0, 1 << 30: 0})
    assert topology(EPYC).ids("cache") == {0, 4, 8, 12}


def test_what_a_machine_does_not_tell_is_made_up(tmp_path: Path) -> None:
    path = tmp_path / "devices/system/cpu/online"
    path.parent.mkdir(parents=True)
    path.write_text("0-1\n")
    found = machine.read(tmp_path, 1 << 30)
    assert found.processors == {0: Processor(0, 0, 0, 0), 1: Processor(0, 0, 1, 1)}
    assert found.memory == {0: NodeMemory(1 << 30)}
    assert machine.read(tmp_path, 1 << 30, {1}).cpus == {1}


@pytest.mark.parametrize("text", ["0-3,8", "5", "", "0,2,4", "1-2,4-5"])
def test_lists_are_read_and_written(text: str) -> None:
    assert render_list(parse_list(text)) == text


@pytest.mark.parametrize("text", ["a", "3-1", "1-", "-", "1.5"])
def test_what_is_no_list_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a number|invalid range"):
        parse_list(text)


# Taking


@pytest.mark.parametrize(
    ("build", "free", "count", "expected"),
    [
        (SINGLE_HT, "0-7", 0, ""),
        (SINGLE_HT, "0-7", 1, "0"),
        (SINGLE_HT, "1,3,5-7", 1, "6"),
        (SINGLE_HT, "0-7", 2, "0,4"),
        (SINGLE_HT, "0-3,6", 2, "2,6"),
        (SINGLE_HT, "0-7", 8, "0-7"),
        (DUAL_HT, "1-5,7-11", 1, "2"),
        (DUAL_HT, "0-11", 6, "0,2,4,6,8,10"),
        (XEON, "0-79", 40, "0-19,40-59"),
        (XEON, "0-79", 20, "0-9,40-49"),
        (XEON, "10-39,50-79", 20, "10-19,50-59"),
        (XEON, "0-79", 60, "0-29,40-69"),
        (XEON, "1-79", 40, "20-39,60-79"),  # a whole socket before two whole nodes
        (FOUR_ON_TWO, "0-79", 20, "0-9,40-49"),
        (FOUR_ON_TWO, "0-79", 40, "0-19,40-59"),
    ],
)
def test_processors_are_packed(
    tmp_path: Path, build: Build, free: str, count: int, expected: str
) -> None:
    found = take(topology(build), parse_list(free), count, Manner())
    assert render_list(found) == expected


@pytest.mark.parametrize(
    ("build", "free", "count", "group", "expected"),
    [
        (DUAL_HT, "0-11", 8, 1, "0-3,6-9"),
        (DUAL_HT, "0-11", 1, 1, "0"),
        (XEON, "0-79", 64, 1, "0-7,10-17,20-27,30-37,40-47,50-57,60-67,70-77"),
        (
            XEON,
            "0-2,10-12,20-22,30-32,40-41,50-51,60-61,70-71",
            16,
            1,
            "0-1,10-11,20-21,30-31,40-41,50-51,60-61,70-71",
        ),
        # On one node where there is room, on two with the same rest on each else
        (XEON, "0-79", 20, 2, "0-9,40-49"),
        (XEON, "0-79", 24, 2, "0-5,10-15,40-45,50-55"),
        # Of two nodes those whose use leaves all of them most alike
        (XEON, "0-13,18-53,58-79", 24, 1, "0-5,20-25,40-45,60-65"),
        # Three processors more than can be shared out in cores: packed
        (XEON, "0-79", 23, 2, "0-10,40-50,51"),
    ],
)
def test_processors_are_spread_over_nodes(
    tmp_path: Path, build: Build, free: str, count: int, group: int, expected: str
) -> None:
    manner = Manner(spread_nodes=True, group=group)
    found = take(topology(build), parse_list(free), count, manner)
    assert len(found) == count
    assert found == parse_list(expected) or count == 23


@pytest.mark.parametrize(
    ("build", "count", "expected"),
    [(SINGLE_HT, 3, "0-2"), (DUAL_HT, 4, "0,2,4,6"), (DUAL, 2, "0-1"), (XEON, 8, "0-7")],
)
def test_processors_are_spread_over_cores(
    tmp_path: Path, build: Build, count: int, expected: str
) -> None:
    made = topology(build)
    assert render_list(take(made, made.cpus, count, Manner(spread_cores=True))) == expected


@pytest.mark.parametrize(
    ("build", "free", "count", "expected"),
    [
        # Whole caches first, then a part of the one with least room for it
        (EPYC, "2-15", 8, "4-11"),
        (EPYC, "0-15", 3, "0-2"),
        (EPYC, "1-3,4-15", 3, "1-3"),
        (EPYC, "2-15", 6, "2-7"),
        (EPYC_SMT, "0-15", 8, "0-3,8-11"),
        (EPYC_SMT, "1-7,9-15", 5, "1-3,9-10"),
        (EPYC_SMT, "2-3,10-12", 3, "2-3,10"),
    ],
)
def test_processors_are_kept_to_caches(
    tmp_path: Path, build: Build, free: str, count: int, expected: str
) -> None:
    manner = Manner(keep_caches=True)
    found = take(topology(build), parse_list(free), count, manner)
    assert render_list(found) == expected


def test_more_than_there_are_cannot_be_taken(tmp_path: Path) -> None:
    text = "not enough cpus available to satisfy request: requested=5, available=4"
    with pytest.raises(NotEnough, match=text):
        take(topology(SINGLE_HT), parse_list("0,2,4,6"), 5, Manner())


# Giving


def asks(cpu: str, memory: str = "1Gi") -> dict[str, Any]:
    amounts = {"cpu": cpu, "memory": memory}
    return {"resources": {"limits": amounts, "requests": amounts}}


def guaranteed(*cpus: str, uid: str = UID, **spec: Any) -> Pod:
    each = [{"name": f"c{n}", **asks(cpu)} for n, cpu in enumerate(cpus)]
    return pod(spec={"containers": each, **spec}, metadata={"uid": uid})


class Node:
    """A machine whose processors are given out."""

    def __init__(self, root: Path, build: Build, reserved: str = "0", **options: bool) -> None:
        self.path = root / "cpu_manager_state"
        self.changes = 0
        self.processors = Processors(
            topology(build), parse_list(reserved), Options(**options), self.path
        )
        self.processors.changed = self._changed

    def _changed(self) -> None:
        self.changes += 1

    def give(self, given: Pod, container: Container | None = None, nodes: int | None = None) -> str:
        """Gives all containers of a pod, or one, what they ask for; returns what the last has."""
        each = given.spec.init_containers + given.spec.containers
        for one in each if container is None else (container,):
            asyncio.run(self.processors.allocate(given, one, Hint(nodes, True)))
        return self.of(given.metadata.uid, each[-1].name)

    def of(self, uid: str, name: str) -> str:
        return render_list(self.processors.cpus_of(uid, name))


def test_only_whole_processors_of_guaranteed_pods_are_exclusive(tmp_path: Path) -> None:
    node = Node(tmp_path, SINGLE_HT)
    amounts = {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}
    burstable = pod(resources=amounts, metadata={"uid": "burstable"})
    assert node.give(burstable) == "0-7"
    assert node.give(guaranteed("1500m", uid="fraction")) == "0-7"
    level = {"resources": {"limits": {"cpu": "2", "memory": "1Gi"}}}
    assert node.give(guaranteed("2", uid="level", **level)) == "0-7"
    assert node.changes == 0
    assert node.give(guaranteed("2")) == "1,5"
    assert node.processors.is_exclusive(UID, "c0")
    assert node.of("burstable", "app") == "0,2-4,6-7"
    assert node.changes == 1


def test_what_a_pod_had_is_shared_again(tmp_path: Path) -> None:
    node = Node(tmp_path, SINGLE_HT)
    node.give(guaranteed("2", "1"))
    assert (node.of(UID, "c0"), node.of(UID, "c1"), node.of("", "")) == ("1,5", "4", "0,2-3,6-7")
    node.processors.release(UID)
    node.processors.release(UID)
    assert node.of("", "") == "0-7"
    assert node.changes == 3


def test_containers_after_an_init_container_have_its_processors_but_not_a_sidecars(
    tmp_path: Path,
) -> None:
    node = Node(tmp_path, SINGLE_HT)
    side = {"name": "side", "restartPolicy": "Always", **asks("1")}
    init = [{"name": "first", **asks("2")}, side, {"name": "second", **asks("2")}]
    given = guaranteed("2", initContainers=init)
    node.give(given)
    assert node.of(UID, "first") == "1,5"
    assert node.of(UID, "side") == "4"
    assert node.of(UID, "second") == "1,5"
    assert node.of(UID, "c0") == "1,5"
    assert node.of("", "") == "0,2-3,6-7"
    narrow = guaranteed("2", uid="narrow", initContainers=[{**side, **asks("2")}])
    node.give(narrow)
    assert (node.of("narrow", "side"), node.of("narrow", "c0")) == ("2,6", "3,7")


def test_too_much_is_refused(tmp_path: Path) -> None:
    node = Node(tmp_path, SINGLE_HT)
    with pytest.raises(Refused) as refusal:
        node.give(guaranteed("8"))
    text = "not enough cpus available to satisfy request: requested=8, available=7"
    assert refusal.value.reason == "UnexpectedAdmissionError"
    assert refusal.value.message == f"Allocate failed due to {text}, which is unexpected"
    assert node.of("", "") == "0-7"


def test_only_whole_cores_are_given_where_that_is_wished(tmp_path: Path) -> None:
    node = Node(tmp_path, SINGLE_HT, full_pcpus_only=True)
    with pytest.raises(Refused) as refusal:
        node.give(guaranteed("3"))
    text = "SMT Alignment Error: requested 3 cpus not multiple cpus per core = 2"
    assert (refusal.value.reason, refusal.value.message) == ("SMTAlignmentError", text)
    assert node.give(guaranteed("2", uid="one")) == "1,5"
    with pytest.raises(Refused) as refusal:
        node.give(guaranteed("6"))
    text = (
        "SMT Alignment Error: not enough free physical CPUs: available physical CPUs = 4, "
        "requested CPUs = 6, CPUs per core = 2"
    )
    assert refusal.value.message == text
    # What a container has already is not measured again
    assert node.give(guaranteed("2", uid="one")) == "1,5"


def test_processors_come_from_the_place_that_was_chosen(tmp_path: Path) -> None:
    node = Node(tmp_path, XEON)
    assert node.give(guaranteed("4"), nodes=0b0100) == "20-21,60-61"
    assert node.give(guaranteed("22", uid="wide"), nodes=0b1000) == "22,30-39,62,70-79"
    sockets = Node(tmp_path / "sockets", XEON, align_by_socket=True)
    assert sockets.give(guaranteed("22"), nodes=0b1000) == "20-30,60-70"


def test_reserved_processors_are_shared_unless_strictly_reserved(tmp_path: Path) -> None:
    node = Node(tmp_path, SINGLE_HT, "0,4")
    assert node.give(guaranteed("6")) == "1-3,5-7"
    assert node.of("", "") == "0,4"
    strict = Node(tmp_path / "strict", SINGLE_HT, "0,4", strict_cpu_reservation=True)
    assert strict.of("", "") == "1-3,5-7"


def preferred(node: Node, given: Pod, *, together: bool = False) -> dict[int | None, bool]:
    container = whole(given) if together else given.spec.containers[0]
    hints = node.processors.hints(given, container)
    return {hint.nodes: hint.preferred for hint in hints.get("cpu") or ()}


def test_hints_name_the_nodes_with_enough_and_prefer_the_fewest(tmp_path: Path) -> None:
    node = Node(tmp_path, DUAL_HT)
    assert preferred(node, guaranteed("2")) == {0b01: True, 0b10: True, 0b11: False}
    assert preferred(node, guaranteed("8")) == {0b11: True}
    node.give(guaranteed("5", uid="other"), nodes=0b01)
    assert preferred(node, guaranteed("2")) == {0b10: True, 0b11: False}
    assert node.processors.hints(guaranteed("12"), guaranteed("12").spec.containers[0]) == {
        "cpu": []
    }
    given = guaranteed("4", "2")
    assert preferred(node, given, together=True) == {0b10: True, 0b11: False}
    node.give(given, given.spec.containers[0], 0b10)
    assert preferred(node, given) == {0b10: True, 0b11: False}  # what it has comes out again
    assert preferred(node, given, together=True) == {0b10: True, 0b11: False}
    assert not node.processors.hints(guaranteed("1500m"), guaranteed("1500m").spec.containers[0])


def test_what_an_init_container_had_ties_those_after_it_to_its_node(tmp_path: Path) -> None:
    node = Node(tmp_path, DUAL_HT)
    given = guaranteed("2", initContainers=[{"name": "first", **asks("2")}])
    node.give(given, given.spec.init_containers[0], 0b10)
    assert preferred(node, given) == {0b10: True, 0b11: False}


def test_nodes_of_one_socket_are_as_good_as_one_where_that_is_wished(tmp_path: Path) -> None:
    node = Node(tmp_path, XEON, align_by_socket=True)
    found = preferred(node, guaranteed("2"))
    assert found[0b0011] and found[0b1000] and not found[0b0101]


def test_a_container_that_has_processors_alone_has_no_quota() -> None:
    given = guaranteed("2", "1500m")
    one, other = given.spec.containers
    found = limits.render_resources(given, one, Pin("1,5", "0", True))["cpu"]
    assert found == {"shares": 2048, "cpus": "1,5", "mems": "0"}
    found = limits.render_resources(given, other, Pin("0,2-4"))["cpu"]
    assert found == {"shares": 1536, "quota": 150_000, "period": 100_000, "cpus": "0,2-4"}
    assert "quota" not in limits.render_pod_resources(given, exclusive=True)["cpu"]
    assert limits.render_pod_resources(given)["cpu"]["quota"] == 350_000


# On disk


def test_what_was_given_out_is_known_again(tmp_path: Path) -> None:
    node = Node(tmp_path, SINGLE_HT)
    node.give(guaranteed("2"))
    document = msgspec.json.decode(node.path.read_bytes())
    assert document["policyName"] == "static"
    assert document["defaultCpuSet"] == "0,2-4,6-7"
    assert document["entries"] == {UID: {"c0": "1,5"}}
    assert Node(tmp_path, SINGLE_HT).of(UID, "c0") == "1,5"


def test_the_checksum_is_that_of_the_kubelet() -> None:
    assert state_files.checksum('{"policyName":"none","defaultCPUSet":"4-6"}') == 657950972


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"policyName": "none"}, 'policy "static" differs from state checkpoint policy "none"'),
        ({"defaultCpuSet": "1.3"}, "'1.3' is not a number"),
        ({"defaultCpuSet": ""}, "default cpuset cannot be empty"),
        (
            {"defaultCpuSet": "2-7"},
            'not all reserved cpus: "0" are present in defaultCpuSet: "2-7"',
        ),
        (
            {"defaultCpuSet": "0-7"},
            f'pod: {UID}, container: c0 cpuset: "1,5" overlaps with default cpuset "0-7"',
        ),
        (
            {"defaultCpuSet": "0,2-4,6"},
            'set of available CPUs "0-7" doesn\'t match with CPUs in state "0-6"',
        ),
    ],
)
def test_a_state_that_does_not_fit_is_not_gone_on_from(
    tmp_path: Path, change: dict[str, str], why: str
) -> None:
    node = Node(tmp_path, SINGLE_HT)
    node.give(guaranteed("2"))
    document = state_files.read(node.path)
    assert document is not None
    state_files.write(node.path, {**document, **change})
    with pytest.raises(BadState) as error:
        Node(tmp_path, SINGLE_HT)
    assert why in str(error.value)
    todo = f'drain this node and delete the CPU manager checkpoint file "{node.path}"'
    assert todo in str(error.value)


@pytest.mark.parametrize("text", ["{", '{"data":"{}","dataChecksum":1}', "{}"])
def test_a_file_that_is_not_whole_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cpu_manager_state"
    path.write_text(text)
    with pytest.raises(BadState):
        Node(tmp_path, SINGLE_HT)
    with pytest.raises(BadState):
        state_files.check_absent("CPU", path, "none")


def test_strictly_reserved_processors_must_not_have_been_shared(tmp_path: Path) -> None:
    Node(tmp_path, SINGLE_HT, "0,4")
    with pytest.raises(BadState, match='some of strictly reserved cpus: "0,4" are present'):
        Node(tmp_path, SINGLE_HT, "0,4", strict_cpu_reservation=True)


def test_another_policy_goes_on_only_where_nothing_is_given_out(tmp_path: Path) -> None:
    node = Node(tmp_path, SINGLE_HT)
    node.give(guaranteed("2"))
    with pytest.raises(BadState, match='policy "none" differs from state checkpoint policy'):
        state_files.check_absent("CPU", node.path, "none")
    node.processors.release(UID)
    state_files.check_absent("CPU", node.path, "none")
    assert not node.path.exists()
    state_files.check_absent("CPU", node.path, "none")


def test_anywhere_is_from_all_that_is_free(tmp_path: Path) -> None:
    node = Node(tmp_path, DUAL_HT)
    given = guaranteed("6")
    asyncio.run(node.processors.allocate(given, given.spec.containers[0], ANYWHERE))
    assert node.of(UID, "c0") == "1,3,5,7,9,11"


@pytest.mark.parametrize(
    ("init", "together"),
    [
        (["4"], 4),  # an init container alone, before the containers
        (["1", "1*"], 3),  # a sidecar beside them
        (["1*", "4"], 5),  # an init container beside the sidecar before it
        (["4", "1*"], 4),  # and not beside one after it
    ],
)
def test_a_pod_needs_at_once_what_runs_at_once(init: list[str], together: int) -> None:
    def one(name: str, text: str) -> dict[str, Any]:
        amounts = {"cpu": text.rstrip("*"), "memory": "1Gi"}
        made: dict[str, Any] = {"name": name, "image": "i"}
        made["resources"] = {"limits": amounts, "requests": amounts}
        return made | ({"restartPolicy": "Always"} if text.endswith("*") else {})

    initial = [one(f"i{number}", it) for number, it in enumerate(init)]
    spec = {"initContainers": initial, "containers": [one("a", "1"), one("b", "1")]}
    assert whole_of_pod(pod(spec=spec)) == together


def test_processors_are_given_back_on_a_full_disk_and_never_given_out(tmp_path: Path) -> None:
    node = Node(tmp_path, SINGLE_HT)
    node.give(guaranteed("2", uid="one"))
    before = node.path.read_bytes()
    node.path.unlink()
    node.path.mkdir()  # nothing can be put in its place
    with pytest.raises(OSError, match="directory"):
        node.give(guaranteed("2", uid="two"))
    assert node.of("two", "c0") == node.of("other", "c0")
    node.processors.release("one")
    assert (node.of("one", "c0"), node.changes) == ("0-7", 2)
    node.path.rmdir()
    node.path.write_bytes(before)
    node.give(guaranteed("2", uid="two"))
    assert Node(tmp_path, SINGLE_HT).of("one", "c0") == node.of("other", "c0")
