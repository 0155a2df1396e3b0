"""What the flags say of who gets which part of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from machine_trees import DUAL_HT, SINGLE_HT, Build, topology

from steersman.cluster.placing import make_parts, reservation
from steersman.model.quantity import parse
from steersman.node.machine import Facts
from steersman.node.pressure.thresholds import parse_thresholds
from steersman.node.register import allocatable
from steersman.node.topology.processors import Options
from steersman.node.topology.settings import BadSetting, Settings, parse_settings, render_settings

CPUS = "--cpu-manager-policy"
FACTS = Facts(8, 8 << 30, 100 << 30, "m", "u", "b", "6.1", "Debian", "amd64")


def parsed(**flags: str) -> Settings:
    return parse_settings({f"--{name.replace('_', '-')}": text for name, text in flags.items()})


def test_nothing_said_is_upstreams_default() -> None:
    assert parsed() == Settings()
    assert Settings().policy == "none" and Settings().scope == "container"


def test_flags_are_read() -> None:
    found = parsed(
        cpu_manager_policy="static",
        cpu_manager_policy_options="full-pcpus-only=true,strict-cpu-reservation=1",
        reserved_cpus="0-1",
        topology_manager_policy="restricted",
        topology_manager_scope="pod",
        topology_manager_policy_options="prefer-closest-numa-nodes=true,max-allowable-numa-nodes=9",
        kube_reserved="memory=100Mi",
        system_reserved="memory=1Gi,cpu=100m",
    )
    assert found.cpu_options == Options(full_pcpus_only=True, strict_cpu_reservation=True)
    assert found.reserved_cpus == {0, 1}
    assert (found.policy, found.scope, found.closest, found.most_nodes) == (
        "restricted",
        "pod",
        True,
        9,
    )
    assert found.reserved == {"memory": parse("1124Mi"), "cpu": parse("100m")}
    assert render_settings(found) == {
        "cpuManagerPolicy": "static",
        "cpuManagerPolicyOptions": {"full-pcpus-only": "true", "strict-cpu-reservation": "true"},
        "memoryManagerPolicy": "None",
        "topologyManagerPolicy": "restricted",
        "topologyManagerScope": "pod",
        "reservedSystemCPUs": "0-1",
        "memorySwap": {"swapBehavior": "NoSwap"},
        "enforceNodeAllocatable": ["pods"],
        "kubeReserved": {"memory": "100Mi"},
        "systemReserved": {"memory": "1Gi", "cpu": "100m"},
        "maxPods": 110,
        "podPidsLimit": -1,
        "failSwapOn": False,
    }


def test_what_is_enforced_is_read_and_told_with_its_groups() -> None:
    found = parsed(
        enforce_node_allocatable="pods, system-reserved,kube-reserved-compressible",
        system_reserved_cgroup="/system",
        kube_reserved_cgroup="/system/kubelet",
        system_reserved="pid=100",
        kube_reserved="pid=10,cpu=1",
    )
    assert found.enforced == ("pods", "system-reserved", "kube-reserved-compressible")
    assert found.groups == {"system-reserved": "/system", "kube-reserved": "/system/kubelet"}
    assert found.amounts["system-reserved"] == {"pid": parse("100")}
    assert found.reserved["pid"] == parse("110")
    told = render_settings(found)
    assert told["enforceNodeAllocatable"] == list(found.enforced)
    assert told["systemReservedCgroup"] == "/system"
    assert told["kubeReservedCgroup"] == "/system/kubelet"
    assert parsed(enforce_node_allocatable="none").enforced == ("none",)


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ({"cpu_manager_policy": "dynamic"}, "must be one of none, static"),
        ({"topology_manager_policy": "loose"}, "none, best-effort, restricted, single-numa-node"),
        ({"topology_manager_scope": "node"}, "must be one of container, pod"),
        ({"cpu_manager_policy": "static"}, "requires systemreserved.cpu"),
        ({"reserved_cpus": "x"}, "--reserved-cpus x: 'x' is not a number"),
        ({"cpu_manager_policy_options": "a=true"}, 'unknown CPU Manager Policy option: "a"'),
        ({"cpu_manager_policy_options": "full-pcpus-only"}, "malformed pair"),
        ({"cpu_manager_policy_options": "full-pcpus-only=maybe"}, "neither true nor false"),
        (
            {"cpu_manager_policy_options": "full-pcpus-only=1,distribute-cpus-across-cores=1"},
            "full-pcpus-only and distribute-cpus-across-cores can not be used at the same time",
        ),
        (
            {
                "cpu_manager_policy": "static",
                "reserved_cpus": "0",
                "cpu_manager_policy_options": "align-by-socket=true",
                "topology_manager_policy": "single-numa-node",
            },
            "incompatible with CPUManager align-by-socket",
        ),
        ({"topology_manager_policy_options": "a=1"}, 'unknown Topology Manager Policy option: "a"'),
        ({"topology_manager_policy_options": "max-allowable-numa-nodes=4"}, "not be less than 8"),
        ({"topology_manager_policy_options": "max-allowable-numa-nodes=x"}, "to integer"),
        (
            {"max_pods": "-1"},
            "invalid configuration: maxPods (--max-pods) -1 must not be a negative number",
        ),
        ({"pod_max_pids": "few"}, "--pod-max-pids few: it must be a whole number"),
        ({"kube_reserved": "gpu=1"}, "--kube-reserved: cannot reserve gpu"),
        ({"kube_reserved": "cpu=one"}, "cpu=one is not a quantity"),
        ({"system_reserved": "cpu=-1"}, "cannot be negative"),
        (
            {"enforce_node_allocatable": "system-reserved"},
            "invalid configuration: systemReservedCgroup (--system-reserved-cgroup) must be "
            'specified when "system-reserved" contained in enforceNodeAllocatable '
            "(--enforce-node-allocatable)",
        ),
        (
            {"enforce_node_allocatable": "pods,kube-reserved-compressible"},
            "invalid configuration: kubeReservedCgroup (--kube-reserved-cgroup) must be specified "
            'when "kube-reserved-compressible" contained in enforceNodeAllocatable ',
        ),
        (
            {"enforce_node_allocatable": "none,pods"},
            "invalid configuration: enforceNodeAllocatable (--enforce-node-allocatable) may not "
            'contain additional enforcements when "none" is specified',
        ),
        (
            {"enforce_node_allocatable": "all"},
            'invalid configuration: option "all" specified for enforceNodeAllocatable '
            '(--enforce-node-allocatable). Valid options are "pods", ',
        ),
        (
            {"reserved_cpus": "0", "kube_reserved_cgroup": "/kube"},
            "invalid configuration: can't use reservedSystemCPUs (--reserved-cpus) with "
            "systemReservedCgroup (--system-reserved-cgroup) or kubeReservedCgroup "
            "(--kube-reserved-cgroup)",
        ),
        ({"kube_reserved_cgroup": "/a/../b"}, "it must be the path of a control group"),
        ({"kube_reserved_cgroup": "system.slice"}, "it must be the path of a control group"),
    ],
)
def test_what_cannot_be_is_refused(flags: dict[str, str], why: str) -> None:
    with pytest.raises(BadSetting) as error:
        parsed(**flags)
    assert why in str(error.value)


def parts(root: Path, build: Build, **flags: str) -> None:
    make_parts(parsed(**flags), topology(build), root, {})


@pytest.mark.parametrize(
    ("build", "flags", "why"),
    [
        (SINGLE_HT, {"cpu_manager_policy": "static", "reserved_cpus": "9"}, "this machine has 0-7"),
        (
            SINGLE_HT,
            {"cpu_manager_policy": "static", "kube_reserved": "cpu=9"},
            "9 processors are to be reserved of 8",
        ),
        (
            Build(("0-3", "4-7"), ("0-7",)),
            {
                "cpu_manager_policy": "static",
                "reserved_cpus": "0",
                "cpu_manager_policy_options": "align-by-socket=true",
            },
            "Align by socket is not compatible with hardware",
        ),
        (
            Build(tuple("012345678"), tuple("012345678")),
            {"topology_manager_policy": "best-effort"},
            "unsupported on machines with more than 8 NUMA Nodes",
        ),
    ],
)
def test_what_this_machine_cannot_is_refused(
    tmp_path: Path, build: Build, flags: dict[str, str], why: str
) -> None:
    with pytest.raises(BadSetting, match=why):
        parts(tmp_path, build, **flags)


def test_more_nodes_are_taken_where_that_is_said(tmp_path: Path) -> None:
    build = Build(tuple("012345678"), tuple("012345678"))
    flags = {"topology_manager_policy_options": "max-allowable-numa-nodes=9"}
    parts(tmp_path, build, topology_manager_policy="best-effort", **flags)


def test_the_lowest_cores_are_reserved_where_none_are_named(tmp_path: Path) -> None:
    parts(tmp_path, DUAL_HT, cpu_manager_policy="static", kube_reserved="cpu=1500m")
    made = make_parts(
        parsed(cpu_manager_policy="static", kube_reserved="cpu=1500m"),
        topology(DUAL_HT),
        tmp_path,
        {},
    )
    pin = made.pinning.begin("uid", "app", 0)
    assert pin.cpus == "0-11" and not pin.exclusive


def test_what_is_reserved_and_what_stays_free_at_any_price_is_not_for_pods() -> None:
    hard = parse_thresholds("memory.available<100Mi,nodefs.available<10%,pid.available<5%")
    said = parsed(kube_reserved="memory=412Mi,cpu=500m", system_reserved="memory=512Mi")
    kept = reservation(said, hard, FACTS)
    assert kept == {
        "memory": parse("1Gi"),
        "cpu": parse("500m"),
        "ephemeral-storage": parse("10Gi"),
    }
    found = allocatable(FACTS, kept)
    assert (found["cpu"], found["memory"], found["ephemeral-storage"], found["pods"]) == (
        "7500m",
        "7Gi",
        "90Gi",
        "110",
    )
    assert allocatable(FACTS, {"memory": parse("9Gi")})["memory"] == "0"
    explicit = parsed(cpu_manager_policy="static", reserved_cpus="0,4", kube_reserved="cpu=3")
    assert reservation(explicit, (), FACTS)["cpu"] == parse("2")
