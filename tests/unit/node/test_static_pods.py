"""Static pods: what a manifest must be, what its mirror must show, how the folder is followed."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace
from node_documents import UID, exited, observed, pod, running
from shim_script import API, RUNNING, Stage, begin, container, is_up, refuse

from registrar import holds
from steersman.client.interface import Client
from steersman.client.view import FollowedView
from steersman.model.errors import NotFound
from steersman.model.kinds.pod import POD, Pod
from steersman.node import agent as agents
from steersman.node import containers
from steersman.node.agent import Agent
from steersman.node.static import folder as folders
from steersman.node.static import marks
from steersman.node.static.folder import Folder
from steersman.node.static.manifests import (
    MAX_BYTES,
    BadManifest,
    Static,
    find_line,
    parse_manifest,
)
from steersman.node.static.mirrors import Create, Mirrors, Remove, plan_mirrors, render_mirror
from steersman.node.static.source import Several
from steersman.world.real import RealWorld

PATH = Path("/m/web.yaml")
SEEN = "2026-01-01T00:00:00Z"
TEXT = """apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  containers:
  - name: app
    image: busybox:1
"""


def parse(text: str, path: Path = PATH) -> Static:
    return parse_manifest(text.encode(), path, "vm", SEEN)


def refusal(text: str) -> str:
    with pytest.raises(BadManifest) as found:
        parse(text)
    return str(found.value)


def test_a_manifest_becomes_a_pod_of_this_node_with_defaults() -> None:
    static = parse(TEXT)
    assert static.key == ("default", "web-vm")
    uid = static.pod.metadata.uid
    assert static.document["metadata"]["annotations"] == {
        marks.HASH: uid,
        marks.SOURCE: "file",
        marks.SEEN: SEEN,
    }
    spec = static.document["spec"]
    assert (spec["nodeName"], spec["restartPolicy"]) == ("vm", "Always")
    assert spec["tolerations"] == [{"operator": "Exists", "effect": "NoExecute"}]
    assert static.pod.spec.containers[0].image_pull_policy == "IfNotPresent"
    assert static.document["status"]["phase"] == "Pending"


def test_the_identity_of_a_static_pod_is_that_of_its_content_file_and_node() -> None:
    same = parse(TEXT.replace("name: app\n    image: busybox:1", "image: busybox:1\n    name: app"))
    assert same.pod.metadata.uid == parse(TEXT).pod.metadata.uid
    others = [
        parse(TEXT.replace("busybox:1", "busybox:2")),
        parse(TEXT, Path("/m/other.yaml")),
        parse_manifest(TEXT.encode(), PATH, "vm2", SEEN),
    ]
    assert len({it.pod.metadata.uid for it in (same, *others)}) == 4


def test_an_identity_that_is_given_is_kept_and_must_be_one() -> None:
    given = TEXT.replace("name: web", "name: web\n  uid: my-own")
    assert parse(given).pod.metadata.uid == "my-own"
    assert refusal(given.replace("my-own", "../../etc")).startswith("/m/web.yaml:5: ")


def test_a_manifest_cannot_claim_to_be_a_mirror() -> None:
    claims = TEXT.replace("name: web", f"name: web\n  annotations: {{{marks.MIRROR}: x}}")
    assert marks.is_static(parse(claims).pod)


def test_a_manifest_cannot_claim_to_come_from_the_api() -> None:
    claims = parse(TEXT.replace("name: web", "name: web\n  resourceVersion: '7'"))
    assert marks.is_static(claims.pod)
    assert "resourceVersion" not in claims.document["metadata"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "/m/web.yaml:2: yaml: line 2: did not find expected node content"),
        ("", "/m/web.yaml:1: couldn't parse as pod: it is not of v1, kind Pod"),
        (
            TEXT.replace("Pod", "PodList"),
            "/m/web.yaml:2: couldn't parse as pod: it is not of v1, kind Pod",
        ),
        (
            TEXT.replace("busybox:1", "''"),
            "/m/web.yaml:8: invalid pod: spec.containers[0].image: Required value",
        ),
        (
            TEXT.replace("name: web", "labels: {}"),
            "/m/web.yaml:3: invalid pod: name is needed for the pod",
        ),
        (
            TEXT.replace("containers:", "containers: 3\n  x:"),
            '/m/web.yaml: couldn\'t parse as pod(Pod in version "v1" cannot be handled as a Pod: '
            "json: cannot unmarshal number into Go struct field PodSpec.spec.containers of type "
            "[]v1.Container)",
        ),
    ],
)
def test_what_is_wrong_with_a_manifest_is_told_with_its_line(text: str, said: str) -> None:
    assert refusal(text) == said


VARIABLE = "    env:\n    - name: A\n      valueFrom: {%s: {name: x, key: k}}\n"


@pytest.mark.parametrize(
    ("more", "line", "what"),
    [
        ("  serviceAccountName: x\n", 9, "serviceaccounts"),
        ("  imagePullSecrets: [{name: x}]\n", 9, "secrets"),
        (VARIABLE % "secretKeyRef", 11, "secrets"),
        (VARIABLE % "configMapKeyRef", 11, "configmaps"),
        ("    envFrom: [{configMapRef: {name: x}}]\n", 9, "configmaps"),
        ("  resourceClaims: [{name: x, resourceClaimName: z}]\n", 9, "resourceclaims"),
        (
            "  volumes:\n  - name: a\n    configMap: {name: x}\n",
            11,
            "configmaps (via configmap volumes)",
        ),
        (
            "  volumes:\n  - name: a\n    projected:\n      sources:\n      - secret: {name: x}\n",
            13,
            "secrets (via projected volumes)",
        ),
        (
            "  volumes:\n  - name: a\n    persistentVolumeClaim: {claimName: x}\n",
            11,
            "persistentvolumeclaims",
        ),
    ],
)
def test_a_static_pod_names_no_object_of_the_api(more: str, line: int, what: str) -> None:
    assert refusal(TEXT + more) == f"/m/web.yaml:{line}: static pods may not reference {what}"


def test_a_static_pod_may_have_volumes_of_the_machine() -> None:
    volumes = "  volumes:\n  - {name: a, hostPath: {path: /x}}\n  - {name: b, emptyDir: {}}\n"
    assert [it.name for it in parse(TEXT + volumes).pod.spec.volumes] == ["a", "b"]


def test_a_file_that_is_too_long_is_not_read() -> None:
    assert refusal("#" * (MAX_BYTES + 1)).endswith(f"the file has more than {MAX_BYTES} bytes")


def test_the_line_of_a_field_that_is_not_there_is_that_of_what_holds_it() -> None:
    assert find_line(TEXT.encode(), "spec.containers[0].ports[1].name") == 7
    assert find_line(TEXT.encode(), "spec.containers[3]") == 6
    assert find_line(TEXT.encode() + b"---\nother: 1\n", "metadata.name") == 4
    assert find_line(b"- 1\n", "spec") == 1


def mirror(static: Static, **metadata: Any) -> Pod:
    document = render_mirror(static, "vm", "n1")
    return pod(metadata={**document["metadata"], "uid": "m1", **metadata})


def test_a_mirror_shows_the_pod_and_belongs_to_the_node() -> None:
    static = parse(TEXT)
    document = render_mirror(static, "vm", "n1")
    metadata = document["metadata"]
    assert metadata["annotations"][marks.MIRROR] == static.pod.metadata.uid
    assert metadata["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Node", "name": "vm", "uid": "n1", "controller": True}
    ]
    assert "uid" not in metadata
    assert marks.MIRROR not in static.document["metadata"]["annotations"]


def test_what_is_not_mirrored_is_and_what_is_mirrored_wrongly_is_removed() -> None:
    static, other = parse(TEXT), parse(TEXT.replace("busybox:1", "busybox:2"))
    remove = Remove(static.key, "m1")
    assert list(plan_mirrors([static], [], ())) == [Create(static)]
    assert list(plan_mirrors([static], [mirror(static)], ())) == []
    assert list(plan_mirrors([static], [mirror(other)], ())) == [remove]
    dying = mirror(static, deletionTimestamp=SEEN)
    assert list(plan_mirrors([static], [dying], ())) == [remove]
    assert list(plan_mirrors([], [mirror(static)], ())) == [remove]


def test_while_a_static_pod_ends_its_mirror_stays() -> None:
    static = parse(TEXT)
    assert list(plan_mirrors([], [mirror(static)], {static.key})) == []
    assert list(plan_mirrors([static], [], {static.key})) == []


def test_pods_of_others_are_left_alone_and_their_names_too() -> None:
    static = parse(TEXT)
    stranger = pod(metadata={"name": "web-vm"})
    assert list(plan_mirrors([static], [stranger], ())) == []


def test_a_static_pod_whose_file_is_gone_has_its_grace() -> None:
    static = parse(TEXT + "  terminationGracePeriodSeconds: 7\n").pod
    assert containers.grace_seconds(static, True) == 7
    assert containers.grace_seconds(pod(), True) == containers.GONE_GRACE_SECONDS


class Registered:
    """A node that is there."""

    uid = "n1"

    def __init__(self) -> None:
        self.registered = asyncio.Event()
        self.registered.set()


class Quiet:
    """An agent that has found nothing, of which nothing ends."""

    def ending_statics(self) -> set[tuple[str, str]]:
        """Returns none."""
        return set()

    complete = True


def test_before_the_folder_has_been_read_no_mirror_is_removed(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(TEXT)
    shown = mirror(parse(TEXT, tmp_path / "web.yaml"))
    orphan = mirror(parse(TEXT.replace("name: web", "name: gone")), uid="m2")

    async def scenario() -> None:
        api, world = API(shown, orphan), RealWorld()
        pods = FollowedView(api, POD, world)
        folder = Folder(tmp_path, "vm", world, lambda _: None)
        client = cast(Client, api)
        mirrors = Mirrors(client, world, "vm", Registered(), folder, pods, Quiet())
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            started = [tasks.create_task(pods.follow())]
            await pods.synced()
            # Whoever does not wait for the folder looks before it can be read
            started += [tasks.create_task(it.run()) for it in (mirrors, folder)]
            assert (await api.deleted.get())["uid"] == "m2"
            for task in started:
                task.cancel()
        assert api.deleted.empty()

    asyncio.run(scenario())


def test_a_source_that_cannot_be_read_keeps_no_pod_of_another_from_its_mirror(
    tmp_path: Path,
) -> None:
    (tmp_path / "web.yaml").write_text(TEXT)
    orphan = mirror(parse(TEXT.replace("name: web", "name: gone")), uid="m2")

    async def scenario() -> None:
        api, world = API(orphan), RealWorld()
        made: asyncio.Queue[str] = asyncio.Queue()

        async def create(_kind: Any, document: Any, **_how: Any) -> Pod:
            made.put_nowait(document["metadata"]["name"])
            return pod(metadata={"resourceVersion": "1"})

        api.create = create  # type: ignore[attr-defined]
        pods = FollowedView(api, POD, world)
        folder = Folder(tmp_path, "vm", world, lambda _: None)
        late = Folder(tmp_path / "late", "vm", world, lambda _: None)
        both = Several([folder, late])
        mirrors = Mirrors(cast(Client, api), world, "vm", Registered(), both, pods, Quiet())
        async with asyncio.timeout(20), world.tasks() as tasks:
            for one in (pods.follow(), mirrors.run(), folder.run()):
                tasks.start(one, name="part")
            assert await made.get() == "web-vm"
            assert api.deleted.empty(), "what shows nothing now may be in the other source"
            tasks.start(late.run(), name="late")
            await late.synced()
            mirrors.wake()
            assert (await api.deleted.get())["uid"] == "m2"
            tasks.stop()

    asyncio.run(scenario())


def test_a_static_pod_that_the_api_refuses_keeps_no_other_from_its_mirror(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TEXT.replace("name: web", "name: web\n  namespace: none"))
    (tmp_path / "b.yaml").write_text(TEXT)
    orphan = mirror(parse(TEXT.replace("name: web", "name: gone")), uid="m2")

    async def scenario() -> None:
        api, world = API(orphan), RealWorld()
        made: asyncio.Queue[str] = asyncio.Queue()

        async def create(_kind: Any, document: Any, **how: Any) -> Pod:
            if how["namespace"] == "none":
                raise NotFound('namespaces "none" not found')
            made.put_nowait(document["metadata"]["name"])
            return pod(metadata={"resourceVersion": "1"})

        api.create = create  # type: ignore[attr-defined]
        pods = FollowedView(api, POD, world)
        folder = Folder(tmp_path, "vm", world, lambda _: None)
        mirrors = Mirrors(cast(Client, api), world, "vm", Registered(), folder, pods, Quiet())
        async with asyncio.timeout(20), world.tasks() as tasks:
            for one in (pods.follow(), mirrors.run(), folder.run()):
                tasks.start(one, name="part")
            assert await made.get() == "web-vm"
            assert (await api.deleted.get())["uid"] == "m2"
            tasks.stop()

    asyncio.run(scenario())


# The folder


class Follower:
    """A folder that is followed."""

    def __init__(self, directory: Path) -> None:
        self.told: list[str] = []
        self.changed = asyncio.Event()
        self.folder = Folder(directory, "vm", RealWorld(), self._tell)
        self.folder.listen(self.changed.set)

    def _tell(self, text: str) -> None:
        self.told.append(text)
        self.changed.set()

    async def until(self, holds: Callable[[Mapping[str, Static]], object]) -> None:
        """Waits until something holds of the pods."""
        while not holds(self.folder.pods):
            self.changed.clear()
            await self.changed.wait()


def follow(directory: Path, scenario: Callable[[Follower], Coroutine[Any, Any, None]]) -> None:
    async def whole() -> None:
        follower = Follower(directory)
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            following = tasks.create_task(follower.folder.run())
            await follower.folder.tried()
            await scenario(follower)
            following.cancel()

    asyncio.run(whole())


def names(pods: Mapping[str, Static]) -> list[str]:
    return sorted(it.pod.metadata.name for it in pods.values())


def test_files_that_come_change_and_go_are_heard_of(tmp_path: Path) -> None:
    async def scenario(follower: Follower) -> None:
        assert follower.folder.pods == {}
        place = tmp_path / "manifests" / "web.yaml"
        place.write_text(TEXT)
        await follower.until(lambda it: names(it) == ["web-vm"])
        (first,) = follower.folder.pods
        place.write_text(TEXT.replace("busybox:1", "busybox:2"))
        await follower.until(lambda it: it and first not in it)
        other = place.with_name("other.yaml")
        os.link(tmp_path / "manifests" / "web.yaml", tmp_path / "aside")
        other.write_text(TEXT.replace("name: web", "name: other"))
        await follower.until(lambda it: names(it) == ["other-vm", "web-vm"])
        place.unlink()
        await follower.until(lambda it: names(it) == ["other-vm"])
        os.link(tmp_path / "aside", place)
        await follower.until(lambda it: names(it) == ["other-vm", "web-vm"])
        assert follower.told == []

    follow(tmp_path / "manifests", scenario)


def test_a_file_that_is_broken_is_told_once_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(TEXT)
    (tmp_path / "twin.yaml").write_text(TEXT)
    (tmp_path / ".hidden").write_text("[")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").touch()
    os.truncate(tmp_path / "endless", 1 << 42)

    async def scenario(follower: Follower) -> None:
        assert names(follower.folder.pods) == ["web-vm"]
        assert follower.told == [
            f"{tmp_path}/endless: the file has more than {MAX_BYTES} bytes",
            f"{tmp_path}/folder: Is a directory",
            f"{tmp_path}/pipe: it is no file",
            f"{tmp_path}/web.yaml: the pod of {tmp_path}/twin.yaml has the same name",
        ]
        (tmp_path / "zero.yaml").write_text("[")
        await follower.until(lambda _: len(follower.told) == 5)
        assert follower.told[4].startswith(f"{tmp_path}/zero.yaml:")

    follow(tmp_path, scenario)


def test_what_is_seen_again_keeps_the_time_at_which_it_was_first_seen(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(TEXT)

    async def scenario(follower: Follower) -> None:
        (first,) = follower.folder.pods.values()
        (tmp_path / "other.yaml").write_text(TEXT.replace("name: web", "name: other"))
        await follower.until(lambda it: len(it) == 2)
        assert follower.folder.pods[first.pod.metadata.uid] is first

    follow(tmp_path, scenario)


def test_a_folder_that_is_taken_away_is_made_anew(tmp_path: Path) -> None:
    place = tmp_path / "manifests"

    async def scenario(follower: Follower) -> None:
        (place / "web.yaml").write_text(TEXT)
        await follower.until(lambda it: it)
        place.rename(tmp_path / "away")
        await follower.until(lambda it: not it)
        (place / "web.yaml").write_text(TEXT)
        await follower.until(lambda it: it)

    follow(place, scenario)


def test_a_path_that_can_be_no_folder_is_told_and_holds_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "RETRY_SECONDS", 0.01)
    place = tmp_path / "manifests"
    place.write_text("")

    async def scenario(follower: Follower) -> None:
        assert follower.told == [f"{place}: File exists"]
        place.unlink()
        place.mkdir()
        (place / "web.yaml").write_text(TEXT)
        await follower.until(lambda it: it)
        assert len(follower.told) == 1

    follow(place, scenario)


def fail(monkeypatch: pytest.MonkeyPatch, name: str, path: Path, number: int) -> Callable[[], None]:
    """Has a call of the system fail for a path, until what is returned is called."""
    real, failing = getattr(os, name), [True]

    def call(asked: Any, *rest: Any, **named: Any) -> Any:
        if failing and Path(asked) == path:
            raise OSError(number, os.strerror(number), str(asked))
        return real(asked, *rest, **named)

    monkeypatch.setattr(os, name, call)
    return failing.clear


@pytest.mark.parametrize(
    ("call", "place", "said"),
    [
        ("listdir", "", ": Too many open files"),
        ("open", "web.yaml", "/web.yaml: Too many open files"),
    ],
)
def test_what_cannot_be_read_for_a_while_ends_no_pod(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, place: str, said: str
) -> None:
    monkeypatch.setattr(folders, "RETRY_SECONDS", 0.05)
    (tmp_path / "web.yaml").write_text(TEXT)

    async def scenario(follower: Follower) -> None:
        before = follower.folder.pods.keys()
        end = fail(monkeypatch, call, tmp_path / place, errno.EMFILE)
        (tmp_path / "other.yaml").write_text(TEXT.replace("name: web", "name: other"))
        await follower.until(lambda _: follower.told)
        assert follower.told == [f"{tmp_path}{said}"]
        assert before <= follower.folder.pods.keys()
        (tmp_path / "third.yaml").write_text(TEXT.replace("name: web", "name: third"))
        end()  # nobody says so: it is tried again
        await follower.until(lambda it: names(it) == ["other-vm", "third-vm", "web-vm"])
        (tmp_path / "web.yaml").unlink()
        await follower.until(lambda it: names(it) == ["other-vm", "third-vm"])

    follow(tmp_path, scenario)


# The agent


@contextlib.asynccontextmanager
async def agent_of(stage: Stage, manifests: Path) -> AsyncIterator[Agent]:
    """An agent with a folder, and what makes mirrors; what is told of files is forgotten."""
    async with stage.open() as (tools, tasks):
        pods = FollowedView(stage.api, POD, tools.world)
        folder = Folder(manifests, "vm", tools.world, lambda _: None)
        agent = Agent(tools, pods, tasks, folder)
        client = cast(Client, stage.api)
        mirrors = Mirrors(client, tools.world, "vm", Registered(), folder, pods, agent)
        agent.on_over(mirrors.wake)
        for one in (folder.run(), pods.follow(), agent.run(), mirrors.run()):
            tasks.start(one, name="part of the agent")
        yield agent


def test_a_folder_that_cannot_be_read_at_first_has_nothing_removed_that_may_be_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "RETRY_SECONDS", 0.05)
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    given = TEXT.replace("name: web", f"name: web\n  uid: {UID}")
    (manifests / "web.yaml").write_text(given)
    static = parse(given, manifests / "web.yaml")
    stage = Stage(tmp_path, mirror(static))
    begun = replace(observed(ready=True, containers={"app": running()}), name="web-vm")
    stage.left(begun)
    stage.tells(container("app.0", **RUNNING))
    end = fail(monkeypatch, "listdir", manifests, errno.EIO)

    async def scenario() -> None:
        async with agent_of(stage, manifests) as agent:
            await agent._pods.synced()
            await agent._routing.wait()
            assert not agent.complete
            assert not agent.workers
            end()
            await agent._complete.wait()
            assert agent.workers[UID].seen.of("app").running, "it was taken over as it was"
            await stage.api.until(is_up)
            assert stage.network.deleted.empty()
            assert stage.api.deleted.empty()

    asyncio.run(scenario())


def test_static_pods_that_were_begun_before_the_api_was_heard_go_on(tmp_path: Path) -> None:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    given = TEXT.replace("name: web", f"name: web\n  uid: {UID}")
    (manifests / "web.yaml").write_text(given)
    stage = Stage(tmp_path, mirror(parse(given, manifests / "web.yaml")))
    stage.left(replace(observed(ready=True, containers={"app": running()}), name="web-vm"))
    stage.tells(container("app.0", **RUNNING))

    async def scenario() -> None:
        async with agent_of(stage, manifests) as agent:
            await agent._complete.wait()
            assert not agent.workers[UID].seen.gone
            assert agent.workers[UID].seen.of("app").running

    asyncio.run(scenario())


def test_an_end_while_pods_of_the_api_are_taken_over_waits_for_their_workers(
    tmp_path: Path,
) -> None:
    """Static pods have been taken over by then, and their ends are heard of already."""
    stage = Stage(tmp_path)
    stage.left(observed(ready=True, containers={"app": running()}))
    stage.tells(container("app.0", **RUNNING), container("stray.0", **RUNNING))
    stage.shim.verbs["delete"] = lambda _: {}  # answered below

    async def scenario() -> None:
        async with agent_of(stage, tmp_path / "none") as agent:
            await stage.shim.until("delete", "stray.0")
            end = {"code": 4, "signal": 0, "oom_killed": False, "started_at": 50}
            exit = {**end, "finished_at": 51}
            stage.shim.tell({"kind": "exit", "container": "app.0", "exit": exit})
            tell = agent._tools.engine.pods
            await tell()  # what was said before this answer has been heard
            stage.shim.answer("delete", {"result": {}})
            status = await stage.api.until(lambda told: told["phase"] == "Failed")
            state = status["containerStatuses"][0]["state"]["terminated"]
            assert state["exitCode"] == 4

    asyncio.run(scenario())


def test_a_source_that_is_late_has_its_pods_taken_over_and_holds_up_no_others(
    tmp_path: Path,
) -> None:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    (manifests / "other.yaml").write_text(TEXT.replace("name: web", "name: other"))
    given = TEXT.replace("name: web", f"name: web\n  uid: {UID}")
    late = Folder(tmp_path / "late", "vm", RealWorld(), lambda _: None)
    late._tried.set()  # it could not be read
    stage = Stage(tmp_path, mirror(parse(given, tmp_path / "late" / "web.yaml")))
    stage.left(replace(observed(ready=True, containers={"app": running()}), name="web-vm"))
    stage.tells(container("app.0", **RUNNING))

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            pods = FollowedView(stage.api, POD, tools.world)
            folder = Folder(manifests, "vm", tools.world, lambda _: None)
            agent = Agent(tools, pods, tasks, Several([folder, late]))
            for one in (folder.run(), pods.follow(), agent.run()):
                tasks.start(one, name="part of the agent")
            await stage.warm.until("sandbox")
            (other,) = agent.workers.values()
            assert other.seen.name == "other-vm"
            late.pods = {UID: parse(given, tmp_path / "late" / "web.yaml")}
            late._read.set()
            for hear in late._listeners:
                hear()
            await agent._complete.wait()
            assert agent.workers[UID].seen.of("app").running, "it was taken over as it was"
            await stage.api.until(is_up)

    asyncio.run(scenario())


def test_a_static_pod_that_was_given_up_begins_again_where_its_ground_is_gone(
    tmp_path: Path,
) -> None:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    given = TEXT.replace("name: web", "name: web\n  uid: own")
    (manifests / "web.yaml").write_text(given)
    told = {"phase": "Failed", "reason": "Terminated"}
    shown = mirror(parse(given, manifests / "web.yaml"))
    stage = Stage(tmp_path, replace(shown, status=replace(shown.status, phase=told["phase"])))
    stage.tells()  # of a pod that is nobody's
    left = observed(containers={"app": exited(0)}, ended=("Terminated", "x"), grace=3.0)
    stage.left(replace(left, name="web-vm", uid="own"))

    async def scenario() -> None:
        async with agent_of(stage, manifests) as agent:
            await agent._complete.wait()
            seen = agent.workers["own"].seen
            assert (seen.ended, seen.grace) == (None, None)
            assert agent.workers["own"].pod.status.phase == "Pending"
            await stage.warm.until("sandbox")

    asyncio.run(scenario())


def test_what_no_record_knows_of_a_static_pod_goes_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "CLEAR_RETRY_SECONDS", 0.01)
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    given = TEXT.replace("name: web", "name: web\n  uid: own")
    (manifests / "web.yaml").write_text(given)
    stage = Stage(tmp_path, mirror(parse(given, manifests / "web.yaml")))
    stage.tells()  # of a pod that is nobody's
    (stage.paths.runtime / "pods" / "own").mkdir(parents=True)
    stage.warm.verbs["sandbox"] = lambda _: refuse("failed", "no more of it is needed")
    stage.warm.verbs["clean"] = lambda _: refuse("failed", "Device or resource busy")

    async def scenario() -> None:
        async with agent_of(stage, manifests) as agent:
            await agent._complete.wait()
            agent._hear_statics()
            assert not agent.workers
            # nor is it removed twice at once: the second would take what has begun by then
            again: list[Pod] = []

            async def note(pod: Pod) -> None:
                again.append(pod)

            monkeypatch.setattr(agent, "_begin_late", note)
            assert agent._statics is not None
            await agent._begin_statics(agent._statics)
            await asyncio.sleep(0)
            assert again == []
            stage.warm.verbs["clean"] = lambda _: {"result": {}}
            await holds(lambda: "own" in agent.workers)

    asyncio.run(scenario())


def test_a_mirror_stays_until_nothing_is_left_of_a_pod_whose_file_went_unseen(
    tmp_path: Path,
) -> None:
    static = parse(TEXT)
    stage = Stage(tmp_path)
    stage.api.pods.append(mirror(static))
    stage.left(observed(ready=True, containers={"app": running()}))
    stage.tells(container("app.0", **RUNNING))
    (stage.paths.runtime / "pods" / "gone").mkdir(parents=True)
    stage.left(replace(observed(ready=True), name="web-vm", uid="gone"))
    order: list[str] = []
    delete, disconnect = stage.api.delete, stage.network.delete

    async def note_delete(ref: Any, **how: Any) -> Any:
        order.append("mirror")
        return await delete(ref, **how)

    async def note_disconnect(uid: str) -> None:
        await asyncio.sleep(0.05)  # whoever does not wait for it is faster
        order.append("pod")
        await disconnect(uid)

    stage.api.delete = note_delete  # type: ignore[method-assign]
    stage.network.delete = note_disconnect  # type: ignore[method-assign]

    async def scenario() -> None:
        async with agent_of(stage, tmp_path / "manifests"):
            assert (await stage.api.deleted.get())["uid"] == "m1"
            assert order == ["pod", "mirror"]

    asyncio.run(scenario())


# The worker


def test_the_status_of_a_static_pod_goes_to_its_mirror_and_to_no_other(tmp_path: Path) -> None:
    static = pod(metadata={"annotations": {marks.SOURCE: "file", marks.HASH: UID}})
    stage = Stage(tmp_path, static)
    stage.tells(container("app.0", **RUNNING))
    asked: list[str] = []
    patch = stage.api.patch

    async def note(ref: Any, document: Any, **how: Any) -> Pod:
        asked.append(how["uid"])
        return await patch(ref, document, **how)

    stage.api.patch = note  # type: ignore[method-assign]

    def shown(uid: str) -> Pod:
        noted = {marks.SOURCE: "file", marks.HASH: UID, marks.MIRROR: UID}
        return pod(metadata={"uid": uid, "generation": 4, "annotations": noted})

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            seen = observed(ready=True, containers={"app": running()})
            worker = await begin(stage, tools, tasks, seen)
            stage.api.pods = [shown("m1")]
            worker.mirror(shown("m1"))
            status = await stage.api.until(is_up)
            assert status["observedGeneration"] == 4
            worker.mirror(None)
            stage.api.pods = [shown("m2")]
            worker.mirror(shown("m2"))  # the new one is told the same
            await stage.api.until(is_up)
            assert asked == ["m1", "m2"]
            assert worker.pod.metadata.uid == UID

    asyncio.run(scenario())


def test_a_pod_of_the_api_is_never_static_whatever_its_annotations_say(tmp_path: Path) -> None:
    claims = {"annotations": {marks.SOURCE: "file"}, "resourceVersion": "7"}
    stage = Stage(tmp_path, pod(metadata=claims))
    stage.left(observed(ready=True, containers={"app": running()}))
    stage.tells(container("app.0", **RUNNING))

    async def scenario() -> None:
        async with stage.open() as (tools, tasks):
            pods = FollowedView(stage.api, POD, tools.world)
            folder = Folder(tmp_path / "manifests", "vm", tools.world, lambda _: None)
            agent = Agent(tools, pods, tasks, folder)
            tasks.start(folder.run(), name="folder")
            tasks.start(pods.follow(), name="pods")
            tasks.start(agent.run(), name="agent")
            await stage.api.until(is_up)  # its own status, not that of a mirror
            agent._hear_statics()
            assert not agent.workers[UID].seen.gone, "it needs no file"

    asyncio.run(scenario())
