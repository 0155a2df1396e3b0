"""Which logins a pod has for an image, and for whom an image that is here may run."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path
from typing import Any, cast

import pytest
from node_documents import pod

from steersman.images.credentials import BadCredentials, Login
from steersman.images.errors import ImageError, Unauthorized
from steersman.images.pull import NotPresent
from steersman.images.references import parse
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.secret import Secret
from steersman.model.view import Meta
from steersman.node.acting import pulling
from steersman.node.acting.pulling import Failed, Pulled
from steersman.node.credentials.access import Access, Offer, Source, access_to, read_node
from steersman.node.credentials.providers import Providers
from steersman.node.credentials.records import MOST_SOURCES, PullRecords, key_of
from steersman.node.objects import names_of
from steersman.node.paths import Paths
from steersman.world.interface import World
from steersman.world.real import RealWorld

ANN, BOB = Login("ann", "hush"), Login("bob", "two")
KEY = "r.test/x@sha256:1"


def auths(**logins: Login) -> bytes:
    coded = {k: base64.b64encode(f"{v.username}:{v.password}".encode()) for k, v in logins.items()}
    return json.dumps({k: {"auth": v.decode()} for k, v in coded.items()}).encode()


def secret(name: str, kind: str, data: dict[str, bytes]) -> Secret:
    meta = Meta(name=name, namespace="default", uid=f"uid-{name}")
    return Secret(metadata=meta, type=f"kubernetes.io/{kind}", data=data)


def test_secrets_go_before_the_nodes_own_logins(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    assert read_node(path) == []
    path.write_bytes(b'{"auths":' + auths(**{"r.test": BOB}) + b"}")
    entries = auths(**{"r.test": ANN})
    new = secret("new", "dockerconfigjson", {".dockerconfigjson": b'{"auths":' + entries + b"}"})
    old = secret("old", "dockercfg", {".dockercfg": entries})
    other = secret("other", "opaque", {".dockercfg": entries})
    found = access_to(parse("r.test/x:1"), [new, old, other], read_node(path))
    assert found.offers == (
        Offer(ANN, Source("default", "new", "uid-new")),
        Offer(ANN, Source("default", "old", "uid-old")),
        Offer(BOB, Source()),
    )
    assert access_to(parse("other.test/x"), [new], read_node(path)).offers == ()


def test_a_broken_secret_is_named_and_nothing_of_it_is_told() -> None:
    broken = secret("bad", "dockercfg", {".dockercfg": b'{"a":{"auth":"hush"}}'})
    with pytest.raises(BadCredentials) as refused:
        access_to(parse("r.test/x"), [broken], ())
    assert str(refused.value).startswith("secret default/bad: ")
    assert "hush" not in str(refused.value)


def test_pull_secrets_are_followed_like_what_else_a_pod_names() -> None:
    assert names_of(pod(spec={"imagePullSecrets": [{"name": "a"}]})) == {("secret", "a")}
    debug = {"name": "d", "image": "i", "envFrom": [{"configMapRef": {"name": "m"}}]}
    assert names_of(pod(spec={"ephemeralContainers": [debug]})) == {("configmap", "m")}


def note(records: PullRecords, key: str, login: Login | None, source: Source) -> None:
    asyncio.run(records.note(key, login, source))


def forget(records: PullRecords, digests: frozenset[str]) -> None:
    asyncio.run(records.forget(digests))


class Draws:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> str:
        self.count += 1
        return f"drawn-{self.count}"


def offering(login: Login, uid: str) -> Access:
    return Access((Offer(login, Source("default", "s", uid)),))


def test_an_image_is_for_who_shows_the_secret_or_the_login_that_it_came_with(
    tmp_path: Path,
) -> None:
    path = tmp_path / "pulls.json"
    records = PullRecords(path, Draws())
    assert records.may_have(KEY, Access())  # loaded by hand
    note(records, KEY, ANN, Source("default", "s", "one"))
    for known in (records, PullRecords(path, Draws())):  # and for the next agent
        assert not known.may_have(KEY, Access())
        assert not known.may_have(KEY, offering(BOB, "two"))
        assert known.may_have(KEY, offering(BOB, "one"))  # the secret, with another password now
        assert known.may_have(KEY, offering(ANN, "two"))
        assert known.may_have("r.test/y@sha256:1", Access())
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text()
    assert "hush" not in text
    assert ANN.header() not in text


@pytest.mark.parametrize(("login", "source"), [(None, Source()), (BOB, Source())])
def test_what_anybody_or_the_node_itself_may_have_is_for_all(
    tmp_path: Path, login: Login | None, source: Source
) -> None:
    records = PullRecords(tmp_path / "pulls.json", Draws())
    note(records, KEY, ANN, Source("default", "s", "one"))
    note(records, KEY, login, source)
    assert records.may_have(KEY, Access())
    note(records, KEY, ANN, Source("default", "s", "two"))
    assert records.may_have(KEY, Access())


def test_records_are_bounded_and_go_with_their_images(tmp_path: Path) -> None:
    records = PullRecords(tmp_path / "pulls.json", Draws())
    for number in range(MOST_SOURCES + 1):
        note(records, KEY, Login(f"user-{number}", "x"), Source("default", "s", f"uid-{number}"))
    assert not records.may_have(KEY, offering(Login("user-0", "x"), "uid-0"))
    assert records.may_have(KEY, offering(Login("user-1", "x"), "uid-1"))
    forget(records, frozenset({"sha256:2"}))
    assert not records.may_have(KEY, Access())
    forget(records, frozenset({"sha256:1"}))
    assert records.may_have(KEY, Access())


def test_a_damaged_record_makes_nothing_everybodys(tmp_path: Path) -> None:
    path = tmp_path / "pulls.json"
    path.write_bytes(b"{")
    with pytest.raises(ValueError, match="is damaged"):
        PullRecords(path, Draws()).may_have(KEY, Access())


def test_a_record_is_of_a_repository_and_a_content() -> None:
    assert key_of("r.test/x:2", "sha256:1") == KEY
    assert key_of("busybox", "sha256:1") == "docker.io/library/busybox@sha256:1"


# Pulling


class Image:
    size_bytes = 12
    digest = "sha256:1"


class Held:
    """The means of a node: an image that is here, and a registry that gives it to some."""

    def __init__(self, world: World, root: Path, here: bool, good: Login | None) -> None:
        self.world = world
        self.images = self
        self.objects = self
        self.pulls = PullRecords(root / "pulls.json", Draws())
        self.providers = Providers((), root, cast(Any, None), cast(Any, None), world)
        self.paths = Paths(root)
        self.said: list[str] = []
        self.asked: list[tuple[str, Login | None]] = []
        self.secrets: dict[str, Secret] = {}
        self._here = here
        self._good = good

    def say(self, _pod: Pod, _kind: str, reason: str, note: str, _container: str = "") -> None:
        self.said.append(f"{reason}: {note}")

    async def acquire(self, _pod: Pod, _names: object, _changed: object) -> Held:
        return self

    def secret(self, name: str, optional: bool) -> Secret | None:
        assert optional
        return self.secrets.get(name)

    async def ensure(
        self, _text: str, policy: str, _progress: None = None, login: Login | None = None
    ) -> Image:
        if policy == "Never" or (policy == "IfNotPresent" and self._here):
            if self._here:
                return Image()
            raise NotPresent("no")
        self.asked.append((policy, login))
        if login != self._good:
            raise Unauthorized(f"denied to {login.username if login else 'nobody'}")
        return Image()

    async def rootfs(self, _image: Image) -> list[Path]:
        return []


def pulled(
    tmp_path: Path, policy: str, *, here: bool, shows: tuple[Login, ...], good: Login | None
) -> tuple[Held, Pulled | Failed]:
    """A pod that shows some logins pulls an image that `good` may have; it was ANN's before."""
    names = [{"name": it.username} for it in shows]
    spec = {"imagePullSecrets": [*names, {"name": "missing"}]} if shows else {}
    given = pod(image="r.test/x:1", imagePullPolicy=policy, spec=spec)

    async def main() -> tuple[Held, Pulled | Failed]:
        held = Held(RealWorld(), tmp_path, here, good)
        for login in shows:
            data = {".dockercfg": auths(**{"r.test": login})}
            held.secrets[login.username] = secret(login.username, "dockercfg", data)
        if here:
            await held.pulls.note(KEY, ANN, Source("default", "ann", "uid-ann"))
        try:
            container = given.spec.containers[0]
            return held, await pulling.pull(held, given, container, 10.0)  # type: ignore[arg-type]
        except Failed as failed:
            return held, failed

    return asyncio.run(main())


