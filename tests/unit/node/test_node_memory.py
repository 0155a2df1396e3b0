"""Memory that Guaranteed containers get from certain NUMA nodes: chosen, given back, on disk."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from machine_trees import DUAL, GIB, XEON, Build, topology
from node_documents import UID, pod

from steersman.cluster.placing import make_parts
from steersman.model.kinds.pod import Pod
from steersman.model.quantity import parse
from steersman.model.types.container import Container
from steersman.node.topology import state_files
from steersman.node.topology.memory import Memory
from steersman.node.topology.merging import ANYWHERE
from steersman.node.topology.placing import whole
from steersman.node.topology.providing import Hint, Refused
from steersman.node.topology.settings import BadSetting, parse_settings
from steersman.node.topology.state_files import BadState

PAGES = "hugepages-2Mi"


def asks(memory: str, **more: str) -> dict[str, Any]:
    amounts = {"cpu": "1", "memory": memory, **more}
    return {"resources": {"limits": amounts, "requests": amounts}}


def guaranteed(*sizes: str, uid: str = UID, **spec: Any) -> Pod:
    each = [{"name": f"c{n}", **asks(size)} for n, size in enumerate(sizes)]
    return pod(spec={"containers": each, **spec}, metadata={"uid": uid})


class Node:
    """A machine whose memory is given out: 16 Gi on each NUMA node, 1 Gi of it kept."""

    def __init__(self, root: Path, build: Build = DUAL) -> None:
        self.path = root / "memory_manager_state"
        kept = {node: {"memory": GIB} for node in range(len(build.nodes))}
        self.memory = Memory(topology(build), kept, self.path)

    def give(self, given: Pod, place: Hint = ANYWHERE, of: Container | None = None) -> None:
        """Gives all containers of a pod, or one, what they ask for."""
        each = (of,) if of else given.spec.init_containers + given.spec.containers
        for one in each:
            asyncio.run(self.memory.allocate(given, one, place))

    def of(self, uid: str = UID, name: str = "c0") -> list[int]:
        return self.memory.nodes_of(uid, name)

    def hints(self, given: Pod, of: Container | None = None) -> dict[int | None, bool]:
        found = self.memory.hints(given, of or given.spec.containers[0])
        return {hint.nodes: hint.preferred for hint in found.get("memory") or ()}

    def refusal(self, given: Pod, place: Hint = ANYWHERE) -> str:
        with pytest.raises(Refused) as refused:
            self.give(given, place)
        assert refused.value.reason == "UnexpectedAdmissionError"
        start, end = "Allocate failed due to [memorymanager] ", ", which is unexpected"
        return refused.value.message.removeprefix(start).removesuffix(end)

    def state(self) -> dict[str, Any]:
        found = state_files.read(self.path)
        assert found is not None
        return found

    def free(self, node: int) -> int:
        free: int = self.state()["machineState"][str(node)]["memoryMap"]["memory"]["free"]
        return free // GIB


def test_memory_comes_from_the_fewest_nodes_that_have_enough(tmp_path: Path) -> None:
    node = Node(tmp_path)
    assert node.hints(guaranteed("10Gi")) == {0b01: True, 0b10: True, 0b11: False}
    assert node.hints(guaranteed("16Gi")) == {0b11: True}
    node.give(guaranteed("10Gi"))
    assert (node.of(), node.free(0), node.free(1)) == ([0], 5, 15)
    assert node.hints(guaranteed("10Gi", uid="second")) == {0b10: True}
    node.give(guaranteed("10Gi", uid="second"))
    assert node.of("second") == [1]
    # What is asked of nodes that are in use for one pod each cannot come from both together
    text = "failed to get the default NUMA affinity, no NUMA nodes with enough memory is available"
    assert node.refusal(guaranteed("8Gi", uid="third")) == text
    assert node.hints(guaranteed("8Gi", uid="third")) == {}
    node.memory.release(UID)
    assert node.free(0) == 15
    node.give(guaranteed("8Gi", uid="third"))
    assert node.of("third") == [0]


def test_a_place_that_was_chosen_alone_is_kept_though_its_node_gives_together_too(
    tmp_path: Path,
) -> None:
    """The policy has found it by what others need; upstream minds that of several nodes only."""
    node = Node(tmp_path)
    node.give(guaranteed("20Gi", uid="both"))
    assert node.of("both") == [0, 1]
    assert node.hints(guaranteed("4Gi")) == {0b11: False}
    node.give(guaranteed("4Gi"), Hint(0b10, preferred=False))
    assert node.of() == [1]


def test_memory_is_given_back_on_a_full_disk(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.give(guaranteed("10Gi"))
    node.path.unlink()
    node.path.mkdir()  # nothing can be put in its place
    with pytest.raises(OSError, match="directory"):
        node.give(guaranteed("10Gi", uid="other"))
    node.memory.release(UID)
    node.path.rmdir()
    node.give(guaranteed("10Gi", uid="other"))
    assert (node.of(), node.of("other")) == ([], [0])
    assert set(node.state()["entries"]) == {"other"}


def test_nodes_that_give_together_give_nothing_alone(tmp_path: Path) -> None:
    node = Node(tmp_path)
    node.give(guaranteed("20Gi"))
    assert (node.of(), node.free(0), node.free(1)) == ([0, 1], 0, 10)
    machine = node.state()["machineState"]
    assert (machine["1"]["cells"], machine["1"]["numberOfAssignments"]) == ([0, 1], 1)
    assert node.hints(guaranteed("1Gi", uid="small")) == {0b11: False}
    node.memory.release(UID)
    assert node.state()["machineState"]["1"]["cells"] == [1]


def test_what_is_not_guaranteed_may_use_all(tmp_path: Path) -> None:
    node = Node(tmp_path)
    burstable = pod(resources={"requests": {"memory": "1Gi"}})
    node.give(burstable)
    assert node.of(name="app") == []
    assert node.hints(burstable) == {}
    level = {"resources": {"limits": {"cpu": "2", "memory": "1Gi"}}}
    node.give(guaranteed("1Gi", **level))
    assert node.of() == []


def test_the_place_that_was_chosen_is_kept_or_made_wider(tmp_path: Path) -> None:
    node = Node(tmp_path, XEON)
    node.give(guaranteed("4Gi"), Hint(0b1000, True))
    assert node.of() == [3]
    node.give(guaranteed("20Gi", uid="wide"), Hint(0b0010, False))
    assert node.of("wide") == [0, 1]
    text = "failed to find the extended preferred hint"
    assert node.refusal(guaranteed("14Gi", uid="bad"), Hint(0b1000, True)) in (
        text,
        "failed to find NUMA nodes to extend the current topology hint",
    )
    text = "preferred hint violates NUMA node allocation"
    assert node.refusal(guaranteed("1Gi", uid="mixed"), Hint(0b1100, True)) == text


def test_huge_pages_are_memory_of_their_own(tmp_path: Path) -> None:
    node = Node(tmp_path, DUAL._replace(pages=1024))
    given = pod(spec={"containers": [{"name": "c0", **asks("1Gi", **{PAGES: "1Gi"})}]})
    found = node.memory.hints(given, given.spec.containers[0])
    assert set(found) == {"memory", PAGES}
    node.give(given)
    entry = {"numaAffinity": [0], "size": GIB}
    blocks = [{**entry, "type": PAGES}, {**entry, "type": "memory"}]
    assert node.state()["entries"] == {UID: {"c0": blocks}}
    table = node.state()["machineState"]["0"]["memoryMap"]
    assert table["memory"] == {
        "total": 16 * GIB,
        "systemReserved": GIB,
        "allocatable": 13 * GIB,
        "reserved": GIB,
        "free": 12 * GIB,
    }
    assert table[PAGES]["free"] == GIB
    assert node.state()["machineState"]["0"]["numberOfAssignments"] == 2


def test_containers_after_an_init_container_have_its_memory(tmp_path: Path) -> None:
    node = Node(tmp_path)
    side = {"name": "side", "restartPolicy": "Always", **asks("2Gi")}
    init = [{"name": "first", **asks("10Gi")}, side]
    given = guaranteed("4Gi", "3Gi", initContainers=init)
    node.give(given)
    assert node.free(0) == 15 - 10  # what was the first one's is enough for all of them
    big = guaranteed("8Gi", uid="big", initContainers=[{"name": "first", **asks("9Gi")}])
    node.give(big, Hint(0b10, True))
    assert (node.of("big"), node.free(1)) == ([1], 15 - 9)  # which has 6 left beside it
    sizes = {
        name: blocks[0]["size"] // GIB for name, blocks in node.state()["entries"][UID].items()
    }
    assert sizes == {"first": 1, "side": 2, "c0": 4, "c1": 3}
    node.memory.release(UID)
    assert node.free(0) == 15


def test_a_whole_pod_asks_at_once_and_what_it_has_comes_out_again(tmp_path: Path) -> None:
    node = Node(tmp_path)
    given = guaranteed("10Gi", "8Gi")
    assert node.hints(given, whole(given)) == {0b11: True}
    given = guaranteed("4Gi", "8Gi")
    node.give(given, Hint(0b10, True), given.spec.containers[0])
    assert node.hints(given, whole(given)) == {0b10: True}
    assert node.hints(given) == {0b10: True}


# On disk


def test_what_was_given_out_is_known_again(tmp_path: Path) -> None:
    Node(tmp_path).give(guaranteed("4Gi"), Hint(0b10, True))
    node = Node(tmp_path)
    assert node.of() == [1]
    assert node.free(1) == 11


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"policyName": "None"}, 'policy "Static" differs from state checkpoint policy "None"'),
        ({"machineState": {}}, "the expected machine state is different from the real one"),
        (
            {"entries": {"u": {"c": [{"numaAffinity": [7], "type": "memory", "size": 1}]}}},
            "(pod: u, container: c) the memory assignment uses the NUMA that does not exist",
        ),
        (
            {"entries": {"u": {"c": [{"numaAffinity": [0], "type": "gold", "size": 1}]}}},
            "the memory assignment uses memory resource that does not exist",
        ),
        ({"entries": 7}, "Expected `object`"),
    ],
)
def test_a_state_that_does_not_fit_is_not_gone_on_from(
    tmp_path: Path, change: dict[str, Any], why: str
) -> None:
    node = Node(tmp_path)
    state_files.write(node.path, {**node.state(), **change})
    with pytest.raises(BadState) as error:
        Node(tmp_path)
    assert why in str(error.value)
    assert "delete the memory manager checkpoint file" in str(error.value)


# What is said


def start(root: Path, said: str, kept: str = "2Gi") -> None:
    flags = {"--memory-manager-policy": "Static", "--reserved-memory": said}
    settings = parse_settings(flags)
    make_parts(settings, topology(DUAL), root, {"memory": parse(kept)})


def test_what_is_reserved_of_nodes_is_what_is_reserved_in_all(tmp_path: Path) -> None:
    start(tmp_path, "0:memory=1Gi;1:memory=1Gi")
    machine = (state_files.read(tmp_path / "memory_manager_state") or {})["machineState"]
    assert machine["1"]["memoryMap"]["memory"]["systemReserved"] == GIB


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("", "you should specify the system reserved memory"),
        ("0:memory=0", "you should specify the system reserved memory"),
        ("memory=1Gi", "has incorrect format, expected numaNodeID:type=quantity"),
        ("0:memory=1Gi;0:memory=1Gi", "has incorrect format"),
        ("0:memory=much", "memory=much is not a quantity"),
        ("0:memory=1Gi;5:memory=1Gi", "references a NUMA node 5 that does not exist"),
        (
            "0:memory=1Gi",
            'the total amount "1Gi" of type "memory" is not equal to the value "2Gi" determined by',
        ),
        (
            "0:memory=2Gi,hugepages-2Mi=2Mi",
            'the total amount "2Mi" of type "hugepages-2Mi" is not equal to the value "0"',
        ),
    ],
)
def test_what_cannot_be_reserved_is_refused(tmp_path: Path, said: str, why: str) -> None:
    with pytest.raises(BadSetting) as error:
        start(tmp_path, said)
    assert why in str(error.value)
