"""Directories that live as long as their pod, and parts of volumes, as upstream's conformance
suite asks for them: modes, media, owners, and what is mounted where."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from node_cluster import Cluster, Session, ended, needs_root
from test_node_volume_files import DATA, KEYS, MAP, NOBODY, STAT, forget, make, mount, run, volume

from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import POD
from steersman.runtime.kernel import syscalls

pytestmark = needs_root

RACING_PODS, RACING_MAPS = 5, 50  # as upstream's test has them


def room(medium: str = "", name: str = "files") -> dict[str, Any]:
    return {"name": name, "emptyDir": {"medium": medium} if medium else {}}


@pytest.fixture(params=["", "Memory"], ids=["default", "tmpfs"])
def medium(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("user", [{}, NOBODY], ids=["root", "non-root"])
@pytest.mark.parametrize("mode", ["644", "666", "777"])
def test_files_of_any_mode_can_be_made_in_an_empty_directory(
    cluster: Cluster, medium: str, mode: str, user: dict[str, int]
) -> None:
    async def scenario(session: Session) -> None:
        script = (
            f"echo content > /tmp-volume/text; busybox chmod {mode} /tmp-volume/text; "
            f"cat /tmp-volume/text; {STAT} /tmp-volume/text; "
            "grep -c '/tmp-volume tmpfs' /proc/mounts"
        )
        said = await run(
            session,
            cluster,
            f"{script}; true",
            volumes=[room(medium)],
            mounts=[mount("/tmp-volume")],
            spec={"securityContext": user},
        )
        owner = user.get("runAsUser", 0)
        assert said[0] == "content"
        assert said[1].rsplit(" ", 1)[0] == f"{mode} {owner}"
        assert said[2] == ("1" if medium else "0")

    cluster.run(scenario)


def test_an_empty_directory_is_open_to_all(cluster: Cluster, medium: str) -> None:
    async def scenario(session: Session) -> None:
        said = await run(
            session,
            cluster,
            f"{STAT} /tmp-volume; ls -A /tmp-volume",
            volumes=[room(medium)],
            mounts=[mount("/tmp-volume")],
        )
        assert said == ["777 0 0"]

    cluster.run(scenario)


def test_a_part_of_an_empty_directory_is_open_to_all_that_it_is_open_to(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        lines = await run(
            session,
            cluster,
            f"{STAT} /files; echo mine >/files/x && cat /files/x",
            volumes=[{"name": "files", "emptyDir": {}}],
            mounts=[mount("/files", subPath="deep/below")],
            securityContext=NOBODY,
        )
        assert lines == ["777 0 0", "mine"]

    cluster.run(scenario)


def test_containers_of_a_pod_share_a_directory(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        other = {
            "name": "writer",
            "image": "node-test:1",
            "command": ["sh", "-c", "echo hello > /other/file"],
            "volumeMounts": [mount("/other")],
        }
        spec = {"volumes": [room()], "restartPolicy": "Never"}
        container = {
            "name": "app",
            "image": "node-test:1",
            "command": ["sh", "-c", "until cat /mine/file; do sleep 0.1; done 2>/dev/null"],
            "volumeMounts": [mount("/mine")],
        }
        document = {
            "metadata": {"name": "sharing"},
            "spec": {**spec, "containers": [container, other]},
        }
        await session.client.create(POD, document, namespace="default")
        pod = await session.until("sharing", lambda it: it.status.phase == "Succeeded")
        assert cluster.log(pod) == "hello\n"
        await session.delete("sharing")

    cluster.run(scenario)


def test_a_secret_and_a_config_map_stand_in_each_others_way_nowhere(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await make(session, MAP, "wrapped", {"map-data": "of a map"})
        await make(session, KEYS, "wrapped", {"secret-data": "of a secret"})
        said = await run(
            session,
            cluster,
            "cat /map/map-data; echo; cat /secret/secret-data; echo; ls /map /secret",
            volumes=[
                volume((MAP, False), "wrapped", "map"),
                volume((KEYS, False), "wrapped", "secret"),
            ],
            mounts=[mount("/map", "map"), mount("/secret", "secret")],
        )
        assert said[:2] == ["of a map", "of a secret"]
        assert {"map-data", "secret-data"} <= set(said)
        await forget(session, MAP, "wrapped")
        await forget(session, KEYS, "wrapped")

    cluster.run(scenario)


def test_many_config_maps_in_many_pods_at_once_are_all_mounted(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        names = [f"racing-{number}" for number in range(RACING_MAPS)]
        for name in names:
            await make(session, MAP, name, {"data-1": name})
        volumes = [volume((MAP, False), name, name) for name in names]
        mounts = [mount(f"/maps/{name}", name) for name in names]
        script = "for it in /maps/racing-*; do cat $it/data-1; echo; done"
        pods = [f"racer-{number}" for number in range(RACING_PODS)]
        for pod in pods:
            spec = {"volumes": volumes, "restartPolicy": "Never"}
            await session.create(pod, script=script, volumeMounts=mounts, spec=spec)
        for pod in pods:
            found = await session.until(pod, lambda it: it.status.phase == "Succeeded")
            assert sorted(cluster.log(found).splitlines()) == sorted(names)
            await session.delete(pod)
        await forget(session, MAP, *names)

    cluster.run(scenario)


# Parts of volumes


@pytest.mark.parametrize("kind", [MAP, KEYS])
def test_a_part_of_an_objects_volume_is_mounted(cluster: Cluster, kind: str) -> None:
    async def scenario(session: Session) -> None:
        await make(session, kind, "part", DATA)
        items = [{"key": "data-1", "path": "sub/file"}]
        said = await run(
            session,
            cluster,
            "cat /part/file; echo; ls /part",
            volumes=[volume((kind, False), "part", items=items)],
            mounts=[mount("/part", subPath="sub")],
        )
        assert said == ["value-1", "file"]
        await forget(session, kind, "part")

    cluster.run(scenario)


def test_a_file_of_a_volume_takes_the_place_of_one_of_the_image(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        await make(session, MAP, "over", {"passwd": "nobody here"})
        said = await run(
            session,
            cluster,
            "cat /etc/passwd; echo; test -e /bin/sh && echo rest",
            volumes=[volume((MAP, False), "over")],
            mounts=[mount("/etc/passwd", subPath="passwd")],
        )
        assert said == ["nobody here", "rest"]
        await forget(session, MAP, "over")

    cluster.run(scenario)


@pytest.mark.parametrize("projected", [False, True], ids=["downwardAPI", "projected"])
def test_a_part_of_a_volume_of_fields_is_mounted(cluster: Cluster, projected: bool) -> None:
    async def scenario(session: Session) -> None:
        items = [{"path": "sub/name", "fieldRef": {"fieldPath": "metadata.name"}}]
        source: dict[str, Any] = {"downwardAPI": {"items": items}}
        if projected:
            source = {"projected": {"sources": [source]}}
        said = await run(
            session,
            cluster,
            "cat /part/name; echo; ls /part",
            volumes=[{"name": "files", **source}],
            mounts=[mount("/part", subPath="sub")],
        )
        assert said == ["reader", "name"]

    cluster.run(scenario)


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """A directory with a file system of its own below it."""
    inner = tmp_path / "inner"
    inner.mkdir()
    syscalls.mount("tmpfs", str(inner), "tmpfs", 0, "size=1m")
    try:
        yield tmp_path
    finally:
        syscalls.umount(str(inner))


def test_what_is_mounted_inside_of_a_volume_is_only_read_too_where_it_is_to_be(
    cluster: Cluster, tree: Path
) -> None:
    """KEP-3857."""
    modes = {"/plain": None, "/disabled": "Disabled", "/may": "IfPossible", "/must": "Enabled"}
    mounts = [
        {"name": "tree", "mountPath": path, "readOnly": True}
        | ({"recursiveReadOnly": mode} if mode else {})
        for path, mode in modes.items()
    ]
    script = "; ".join(
        f"for at in {path} {path}/inner; do touch $at/x 2>/dev/null && echo $at; done"
        for path in modes
    )

    async def scenario(session: Session) -> None:
        volume = {"name": "tree", "hostPath": {"path": str(tree)}}
        spec = {"volumes": [volume], "restartPolicy": "Never"}
        await session.create("nested", script=f"{script}; true", volumeMounts=mounts, spec=spec)
        pod = await session.until("nested", ended)
        assert cluster.log(pod).splitlines() == ["/plain/inner", "/disabled/inner"]
        path = "/api/v1/namespaces/default/pods/nested"
        (status,) = (await session.client.read(path))["status"]["containerStatuses"]
        told = {it["mountPath"]: it.get("recursiveReadOnly") for it in status["volumeMounts"]}
        assert told == {
            "/plain": "Disabled",
            "/disabled": "Disabled",
            "/may": "Enabled",
            "/must": "Enabled",
            "/var/run/secrets/kubernetes.io/serviceaccount": "Disabled",
        }
        name = pod.spec.node_name
        node = await session.client.read(f"/api/v1/{NODE.plural}/{name}")
        handler = node["status"]["runtimeHandlers"][0]
        assert handler["features"]["recursiveReadOnlyMounts"] is True
        await session.delete("nested")

    cluster.run(scenario)
