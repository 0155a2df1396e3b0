"""Small deciding parts of the node: back-off, probes, signals, the Node object, records, files."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace
from node_documents import NOW, UID, exited, observed, pod, running

from steersman.model.kinds.configmap import ConfigMap
from steersman.model.kinds.node import Node
from steersman.model.kinds.secret import Secret
from steersman.model.types.condition import Condition
from steersman.model.types.container import Container, ContainerPort, Probe
from steersman.model.types.volume import HostPath
from steersman.node import containers, record, register
from steersman.node import observed as values
from steersman.node.acting import ending, handlers, probes, pulling, sandboxes, starting
from steersman.node.acting.probes import Tally, judge
from steersman.node.credentials.certificates import Credentials
from steersman.node.machine import Facts
from steersman.node.objects import BadConfiguration, Objects
from steersman.node.paths import Paths
from steersman.node.register import Place
from steersman.node.render.downward import Machine
from steersman.node.tools import Tools
from steersman.node.volumes import (
    config_map,
    downward_api,
    host_path,
    mounting,
    projected,
    secret,
    tree,
)
from steersman.node.volumes.tree import File
from steersman.reconcile.events import Said

# Back-off


def test_restarts_back_off_from_ten_seconds_to_five_minutes() -> None:
    waits = []
    known = exited(1)
    assert containers.restart_at(known) == 0.0
    for _ in range(7):
        backoff = containers.next_backoff(known, NOW)
        known = exited(1, at=NOW, backoff=backoff, backoff_at=NOW)
        waits.append(containers.restart_at(known) - NOW)
    assert waits == [10, 20, 40, 80, 160, 300, 300]


def test_ten_minutes_without_a_restart_end_the_back_off() -> None:
    old = exited(1, at=NOW, backoff=80.0, backoff_at=NOW - 601)
    assert containers.restart_at(old) == 0.0
    assert containers.next_backoff(old, NOW) == 10.0
    young = exited(1, at=NOW, backoff=80.0, backoff_at=NOW - 599)
    assert containers.restart_at(young) == NOW + 80
    assert containers.next_backoff(young, NOW) == 160.0


def test_a_run_that_the_machine_lost_is_followed_at_once() -> None:
    known = exited(137, at=NOW, backoff=80.0, backoff_at=NOW)
    assert known.run is not None
    lost = replace(known, run=replace(known.run, reason=values.UNKNOWN))
    assert containers.restart_at(lost) == 0.0
    assert containers.restart_at(known) == NOW + 80


def test_pulls_back_off_the_same_way() -> None:
    assert [pulling.next_backoff(it) for it in (0.0, 10.0, 160.0, 300.0)] == [10, 20, 300, 300]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "250ms"), (1.234, "1.234s"), (2.0, "2s"), (62.5, "1m2.5s")],
)
def test_times_of_pulls_print_as_go_prints_them(seconds: float, text: str) -> None:
    assert pulling.go_seconds(seconds) == text


def test_the_grace_is_the_deletions_or_the_specs() -> None:
    assert containers.grace_seconds(pod(), False) == 30.0
    asked = {"deletionGracePeriodSeconds": 0}
    assert containers.grace_seconds(pod(metadata=asked), False) == 0.0
    assert containers.grace_seconds(pod(), True) == 1.0


# Probes


def test_results_count_in_a_row() -> None:
    probe = Probe(success_threshold=2, failure_threshold=3)
    tally, seen = Tally(), []
    for success in (True, True, False, False, True, False, False, False, True):
        tally = judge(tally, success, probe)
        seen.append(tally.good)
    assert seen == [None, True, True, True, True, True, True, False, False]


def probed(**given: Any) -> Container:
    return pod(**given).spec.containers[0]


TCP = {"tcpSocket": {"port": 1}}


def test_nothing_else_is_asked_before_the_startup_probe_succeeded() -> None:
    container = probed(startupProbe=TCP, readinessProbe=TCP, livenessProbe=TCP)
    asked = [kind for kind, _ in probes.probes_of(container, running(started=False))]
    assert asked == ["startup"]
    asked = [kind for kind, _ in probes.probes_of(container, running())]
    assert asked == ["readiness", "liveness"]


def test_what_a_conclusion_does() -> None:
    known = running(started=False, ready=False)
    assert probes.apply("startup", known, True).started
    assert probes.apply("readiness", known, True).ready
    assert not probes.apply("readiness", running(), False).ready
    assert probes.apply("liveness", known, True) == known
    assert probes.apply("liveness", known, False).unhealthy == "liveness"
    assert probes.apply("startup", known, False).unhealthy == "startup"


def test_ports_are_found_by_name() -> None:
    container = Container(ports=(ContainerPort(8080, "web"),))
    assert handlers.port_of(container, "web") == 8080
    assert handlers.port_of(container, "81") == 81
    assert handlers.port_of(container, 82) == 82
    with pytest.raises(handlers.NoSuchPort):
        handlers.port_of(container, "none")


# Ends


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("", signal.SIGTERM),
        ("SIGQUIT", signal.SIGQUIT),
        ("INT", signal.SIGINT),
        ("9", signal.SIGKILL),
        ("SIGRTMIN+3", signal.SIGRTMIN + 3),
        ("RTMAX-2", signal.SIGRTMAX - 2),
        ("SIGRTMIN", signal.SIGRTMIN),
        ("nonsense", signal.SIGTERM),
        # what an image may say, and the kernel does not know: the pod would never end
        ("SIGRTMIN+x", signal.SIGTERM),
        ("SIGRTMAX+1", signal.SIGTERM),
        ("99", signal.SIGTERM),
        ("9" * 5000, signal.SIGTERM),
        ("SIG", signal.SIGTERM),
    ],
)
def test_signals_are_known_by_name_and_number(name: str, number: int) -> None:
    assert ending.signal_number(name) == number


def test_a_lost_run_counts_as_killed() -> None:
    run = ending.read_loss(values.Run(3, "running", 5.0), NOW)
    assert (run.attempt, run.state, run.exit_code, run.reason) == (3, "exited", 137, values.UNKNOWN)


# Sandboxes


def test_a_sandbox_is_what_the_spec_says() -> None:
    made = sandboxes.render_sandbox(pod(), "/steersman-x", {})
    assert made["cgroup_parent"] == f"/steersman-x/besteffort/pod{UID}"
    assert (made["hostname"], made["network"], made["ipc"]) == ("web", "pod", "pod")
    spec = {
        "hostNetwork": True,
        "hostIPC": True,
        "securityContext": {"sysctls": [{"name": "net.x", "value": "1"}]},
    }
    made = sandboxes.render_sandbox(pod(spec=spec), "/steersman-x", {})
    assert (made["network"], made["ipc"], made["sysctls"]) == ("host", "host", {"net.x": "1"})
    assert made["pid"] == "container"
    named = {"securityContext": {"sysctls": [{"name": "net/ipv4/conf/eth0.1/x", "value": "2"}]}}
    assert sandboxes.render_sandbox(pod(spec=named), "/c", {})["sysctls"] == {
        "net.ipv4.conf.eth0/1.x": "2"
    }
    shared = sandboxes.render_sandbox(pod(spec={"shareProcessNamespace": True}), "/steersman-x", {})
    assert shared["pid"] == "shared"


# The Node

FACTS = Facts(4, 8 << 30, 100 << 30, "m", "u", "b", "6.1", "Debian", "amd64")
PLACE = Place("vm", "10.0.0.1", 10250, "0.1")


def test_a_node_tells_what_it_is() -> None:
    node = register.render_node(PLACE, FACTS)
    labels = node["metadata"]["labels"]
    assert labels["kubernetes.io/hostname"] == "vm"
    assert labels["kubernetes.io/arch"] == "amd64"
    assert labels["kubernetes.io/os"] == "linux"
    attaches = {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}
    assert node["metadata"]["annotations"] == attaches
    told = register.render_node(replace(PLACE, volumes="/volumes"), FACTS)["metadata"]
    own = {"steersman.io/local-path-directory": "/volumes"}
    assert told["annotations"] == {**attaches, **own}
    assert node["spec"] == {}
    ranged = register.render_node(replace(PLACE, pods="10.64.0.0/24"), FACTS)
    assert ranged["spec"] == {"podCIDR": "10.64.0.0/24", "podCIDRs": ["10.64.0.0/24"]}
    status = register.render_status(PLACE, FACTS, None, NOW)
    assert status["features"] == {"supplementalGroupsPolicy": True}
    assert status["capacity"]["cpu"] == "4"
    assert status["capacity"]["memory"] == f"{8 << 20}Ki"
    assert status["allocatable"]["pods"] == "110"
    assert status["addresses"][0] == {"type": "InternalIP", "address": "10.0.0.1"}
    assert status["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 10250}}
    assert status["nodeInfo"]["kubeletVersion"] == "v1.37.0"
    assert status["nodeInfo"]["containerRuntimeVersion"] == "steersman://0.1"
    states = {it["type"]: it["status"] for it in status["conditions"]}
    assert states == {
        "MemoryPressure": "False",
        "DiskPressure": "False",
        "PIDPressure": "False",
        "Ready": "True",
    }


def test_a_node_tells_the_devices_of_plugins_beside_what_it_is() -> None:
    status = register.render_status(PLACE, FACTS, None, NOW, devices=({"a/b": "3"}, {"a/b": "2"}))
    assert (status["capacity"]["a/b"], status["allocatable"]["a/b"]) == ("3", "2")
    assert status["capacity"]["cpu"] == "4"


def test_conditions_of_a_node_keep_their_times() -> None:
    from datetime import UTC, datetime

    old_time = datetime(2020, 1, 1, tzinfo=UTC)
    old = Condition("Ready", "True", last_transition_time=old_time)
    gone = Condition("DiskPressure", "Unknown", last_transition_time=old_time)
    node = Node()
    node = Node(status=type(node.status)(conditions=(old, gone)))
    status = register.render_status(PLACE, FACTS, node, NOW)
    times = {it["type"]: it["lastTransitionTime"] for it in status["conditions"]}
    assert times["Ready"] == "2020-01-01T00:00:00Z"
    assert times["DiskPressure"] != "2020-01-01T00:00:00Z"


# Records


def test_a_record_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    seen = observed(ready=True, containers={"app": exited(3, attempt=2, backoff=20.0)})
    record.save(paths, seen)
    assert list(record.load_all(paths)) == [seen]
    json.loads((paths.pod(UID) / "record.json").read_text())


def test_a_damaged_record_is_as_good_as_none(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    record.save(paths, observed())
    (paths.pod(UID) / "record.json").write_text("{")
    assert list(record.load_all(paths)) == []
    assert list(record.load_all(Paths(tmp_path / "none"))) == []


def test_removing_a_tree_follows_no_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    inside = tmp_path / "inside"
    (inside / "a" / "b").mkdir(parents=True)
    (inside / "a" / "link").symlink_to(outside)
    record.remove_tree(inside)
    record.remove_tree(inside)
    assert not inside.exists()
    assert (outside / "kept").exists()


def test_names_of_runs_go_both_ways() -> None:
    name = values.engine_name("my.app", 12)
    assert values.parse_engine_name(name) == ("my.app", 12)
    assert values.container_id("u", "a", 0) != values.container_id("u", "a", 1)
    assert values.container_id("u", "a", 0).startswith("steersman://")


def test_paths_are_where_others_expect_them(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    assert paths.pod(UID) == tmp_path / "pods" / UID
    log = paths.log(observed(), "app", 3)
    assert log == tmp_path / "logs" / f"default_web_{UID}" / "app" / "3.log"


def test_of_the_logs_of_a_container_the_last_two_are_kept(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    for attempt in range(4):
        starting.make_log(paths, observed(), "app", attempt).write_text("x")
    folder = paths.log(observed(), "app", 0).parent
    assert sorted(it.name for it in folder.iterdir()) == ["2.log", "3.log"]


# Files of volumes


def test_files_change_together_and_are_reached_through_one_link(tmp_path: Path) -> None:
    files = {"a": File(b"1", 0o644), "d/x": File(b"2", 0o400)}
    assert tree.write(tmp_path, files, None, "v1")
    assert (tmp_path / "a").read_bytes() == b"1"
    assert (tmp_path / "d" / "x").read_bytes() == b"2"
    assert (tmp_path / "d" / "x").stat().st_mode & 0o777 == 0o400
    assert (tmp_path / "a").readlink() == Path("..data/a")
    assert (tmp_path / "..data").readlink() == Path("..v1")
    assert not tree.write(tmp_path, files, None, "v2")
    assert tree.write(tmp_path, {"b": File(b"3", 0o644)}, None, "v3")
    assert sorted(it.name for it in tmp_path.iterdir()) == ["..data", "..v3", "b"]


def test_a_group_that_is_given_the_files_can_read_them(tmp_path: Path) -> None:
    import os

    tree.write(tmp_path, {"a": File(b"1", 0o400)}, os.getgid(), "v1")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o440


@pytest.mark.parametrize("path", ["", "/x", "../x", "a/../b", "..x"])
def test_paths_that_would_leave_the_volume_are_refused(path: str) -> None:
    with pytest.raises(BadConfiguration, match="invalid path"):
        tree.check_path(path)


STORED = {
    "cm": ConfigMap(data={"a": "one"}, binary_data={"b": b"\xff"}),
    "se": Secret(data={"pw": b"hush"}),
}
OBJECTS = Objects("default", lambda ref: STORED.get(ref.name))


def volume(**source: Any) -> Any:
    return pod(spec={"volumes": [{"name": "v", **source}]}).spec.volumes[0]


def test_keys_of_a_config_map_are_files() -> None:
    made = volume(configMap={"name": "cm"}).config_map
    assert config_map.render(made, OBJECTS, 0o644) == {
        "a": File(b"one", 0o644),
        "b": File(b"\xff", 0o644),
    }
    chosen = {"name": "cm", "items": [{"key": "a", "path": "x/y", "mode": 0o600}]}
    made = volume(configMap=chosen).config_map
    assert config_map.render(made, OBJECTS, 0o644) == {"x/y": File(b"one", 0o600)}


def test_missing_objects_and_keys_are_refused_unless_optional() -> None:
    with pytest.raises(BadConfiguration, match='configmap "no" not found'):
        config_map.render(volume(configMap={"name": "no"}).config_map, OBJECTS, 0)
    made = volume(configMap={"name": "no", "optional": True}).config_map
    assert config_map.render(made, OBJECTS, 0) == {}
    missing = {"items": [{"key": "z", "path": "z"}]}
    with pytest.raises(BadConfiguration, match=r"^configmap references non-existent config key: z"):
        config_map.render(volume(configMap={"name": "cm", **missing}).config_map, OBJECTS, 0)
    made = volume(configMap={"name": "cm", "optional": True, **missing}).config_map
    assert config_map.render(made, OBJECTS, 0) == {}
    items = volume(secret={"secretName": "se", **missing}).secret.items
    with pytest.raises(BadConfiguration, match="references non-existent secret key: z"):
        secret.render("se", items, False, OBJECTS, 0)


def test_several_sources_share_a_directory() -> None:
    sources = [
        {"configMap": {"name": "cm", "items": [{"key": "a", "path": "a"}]}},
        {"secret": {"name": "se"}},
        {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"serviceAccountToken": {"path": "token"}},
    ]
    made = volume(projected={"sources": sources, "defaultMode": 0o644}).projected
    machine = Machine({})
    found = projected.render(pod(), made, OBJECTS, machine, {"token": "t"}, {})
    contents = {name: file.content for name, file in found.items()}
    assert contents == {"a": b"one", "pw": b"hush", "n": b"web", "token": b"t"}
    made = volume(projected={"sources": [{}]}).projected
    with pytest.raises(BadConfiguration, match="not supported"):
        projected.render(pod(), made, OBJECTS, machine, {}, {})


def test_a_certificate_is_as_many_files_as_are_asked_for() -> None:
    given = Credentials("key\n", "chain\n", 0.0)
    for paths, wanted in (
        ({"credentialBundlePath": "b"}, {"b": b"key\nchain\n"}),
        ({"keyPath": "k", "certificateChainPath": "c"}, {"k": b"key\n", "c": b"chain\n"}),
    ):
        sources = [{"downwardAPI": {}}, {"podCertificate": paths}]
        made = volume(projected={"sources": sources}).projected
        found = projected.render(pod(), made, OBJECTS, Machine({}), {}, {1: given})
        assert {name: file.content for name, file in found.items()} == wanted
    root = pod(spec={"securityContext": {"runAsUser": 0}}, securityContext={"runAsUser": 0})
    found = projected.render(root, made, OBJECTS, Machine({}), {}, {1: given})
    assert {file.mode for file in found.values()} == {0o600}


@pytest.mark.parametrize(
    ("shared", "own", "mode", "owner"),
    [
        ({}, {}, 0o440, None),
        ({"runAsUser": 7}, {}, 0o600, 7),
        ({"runAsUser": 7}, {"runAsUser": 5}, 0o600, 5),
        ({"runAsUser": 0}, {"runAsUser": 0}, 0o600, 0),
        ({"fsGroup": 9}, {}, 0o600, None),
        ({"fsGroup": 9, "runAsUser": 7}, {}, 0o600, 7),
    ],
)
def test_a_token_is_for_those_alone_who_are_known_to_read_it(
    shared: dict[str, int], own: dict[str, int], mode: int, owner: int | None
) -> None:
    made = pod(spec={"securityContext": shared}, securityContext=own)
    sources = [{"serviceAccountToken": {"path": "token"}}]
    asked = volume(projected={"sources": sources, "defaultMode": 0o440}).projected
    found = projected.render(made, asked, OBJECTS, Machine({}), {"token": "t"}, {})
    assert found == {"token": File(b"t", mode, owner)}


def test_a_token_is_for_everybody_where_containers_run_as_several() -> None:
    several = [{"name": "a", "securityContext": {"runAsUser": 5}}, {"name": "b"}]
    assert projected.user_of(pod(spec={"containers": several})) is None
    shared = {"runAsUser": 5}
    assert projected.user_of(pod(spec={"containers": several, "securityContext": shared})) == 5


def test_a_file_has_the_owner_that_it_says(tmp_path: Path) -> None:
    import os

    tree.write(tmp_path, {"a": File(b"1", 0o600, os.getuid())}, None, "v1")
    found = (tmp_path / "a").stat()
    assert (found.st_uid, found.st_mode & 0o777) == (os.getuid(), 0o600)


def test_fields_are_files() -> None:
    items = volume(
        downwardAPI={
            "items": [
                {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}, "mode": 0o600},
                {
                    "path": "cpu",
                    "resourceFieldRef": {"containerName": "app", "resource": "limits.cpu"},
                },
            ]
        }
    ).downward_api.items
    found = downward_api.render(pod(), items, 0o644, Machine({"cpu": "4"}))
    assert found == {"name": File(b"web", 0o600), "cpu": File(b"4", 0o644)}


def test_paths_of_the_node_are_checked_by_type(tmp_path: Path) -> None:
    file, directory = tmp_path / "f", tmp_path / "d"
    host_path.prepare(HostPath(str(directory), "DirectoryOrCreate"))
    host_path.prepare(HostPath(str(file), "FileOrCreate"))
    assert directory.is_dir()
    assert file.is_file()
    assert host_path.prepare(HostPath(str(tmp_path / "whatever"))) == tmp_path / "whatever"
    wrong = ((file, "Directory"), (directory, "File"), (file, "Socket"))
    for path, kind in (*wrong, (file, "DirectoryOrCreate"), (directory, "FileOrCreate")):
        with pytest.raises(BadConfiguration, match="hostPath type check failed"):
            host_path.prepare(HostPath(str(path), kind))
    for kind, verb in (("FileOrCreate", "open"), ("DirectoryOrCreate", "mkdir"), ("", "mkdir")):
        below = (directory / "none" if verb == "open" else file) / "x"
        why = "no such file or directory" if verb == "open" else "not a directory"
        with pytest.raises(BadConfiguration, match=f"^{verb} {below}: {why}$"):
            host_path.prepare(HostPath(str(below), kind))


def test_only_what_the_node_keeps_or_the_pod_says_is_read_only() -> None:
    assert not readonly(emptyDir={})
    assert not readonly(hostPath={"path": "/x"})
    assert not readonly(nfs={"server": "s", "path": "/x"})
    assert not readonly(persistentVolumeClaim={"claimName": "c"})
    assert not readonly(ephemeral={"volumeClaimTemplate": {}})
    assert readonly(persistentVolumeClaim={"claimName": "c", "readOnly": True})
    assert readonly(configMap={"name": "x"})
    assert not readonly(awsElasticBlockStore={"volumeID": "vol-1"})
    assert readonly(portworxVolume={"volumeID": "p", "readOnly": True})


def readonly(**source: Any) -> bool:
    owner = pod(spec={"volumes": [{"name": "v", **source}]})
    return mounting.is_readonly(owner, owner.spec.volumes[0])


def test_events_name_the_list_in_which_a_container_stands() -> None:
    lists = {"initContainers": "one", "ephemeralContainers": "debug"}
    given = pod(
        spec={
            where: [{"name": name, "image": "i"}, {"name": f"other {name}", "image": "i"}]
            for where, name in lists.items()
        }
    )
    for where, name in (*lists.items(), ("containers", "app")):
        assert containers.list_of(given, name) == where


@pytest.mark.parametrize(
    ("container", "path"),
    [("", ""), ("app", "spec.containers{app}"), ("i", "spec.initContainers{i}")],
)
def test_an_event_is_about_the_pod_or_one_of_its_containers_and_of_this_node(
    container: str, path: str
) -> None:
    said: list[Said] = []
    tools = SimpleNamespace(events=SimpleNamespace(say=said.append), place=PLACE)
    given = pod(spec={"initContainers": [{"name": "i", "image": "i"}]})
    Tools.say(cast(Tools, tools), given, "Normal", "Started", "text", container)
    about = ("v1", "Pod", "default", "web", UID, path)
    assert said == [Said(about, "Normal", "Started", "text", host="vm")]


def test_a_link_or_a_file_in_the_place_of_a_tree_is_removed_and_what_it_leads_to_stays(
    tmp_path: Path,
) -> None:
    (tmp_path / "kept").mkdir()
    link, file = tmp_path / "link", tmp_path / "file"
    link.symlink_to(tmp_path / "kept")
    file.write_text("x")
    for path in (link, file, tmp_path / "nothing"):
        record.remove_tree(path)
    assert list(tmp_path.iterdir()) == [tmp_path / "kept"]