def test_an_image_that_is_here_is_not_given_to_who_could_not_pull_it(tmp_path: Path) -> None:
    held, found = pulled(tmp_path, "IfNotPresent", here=True, shows=(), good=ANN)
    assert isinstance(found, Failed)
    assert found.trouble.reason == "ErrImagePull"
    assert held.asked == [("Always", None)]  # the registry was asked, though it is here


def test_who_shows_what_it_was_pulled_with_does_not_ask_the_registry(tmp_path: Path) -> None:
    held, found = pulled(tmp_path, "IfNotPresent", here=True, shows=(ANN,), good=ANN)
    assert isinstance(found, Pulled)
    assert held.asked == []
    assert any("can be accessed by the pod" in it for it in held.said)


def test_who_shows_another_login_that_the_registry_takes_has_it_from_then_on(
    tmp_path: Path,
) -> None:
    held, found = pulled(tmp_path, "IfNotPresent", here=True, shows=(BOB,), good=BOB)
    assert isinstance(found, Pulled)
    assert held.asked == [("Always", BOB)]
    assert held.pulls.may_have(KEY, offering(BOB, "other"))


def test_a_policy_of_never_asks_nobody(tmp_path: Path) -> None:
    held, found = pulled(tmp_path, "Never", here=True, shows=(BOB,), good=BOB)
    assert isinstance(found, Failed)
    assert (found.trouble.reason, held.asked) == ("ErrImageNeverPull", [])


def test_logins_are_tried_in_turn_and_secrets_that_are_missing_are_told(tmp_path: Path) -> None:
    held, found = pulled(tmp_path, "Always", here=False, shows=(ANN, BOB), good=BOB)
    assert isinstance(found, Pulled)
    assert held.asked == [("Always", ANN), ("Always", BOB)]
    assert held.said[0] == (
        "FailedToRetrieveImagePullSecret: Unable to retrieve some image pull secrets (missing); "
        "attempting to pull the image may not succeed."
    )


def test_all_refusals_are_told_and_no_password(tmp_path: Path) -> None:
    _, found = pulled(tmp_path, "Always", here=False, shows=(ANN, BOB), good=None)
    assert isinstance(found, Failed)
    assert found.trouble.message == "[denied to ann, denied to bob]"


def test_an_error_of_images_ends_as_one(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[")
    _, found = pulled(tmp_path, "Always", here=False, shows=(), good=None)
    assert isinstance(found, Failed)
    assert found.trouble.message == f"{tmp_path}/config.json: the configuration is not JSON"
    assert isinstance(found.__cause__, BadCredentials | ImageError)
