"""What a runtime is asked for: configurations of sandboxes and containers, from pods."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from steersman.cri.client.container_config import render_container
from steersman.cri.client.naming import name_of, uid_of
from steersman.cri.client.sandbox_config import Surroundings, render_sandbox
from steersman.cri.messages.containers import (
    BIDIRECTIONAL,
    HOST_TO_CONTAINER,
    PRIVATE,
    SIGNALS,
    Capability,
    Container,
    ContainerConfig,
    ContainerMetadata,
    Device,
    LinuxContainerSecurityContext,
    Mount,
)
from steersman.cri.messages.sandboxes import DNSConfig, PodSandboxConfig, PortMapping
from steersman.cri.messages.values import (
    CONTAINER,
    LOCALHOST,
    NODE,
    POD,
    RUNTIME_DEFAULT,
    TARGET,
    UNCONFINED,
    IDMapping,
    ImageSpec,
    Int64Value,
    KeyValue,
    SecurityProfile,
)
from steersman.images.documents import RunConfig
from steersman.model.kinds.pod import Pod
from steersman.node.devices.injection import Injection, Node
from steersman.node.devices.injection import Mount as Injected
from steersman.node.engine.interface import Handler, Order
from steersman.node.objects import BadConfiguration
from steersman.node.render.bundle import Device as BlockDevice
from steersman.node.render.bundle import Ground
from steersman.node.render.resolution import Resolution
from unit.node.node_documents import UID, observed, pod

AROUND = Surroundings(
    "abc", "/steersman-abc", Resolution("10.96.0.10", "cluster.local", "nameserver 192.0.2.1\n")
)
LOGS = Path("/n/logs/default_web_uid")
ENTRY = {"containerID": 0, "hostID": 65536, "size": 65536}
IDS = {"uidMappings": [ENTRY], "gidMappings": [ENTRY]}
NAMES = {
    "io.kubernetes.pod.name": "web",
    "io.kubernetes.pod.namespace": "default",
    "io.kubernetes.pod.uid": UID,
}


def sandbox(given: Pod, ids: Any = None) -> PodSandboxConfig:
    return render_sandbox(given, AROUND, LOGS, {"cpu": {"shares": 9}}, ids or {})


def security(given: Pod) -> Any:
    linux = sandbox(given).linux
    assert linux is not None
    return linux.security_context


def test_a_sandbox_bears_its_pods_names_and_labels_and_whose_it_is() -> None:
    found = sandbox(pod(metadata={"labels": {"app": "x"}, "annotations": {"a": "b"}}))
    assert found.labels == {"app": "x", **NAMES, "steersman.io/cluster": "abc"}
    assert found.annotations == {"a": "b"}
    assert found.metadata is not None
    assert (found.metadata.name, found.metadata.uid) == ("web", UID)
    assert (found.hostname, found.log_directory) == ("web", str(LOGS))
    assert found.linux is not None
    assert found.linux.cgroup_parent == f"/steersman-abc/besteffort/pod{UID}"
    assert found.linux.resources is not None and found.linux.resources.cpu_shares == 9


def test_a_sandbox_resolves_names_as_its_pod_says() -> None:
    searches = ("default.svc.cluster.local", "svc.cluster.local", "cluster.local")
    assert sandbox(pod()).dns_config == DNSConfig(("10.96.0.10",), searches, ("ndots:5",))
    hosts = pod(spec={"dnsPolicy": "Default", "dnsConfig": {"options": [{"name": "edns0"}]}})
    assert sandbox(hosts).dns_config == DNSConfig(("192.0.2.1",), (), ("edns0",))


def test_ports_of_the_machine_are_mapped_but_for_pods_that_have_all_of_them() -> None:
    ports = [
        {"containerPort": 80, "hostPort": 8080, "hostIP": "127.0.0.1"},
        {"containerPort": 53, "hostPort": 53, "protocol": "UDP"},
        {"containerPort": 81},
    ]
    mapped = (PortMapping(0, 80, 8080, "127.0.0.1"), PortMapping(1, 53, 53, ""))
    assert sandbox(pod(ports=ports)).port_mappings == mapped
    own = sandbox(pod(ports=ports, spec={"hostNetwork": True}))
    assert (own.port_mappings, own.hostname) == ((), "")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, (POD, CONTAINER, POD)),
        ({"shareProcessNamespace": True}, (POD, POD, POD)),
        ({"hostNetwork": True, "hostPID": True, "hostIPC": True}, (NODE, NODE, NODE)),
    ],
)
def test_namespaces_are_what_a_pod_shares(spec: dict[str, Any], expected: Any) -> None:
    options = security(pod(spec=spec)).namespace_options
    assert (options.network, options.pid, options.ipc) == expected
    assert options.userns_options.mode == NODE


def test_users_of_its_own_are_mapped() -> None:
    linux = sandbox(pod(spec={"hostUsers": False}), IDS).linux
    assert linux is not None and linux.security_context is not None
    options = linux.security_context.namespace_options
    assert options is not None and options.userns_options is not None
    assert options.userns_options.mode == POD
    assert options.userns_options.uids == (IDMapping(65536, 0, 65536),)


def test_a_sandbox_is_as_safe_as_its_pod_says() -> None:
    context = {
        "runAsUser": 5,
        "runAsGroup": 6,
        "fsGroup": 7,
        "supplementalGroups": [8],
        "supplementalGroupsPolicy": "Strict",
        "sysctls": [{"name": "net/x", "value": "1"}],
    }
    given = pod(spec={"securityContext": context}, securityContext={"privileged": True})
    found = security(given)
    assert (found.run_as_user, found.run_as_group) == (Int64Value(5), Int64Value(6))
    assert (found.supplemental_groups, found.supplemental_groups_policy) == ((8, 7), 1)
    assert found.privileged and not security(pod()).privileged
    assert found.seccomp == SecurityProfile(RUNTIME_DEFAULT)
    linux = sandbox(given).linux
    assert linux is not None and linux.sysctls == {"net.x": "1"}


# Containers


def order(given: Pod, user: str = "", attempt: int = 3, **variables: str) -> Order:
    ground = Ground(
        pid=0,
        shm="",
        layers=[],
        volumes={"v": Path("/n/v"), "kept": Path("/n/kept"), "disk": Path("/n/disk")},
        readonly={"kept"},
        etc=Path("/n/etc"),
        termination_log=Path("/n/message"),
        log=Path(f"/n/logs/default_web_uid/app/{attempt}.log"),
        memory_bytes=1 << 30,
        devices={"disk": BlockDevice(8, 1, True)},
    )
    image = SimpleNamespace(digest="sha256:1", run_config=RunConfig(user=user))
    container = given.spec.containers[0]
    return Order(given, container, observed(), attempt, cast(Any, image), variables, ground)


def made(given: Pod, user: str = "", **more: Any) -> ContainerConfig:
    variables = more.pop("variables", {})
    rest = {
        "handler": Handler(),
        "ids": {},
        "subpaths": {},
        "images": {},
        "target": "",
        "seccomp_root": "/n/seccomp",
        **more,
    }
    return render_container(order(given, user, **variables), "abc", **rest)


def safety(given: Pod, user: str = "", **more: Any) -> LinuxContainerSecurityContext:
    linux = made(given, user, **more).linux
    assert linux is not None and linux.security_context is not None
    return linux.security_context


def test_a_container_bears_the_kubelets_labels_and_annotations() -> None:
    found = made(pod(terminationMessagePolicy="FallbackToLogsOnError"))
    own = {"io.kubernetes.container.name": "app", "steersman.io/cluster": "abc"}
    assert found.labels == {**NAMES, **own}
    assert found.annotations == {
        "io.kubernetes.container.restartCount": "3",
        "io.kubernetes.container.terminationMessagePath": "/dev/termination-log",
        "io.kubernetes.container.terminationMessagePolicy": "FallbackToLogsOnError",
        "io.kubernetes.pod.terminationGracePeriod": "30",
    }
    assert found.metadata == ContainerMetadata("app", 3)
    listed = Container("id", metadata=found.metadata, labels=found.labels)
    assert (uid_of(listed.labels), name_of(listed)) == (UID, "app.3")
    assert found.log_path == "app/3.log"
    assert found.image is not None
    assert (found.image.image, found.image.user_specified_image) == ("sha256:1", "busybox:1")


def test_what_is_run_is_expanded_with_the_pods_variables() -> None:
    found = made(
        pod(command=["a", "$(X)"], args=["$(Y)"], workingDir="/w", stdin=True, tty=True),
        variables={"X": "1"},
    )
    assert (found.command, found.args, found.working_dir) == (("a", "1"), ("$(Y)",), "/w")
    assert found.envs == (KeyValue("X", b"1"),)
    assert (found.stdin, found.stdin_once, found.tty) == (True, False, True)


def test_mounts_are_those_of_volumes_and_the_nodes_own_files() -> None:
    mounts = [
        {"name": "v", "mountPath": "/a", "readOnly": True},
        {"name": "v", "mountPath": "/b", "mountPropagation": "HostToContainer"},
        {"name": "v", "mountPath": "/c", "mountPropagation": "Bidirectional", "subPath": "s"},
    ]
    found = made(pod(volumeMounts=mounts), subpaths={"/c": "/n/bound"})
    assert found.mounts == (
        Mount("/a", "/n/v", readonly=True, propagation=PRIVATE),
        Mount("/b", "/n/v", propagation=HOST_TO_CONTAINER),
        Mount("/c", "/n/bound", propagation=BIDIRECTIONAL),
        Mount("/etc/hosts", "/n/etc/hosts"),
        Mount("/dev/termination-log", "/n/message"),
    )
    kept = made(pod(volumeMounts=[{"name": "kept", "mountPath": "/a"}]))
    assert kept.mounts[0] == Mount("/a", "/n/kept", readonly=True)
    own = made(pod(volumeMounts=[{"name": "v", "mountPath": "/etc/hosts"}]))
    assert [it.host_path for it in own.mounts if it.container_path == "/etc/hosts"] == ["/n/v"]
    with pytest.raises(BadConfiguration, match="volume other is not there"):
        made(pod(volumeMounts=[{"name": "other", "mountPath": "/a"}]))
    mapped = made(pod(spec={"hostUsers": False}), ids=IDS)
    assert {it.uidMappings for it in mapped.mounts} == {(IDMapping(65536, 0, 65536),)}


def test_recursive_read_only_mounts_are_refused_where_the_runtime_has_none() -> None:
    def asks(how: str) -> Pod:
        mount = {"name": "v", "mountPath": "/a", "readOnly": True, "recursiveReadOnly": how}
        return pod(volumeMounts=[mount])

    able = Handler(recursive_read_only_mounts=True)
    assert made(asks("Enabled"), handler=able).mounts[0].recursive_read_only
    assert not made(asks("IfPossible")).mounts[0].recursive_read_only
    with pytest.raises(BadConfiguration, match="requested recursive read-only mode"):
        made(asks("Enabled"))


def test_volumes_are_devices_where_they_are_used_as_such() -> None:
    found = made(pod(volumeDevices=[{"name": "disk", "devicePath": "/dev/x"}]))
    assert found.devices == (Device("/dev/x", "/n/disk", "r"),)


def test_an_image_is_a_mount_without_a_path_that_is_only_read() -> None:
    mounts = [
        {"name": "v", "mountPath": "/whole"},
        {"name": "v", "mountPath": "/part", "subPathExpr": "in/$(WHERE)"},
    ]
    image = ImageSpec("sha256:2", user_specified_image="data:1")
    found = made(pod(volumeMounts=mounts), images={"v": image}, variables={"WHERE": "here"})
    whole, part = (it for it in found.mounts if it.container_path in ("/whole", "/part"))
    assert whole == Mount("/whole", readonly=True, image=image)
    assert part == Mount("/part", readonly=True, image=image, image_sub_path="in/here")


def test_what_devices_need_is_put_in_and_those_of_cdi_are_named() -> None:
    given = pod()
    needed = Injection(
        mounts=[Injected("/host/lib", "/lib/gpu", True)],
        devices=[Node("/dev/gpu0", "/dev/gpu", "rw")],
        annotations={"gpu": "0"},
        cdi=["vendor.example/gpu=0"],
    )
    asked = msgspec.structs.replace(order(given), injection=needed)
    found = render_container(asked, "abc", Handler(), {}, {}, {}, "", "/n/seccomp")
    assert Device("/dev/gpu", "/dev/gpu0", "rw") in found.devices
    assert Mount("/lib/gpu", "/host/lib", readonly=True) in found.mounts
    assert [it.name for it in found.CDI_devices] == ["vendor.example/gpu=0"]
    assert found.annotations["gpu"] == "0"


def test_what_plugins_say_stands_behind_what_the_pod_and_the_node_say() -> None:
    restarts = "io.kubernetes.container.restartCount"
    given = pod(volumeMounts=[{"name": "v", "mountPath": "/lib/gpu/"}])
    needed = Injection(
        mounts=[Injected("/host/lib", "/lib/gpu"), Injected("/host/hosts", "/etc/other")],
        annotations={restarts: "99"},
    )
    asked = msgspec.structs.replace(order(given), injection=needed)
    found = render_container(asked, "abc", Handler(), {}, {}, {}, "", "/n/seccomp")
    assert found.annotations[restarts] == "3"
    sources = {it.container_path.rstrip("/"): it.host_path for it in found.mounts}
    assert (sources["/lib/gpu"], sources["/etc/other"]) == ("/n/v", "/host/hosts")
    assert len(found.mounts) == len(sources)


def test_resources_are_the_kubelets() -> None:
    limits = {"cpu": "500m", "memory": "64Mi"}
    linux = made(pod(resources={"limits": limits, "requests": limits})).linux
    assert linux is not None and linux.resources is not None
    found = linux.resources
    assert (found.cpu_shares, found.cpu_quota, found.cpu_period) == (512, 50_000, 100_000)
    assert found.memory_limit_in_bytes == found.memory_swap_limit_in_bytes == 64 << 20
    assert found.oom_score_adj == -997
    linux = made(pod()).linux
    assert linux is not None and linux.resources is not None
    assert linux.resources.oom_score_adj == 1000


def test_a_container_is_as_safe_as_it_says_and_else_as_its_pod() -> None:
    own = {
        "runAsUser": 5,
        "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "seccompProfile": {"type": "Localhost", "localhostProfile": "p.json"},
        "appArmorProfile": {"type": "Localhost", "localhostProfile": "mine"},
    }
    shared = {"runAsUser": 9, "runAsGroup": 6, "fsGroup": 7, "supplementalGroups": [8]}
    found = safety(pod(spec={"securityContext": shared}, securityContext=own))
    assert (found.run_as_user, found.run_as_group) == (Int64Value(5), Int64Value(6))
    assert found.supplemental_groups == (8, 7)
    assert found.capabilities == Capability(("NET_ADMIN",), ("ALL",))
    assert found.readonly_rootfs and found.no_new_privs
    assert found.seccomp == SecurityProfile(LOCALHOST, "/n/seccomp/p.json")
    assert found.apparmor == SecurityProfile(LOCALHOST, "mine")
    plain = safety(pod())
    assert plain.seccomp == SecurityProfile(RUNTIME_DEFAULT)
    assert (plain.apparmor, plain.run_as_user, plain.no_new_privs) == (None, None, False)
    assert "/proc/kcore" in plain.masked_paths and "/proc/sys" in plain.readonly_paths
    unmasked = safety(pod(securityContext={"procMount": "Unmasked"}))
    assert (unmasked.masked_paths, unmasked.readonly_paths) == ((), ())
    profile = {"type": "Localhost", "localhostProfile": "mine"}
    privileged = safety(pod(securityContext={"privileged": True, "appArmorProfile": profile}))
    assert privileged.apparmor is None
    assert privileged.privileged and privileged.masked_paths == ()
    assert privileged.seccomp == SecurityProfile(UNCONFINED)


def test_without_a_user_of_its_own_a_container_has_its_images() -> None:
    assert safety(pod(), user="7:8").run_as_user == Int64Value(7)
    named = safety(pod(), user="web")
    assert (named.run_as_user, named.run_as_username) == (None, "web")
    with pytest.raises(BadConfiguration, match="image will run as root"):
        made(pod(securityContext={"runAsNonRoot": True}))


def test_a_container_may_see_the_processes_of_another() -> None:
    options = safety(pod(), target="id-of-app").namespace_options
    assert options is not None
    assert (options.pid, options.target_id) == (TARGET, "id-of-app")


def test_the_signal_that_asks_a_container_to_end_is_told() -> None:
    found = made(pod(lifecycle={"stopSignal": "SIGUSR1"}))
    assert SIGNALS[found.stop_signal] == "SIGUSR1"
    assert made(pod()).stop_signal == 0
