"""ConfigMaps, Secrets, fields of pods and what projects them, as files in containers: contents,
modes, owners and changes, as upstream's conformance suite asks for them."""

from __future__ import annotations

from typing import Any

import pytest
from node_cluster import IMAGE, Cluster, Session, needs_root
from test_node_claims import ended

from steersman.model.kind import Kind
from steersman.model.kinds.configmap import CONFIGMAP
from steersman.model.kinds.namespace import NAMESPACE
from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD, Pod
from steersman.model.kinds.secret import SECRET
from steersman.model.quantity import parse

pytestmark = needs_root

MAP, KEYS = "configMap", "secret"
KINDS: dict[str, Kind] = {MAP: CONFIGMAP, KEYS: SECRET}
SOURCES = [(MAP, False), (KEYS, False), (MAP, True), (KEYS, True)]
NOBODY = {"runAsUser": 1000}
DATA = {"data-1": "value-1", "data-2": "value-2", "data-3": "value-3"}
# A file's mode, owner and group, whatever links lead to it
STAT = "busybox stat -L -c '%a %u %g'"


@pytest.fixture(params=SOURCES, ids=lambda it: f"{'projected ' if it[1] else ''}{it[0]}")
def source(request: pytest.FixtureRequest) -> tuple[str, bool]:
    found: tuple[str, bool] = request.param
    return found


def volume(source: tuple[str, bool], name: str, label: str = "files", **more: Any) -> Any:
    """A volume of an object; its default mode stands outside of a projection."""
    kind, is_projected = source
    mode = {"defaultMode": more.pop("defaultMode")} if "defaultMode" in more else {}
    if is_projected:
        return {"name": label, "projected": {**mode, "sources": [{kind: {"name": name, **more}}]}}
    named = {"secretName": name} if kind == KEYS else {"name": name}
    return {"name": label, kind: {**named, **mode, **more}}


def mount(path: str, label: str = "files", **more: Any) -> dict[str, Any]:
    return {"name": label, "mountPath": path, **more}


async def make(
    session: Session, kind: str, name: str, data: dict[str, str], namespace: str = "default"
) -> None:
    field = "stringData" if kind == KEYS else "data"
    document = {"metadata": {"name": name}, field: data}
    await session.client.create(KINDS[kind], document, namespace=namespace)


async def change(session: Session, kind: str, name: str, data: dict[str, str]) -> None:
    field = "stringData" if kind == KEYS else "data"
    await session.client.patch(KINDS[kind].ref("default", name), {field: data})


async def run(session: Session, cluster: Cluster, script: str, **given: Any) -> list[str]:
    """Runs a script in a pod to its end; returns what it wrote."""
    spec = {"volumes": given.pop("volumes"), "restartPolicy": "Never", **given.pop("spec", {})}
    container = {"volumeMounts": given.pop("mounts"), **given}
    await session.create("reader", script=script, spec=spec, **container)
    pod = await ended(session, "reader")
    assert pod.status.phase == "Succeeded", cluster.log(pod)
    lines = cluster.log(pod).splitlines()
    await session.delete("reader")
    return lines


async def forget(session: Session, kind: str, *names: str) -> None:
    for name in names:
        await session.client.delete(KINDS[kind].ref("default", name))


def test_all_keys_are_files_of_their_names(cluster: Cluster, source: tuple[str, bool]) -> None:
    async def scenario(session: Session) -> None:
        await make(session, source[0], "all", DATA)
        script = f"cat /etc/files/data-1; echo; {STAT} /etc/files/data-1; ls /etc/files"
        said = await run(
            session, cluster, script, volumes=[volume(source, "all")], mounts=[mount("/etc/files")]
        )
        assert said == ["value-1", "644 0 0", *DATA]
        await forget(session, source[0], "all")

    cluster.run(scenario)


def test_all_keys_can_be_read_by_others_than_root(
    cluster: Cluster, source: tuple[str, bool]
) -> None:
    async def scenario(session: Session) -> None:
        await make(session, source[0], "others", DATA)
        said = await run(
            session,
            cluster,
            "cat /etc/files/data-1",
            volumes=[volume(source, "others")],
            mounts=[mount("/etc/files")],
            spec={"securityContext": NOBODY},
        )
        assert said == ["value-1"]
        await forget(session, source[0], "others")

    cluster.run(scenario)


def test_files_have_the_mode_that_the_volume_says(
    cluster: Cluster, source: tuple[str, bool]
) -> None:
    async def scenario(session: Session) -> None:
        await make(session, source[0], "mode", DATA)
        said = await run(
            session,
            cluster,
            f"cat /etc/files/data-1; echo; {STAT} /etc/files/data-1",
            volumes=[volume(source, "mode", defaultMode=0o400)],
            mounts=[mount("/etc/files")],
        )
        assert said == ["value-1", "400 0 0"]
        await forget(session, source[0], "mode")

    cluster.run(scenario)


def test_files_belong_to_the_pods_group_and_keep_their_mode(
    cluster: Cluster, source: tuple[str, bool]
) -> None:
    async def scenario(session: Session) -> None:
        await make(session, source[0], "group", DATA)
        said = await run(
            session,
            cluster,
            f"cat /etc/files/data-1; echo; {STAT} /etc/files/data-1",
            volumes=[volume(source, "group", defaultMode=0o440)],
            mounts=[mount("/etc/files")],
            spec={"securityContext": {**NOBODY, "fsGroup": 1001}},
        )
        assert said == ["value-1", "440 0 1001"]
        await forget(session, source[0], "group")

    cluster.run(scenario)


@pytest.mark.parametrize(
    ("security", "expected"),
    [
        ({"runAsUser": 1000}, "600 1000 0"),
        ({"fsGroup": 10000}, "640 0 10000"),
        ({"runAsUser": 1000, "fsGroup": 10000}, "640 1000 10000"),
        ({}, "644 0 0"),
    ],
)
def test_a_token_is_for_those_alone_who_are_known_to_read_it(
    cluster: Cluster, security: dict[str, int], expected: str
) -> None:
    async def scenario(session: Session) -> None:
        sources = [{"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}}]
        lines = await run(
            session,
            cluster,
            f"{STAT} /files/token; grep -c . /files/token",
            volumes=[{"name": "files", "projected": {"sources": sources}}],
            mounts=[mount("/files")],
            spec={"securityContext": security},
        )
        assert lines == [expected, "1"]

    cluster.run(scenario)


@pytest.mark.parametrize("user", [{}, NOBODY], ids=["root", "others"])
def test_chosen_keys_are_files_at_their_paths(
    cluster: Cluster, source: tuple[str, bool], user: dict[str, int]
) -> None:
    async def scenario(session: Session) -> None:
        await make(session, source[0], "chosen", DATA)
        items = [{"key": "data-2", "path": "path/to/data-2"}]
        said = await run(
            session,
            cluster,
            "cat /etc/files/path/to/data-2; echo; ls /etc/files",
            volumes=[volume(source, "chosen", items=items)],
            mounts=[mount("/etc/files")],
            spec={"securityContext": user},
        )
        assert said == ["value-2", "path"]
        await forget(session, source[0], "chosen")

    cluster.run(scenario)


def test_a_chosen_key_has_its_own_mode(cluster: Cluster, source: tuple[str, bool]) -> None:
    async def scenario(session: Session) -> None:
        await make(session, source[0], "own", DATA)
        items = [{"key": "data-2", "path": "path/to/data-2", "mode": 0o400}]
        said = await run(
            session,
            cluster,
            f"cat /etc/files/path/to/data-2; echo; {STAT} /etc/files/path/to/data-2",
            volumes=[volume(source, "own", items=items)],
            mounts=[mount("/etc/files")],
        )
        assert said == ["value-2", "400 0 0"]
        await forget(session, source[0], "own")

    cluster.run(scenario)


def test_one_object_is_in_several_volumes_of_a_pod(
    cluster: Cluster, source: tuple[str, bool]
) -> None:
    async def scenario(session: Session) -> None:
        await make(session, source[0], "twice", DATA)
        said = await run(
            session,
            cluster,
            "cat /etc/one/data-1; echo; cat /etc/two/data-1",
            volumes=[volume(source, "twice", "one"), volume(source, "twice", "two")],
            mounts=[mount("/etc/one", "one"), mount("/etc/two", "two")],
        )
        assert said == ["value-1", "value-1"]
        await forget(session, source[0], "twice")

    cluster.run(scenario)


def test_a_change_of_the_object_reaches_the_file(
    cluster: Cluster, source: tuple[str, bool]
) -> None:
    async def scenario(session: Session) -> None:
        await make(session, source[0], "live", {"data-1": "value-1"})
        script = "cat /etc/files/data-1; echo; "
        script += "until grep -q value-2 /etc/files/data-1; do sleep 0.1; done; echo seen"
        spec = {"volumes": [volume(source, "live")], "restartPolicy": "Never"}
        await session.create("live", script=script, volumeMounts=[mount("/etc/files")], spec=spec)
        await session.until("live", lambda it: it.status.phase == "Running")
        await change(session, source[0], "live", {"data-1": "value-2"})
        pod = await ended(session, "live")
        assert cluster.log(pod).splitlines() == ["value-1", "seen"]
        await session.delete("live")
        await forget(session, source[0], "live")

    cluster.run(scenario)


def test_objects_that_need_not_be_there_may_come_and_go(
    cluster: Cluster, source: tuple[str, bool]
) -> None:
    async def scenario(session: Session) -> None:
        await make(session, source[0], "going", {"data-1": "value-1"})
        await make(session, source[0], "changing", {"data-1": "value-1"})
        volumes = [
            volume(source, name, name, optional=True) for name in ("going", "changing", "coming")
        ]
        mounts = [mount(f"/etc/{it['name']}", it["name"]) for it in volumes]
        first = {
            "name": "first",  # has ended before the objects change
            "image": IMAGE,
            "command": ["sh", "-c", "cat /etc/going/data-1; echo; ls /etc/coming"],
            "volumeMounts": mounts,
        }
        script = (
            "until [ ! -e /etc/going/data-1 ] && "
            "[ ! -e /etc/changing/data-1 ] && grep -q value-3 /etc/changing/data-3 && "
            "grep -qs value-1 /etc/coming/data-1; do sleep 0.1; done; echo seen"
        )
        spec = {"volumes": volumes, "restartPolicy": "Never", "initContainers": [first]}
        await session.create("optional", script=script, volumeMounts=mounts, spec=spec)
        await session.until("optional", lambda it: it.status.phase == "Running")
        await forget(session, source[0], "going")
        patch = {"data": {"data-1": None, "data-3": "dmFsdWUtMw=="}}
        if source[0] == MAP:
            patch = {"data": {"data-1": None, "data-3": "value-3"}}
        await session.client.patch(KINDS[source[0]].ref("default", "changing"), patch)
        await make(session, source[0], "coming", {"data-1": "value-1"})
        pod = await ended(session, "optional")
        assert cluster.log(pod, "first").splitlines() == ["value-1"]
        assert cluster.log(pod).splitlines() == ["seen"]
        await session.delete("optional")
        await forget(session, source[0], "changing", "coming")

    cluster.run(scenario)


def test_bytes_of_a_config_map_are_files_too(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        document = {
            "metadata": {"name": "bytes"},
            "data": {"data-1": "value-1"},
            "binaryData": {"dump.bin": "3q2+796tvu8="},  # de ad be ef, twice
        }
        await session.client.create(CONFIGMAP, document, namespace="default")
        said = await run(
            session,
            cluster,
            "cat /etc/files/data-1; echo; busybox hexdump -C /etc/files/dump.bin",
            volumes=[volume((MAP, False), "bytes")],
            mounts=[mount("/etc/files")],
        )
        assert said[0] == "value-1"
        assert "de ad be ef de ad be ef" in said[1]
        await forget(session, MAP, "bytes")

    cluster.run(scenario)


def test_an_object_of_the_same_name_elsewhere_is_not_mistaken_for_it(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await session.client.create(NAMESPACE, {"metadata": {"name": "elsewhere"}})
        await make(session, KEYS, "same", {"data-1": "theirs"}, "elsewhere")
        await make(session, KEYS, "same", {"data-1": "ours"})
        said = await run(
            session,
            cluster,
            "cat /etc/files/data-1",
            volumes=[volume((KEYS, False), "same")],
            mounts=[mount("/etc/files")],
        )
        assert said == ["ours"]
        await session.client.delete(NAMESPACE.ref("", "elsewhere"))
        await forget(session, KEYS, "same")

    cluster.run(scenario)


def test_everything_is_projected_into_one_volume(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await make(session, MAP, "together", {"configmap-data": "from a map"})
        await make(session, KEYS, "together", {"secret-data": "from a secret"})
        name = {"path": "podname", "fieldRef": {"fieldPath": "metadata.name"}}
        sources = [
            {"configMap": {"name": "together"}},
            {"secret": {"name": "together"}},
            {"downwardAPI": {"items": [name]}},
        ]
        said = await run(
            session,
            cluster,
            "for it in configmap-data secret-data podname; do cat /all/$it; echo; done",
            volumes=[{"name": "files", "projected": {"sources": sources}}],
            mounts=[mount("/all")],
        )
        assert said == ["from a map", "from a secret", "reader"]
        await forget(session, MAP, "together")
        await forget(session, KEYS, "together")

    cluster.run(scenario)


# Fields of the pod


def downward(items: list[dict[str, Any]], *, projected: bool, **more: Any) -> dict[str, Any]:
    if projected:
        return {
            "name": "files",
            "projected": {**more, "sources": [{"downwardAPI": {"items": items}}]},
        }
    return {"name": "files", "downwardAPI": {"items": items, **more}}


def field(path: str, name: str, **more: Any) -> dict[str, Any]:
    return {"path": path, "fieldRef": {"fieldPath": name}, **more}


def resource(path: str, name: str) -> dict[str, Any]:
    return {"path": path, "resourceFieldRef": {"containerName": "app", "resource": name}}


@pytest.fixture(params=[False, True], ids=["downwardAPI", "projected"])
def projected(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_the_name_of_the_pod_is_a_file(cluster: Cluster, projected: bool) -> None:
    async def scenario(session: Session) -> None:
        items = [field("podname", "metadata.name")]
        said = await run(
            session,
            cluster,
            f"cat /etc/podinfo/podname; echo; {STAT} /etc/podinfo/podname",
            volumes=[downward(items, projected=projected)],
            mounts=[mount("/etc/podinfo")],
        )
        assert said == ["reader", "644 0 0"]

    cluster.run(scenario)


def test_files_of_fields_have_the_mode_of_the_volume_or_their_own(
    cluster: Cluster, projected: bool
) -> None:
    async def scenario(session: Session) -> None:
        items = [field("podname", "metadata.name"), field("own", "metadata.name", mode=0o440)]
        said = await run(
            session,
            cluster,
            f"{STAT} /etc/podinfo/podname; {STAT} /etc/podinfo/own",
            volumes=[downward(items, projected=projected, defaultMode=0o400)],
            mounts=[mount("/etc/podinfo")],
        )
        assert said == ["400 0 0", "440 0 0"]

    cluster.run(scenario)


def test_requests_and_limits_of_a_container_are_files(cluster: Cluster, projected: bool) -> None:
    async def scenario(session: Session) -> None:
        names = ("limits.cpu", "limits.memory", "requests.cpu", "requests.memory")
        items = [resource(name, name) for name in names]
        script = "for it in limits requests; do for on in cpu memory; do "
        script += "cat /etc/podinfo/$it.$on; echo; done; done"
        said = await run(
            session,
            cluster,
            script,
            volumes=[downward(items, projected=projected)],
            mounts=[mount("/etc/podinfo")],
            resources={
                "limits": {"cpu": "2", "memory": "64Mi"},
                "requests": {"cpu": "1", "memory": "32Mi"},
            },
        )
        assert said == ["2", str(64 << 20), "1", str(32 << 20)]

    cluster.run(scenario)


def test_without_a_limit_a_file_says_what_the_node_has(cluster: Cluster, projected: bool) -> None:
    async def scenario(session: Session) -> None:
        (node,) = (await session.client.list(NODE)).items
        items = [resource("cpu", "limits.cpu"), resource("memory", "limits.memory")]
        said = await run(
            session,
            cluster,
            "cat /etc/podinfo/cpu; echo; cat /etc/podinfo/memory",
            volumes=[downward(items, projected=projected)],
            mounts=[mount("/etc/podinfo")],
        )
        has = node.status.allocatable
        assert said == [str(parse(has["cpu"]).value()), str(parse(has["memory"]).value())]

    cluster.run(scenario)


@pytest.mark.parametrize("what", ["labels", "annotations"])
def test_a_change_of_the_pods_marks_reaches_the_file(
    cluster: Cluster, projected: bool, what: str
) -> None:
    async def scenario(session: Session) -> None:
        items = [field("marks", f"metadata.{what}")]
        script = "cat /etc/podinfo/marks; until grep -q 'builder=\"foo\"' /etc/podinfo/marks; do "
        script += "sleep 0.1; done; echo; echo seen"
        container = {
            "name": "app",
            "image": "node-test:1",
            "command": ["sh", "-c", script],
            "volumeMounts": [mount("/etc/podinfo")],
        }
        spec = {
            "containers": [container],
            "volumes": [downward(items, projected=projected)],
            "restartPolicy": "Never",
        }
        document = {"metadata": {"name": "marked", what: {"builder": "bar"}}, "spec": spec}
        await session.client.create(POD, document, namespace="default")
        await session.until("marked", lambda it: it.status.phase == "Running")
        patch = {"metadata": {what: {"builder": "foo"}}}
        await session.client.patch(POD.ref("default", "marked"), patch)
        pod: Pod = await ended(session, "marked")
        said = cluster.log(pod)
        assert 'builder="bar"' in said
        assert said.endswith("seen\n")
        await session.delete("marked")

    cluster.run(scenario)
