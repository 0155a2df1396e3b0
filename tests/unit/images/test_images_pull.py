"""Pulls from a registry: tokens, indexes, redirects, joined pulls, and every way to fail."""

import asyncio
import json
import os
import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from layer_archives import add_image, digest, file, tar_of
from loopback_registry import Answer, Registry, serving

from steersman.images import pull as pulls
from steersman.images.errors import (
    Corrupt,
    ImageError,
    ImageNotFound,
    InvalidReference,
    Refused,
    Unauthorized,
    Unreachable,
)
from steersman.images.http import Http, StreamHttp
from steersman.images.pull import NotPresent, Puller
from steersman.images.registry import is_loopback
from steersman.images.store import Image, Store

BASE = tar_of(file("base", b"1"))
TOP = tar_of(file("top", b"2" * 3_000_000))
SECONDS = 60


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def pull(
    store: Store, registry: Registry, name: str = "a/b:1", policy: Any = "Always", **more: Any
) -> Image:
    """Pulls once from a registry that lives as long as the pull."""

    async def run() -> Image:
        async with serving(registry), asyncio.timeout(SECONDS):
            puller = Puller(store, StreamHttp())
            return await puller.ensure(f"{registry.host}/{name}", policy, **more)

    return asyncio.run(run())


def fails(store: Store, registry: Registry, error: type[ImageError], name: str = "a/b:1") -> str:
    with pytest.raises(error) as caught:
        pull(store, registry, name)
    assert store.images() == []
    assert list(store.staging.iterdir()) == []
    return str(caught.value).replace(registry.host, "HOST")


def test_an_image_behind_an_index_is_pulled_and_named(store: Store) -> None:
    registry = Registry()
    index = registry.add("a/b", "1", BASE, TOP)
    seen: list[tuple[str, int, int]] = []
    image = pull(store, registry, progress=lambda *each: seen.append(each))
    assert image.config.rootfs.diff_ids == (digest(BASE), digest(TOP))
    assert image.repo_digest == f"{registry.host}/a/b@{index}"
    assert {str(each) for each in image.references} == {
        f"{registry.host}/a/b:1",
        f"{registry.host}/a/b@{index}",
    }
    layer = image.manifest.layers[0]
    assert (layer.digest, layer.size, layer.size) in seen
    accept = registry.asked[0][1]["accept"]
    assert "application/vnd.docker.distribution.manifest.list.v2+json" in accept
    assert registry.asked[0][0] == "/v2/a/b/manifests/1"


@pytest.mark.skipif(os.getuid() != 0, reason="needs root: unpacking sets owners")
def test_a_pulled_image_is_unpacked_once_for_all_who_ask(store: Store) -> None:
    registry = Registry()
    registry.add("a/b", "1", BASE, TOP)
    image = pull(store, registry)

    async def run() -> list[list[Path]]:
        puller = Puller(store, StreamHttp())
        return list(await asyncio.gather(*(puller.rootfs(image) for _ in range(4))))

    first, *others = asyncio.run(run())
    assert all(each == first for each in others)
    assert (first[1] / "top").stat().st_size == 3_000_000


def test_a_token_is_fetched_once_and_sent_along(store: Store) -> None:
    registry = Registry(token="secret")
    registry.add("a/b", "1", BASE)
    pull(store, registry)
    tokens = [path for path, _ in registry.asked if path.startswith("/token")]
    assert tokens == ["/token?service=s&scope=repository%3Ax%3Apull"]
    sent = [headers.get("authorization") for path, headers in registry.asked if "/v2/" in path]
    assert sent[0] is None and set(sent[1:]) == {"Bearer secret"}


def test_a_token_is_not_sent_to_another_host_by_a_redirect(store: Store) -> None:
    registry, storage = Registry(token="secret"), Registry()
    registry.add("a/b", "1", BASE)
    blobs = [path for path in registry.paths if "/blobs/" in path]
    storage.paths = {path: registry.paths[path] for path in blobs}

    async def run() -> None:
        async with serving(registry), serving(storage), asyncio.timeout(SECONDS):
            for path in blobs:
                url = f"http://{storage.host}{path}?signature=1"
                registry.paths[path] = Answer(307, {"Location": url})
            await Puller(store, StreamHttp()).ensure(f"{registry.host}/a/b:1", "Always")

    asyncio.run(run())
    assert len(storage.asked) == 2
    assert all("authorization" not in headers for _, headers in storage.asked)
    assert all(path.endswith("?signature=1") for path, _ in storage.asked)


def test_a_token_stays_with_a_redirect_on_the_same_host(store: Store) -> None:
    registry = Registry(token="secret")
    registry.add("a/b", "1", BASE)
    registry.paths["/moved"] = registry.paths["/v2/a/b/manifests/1"]
    registry.paths["/v2/a/b/manifests/1"] = Answer(302, {"Location": "/moved"})
    pull(store, registry)
    assert [h.get("authorization") for p, h in registry.asked if p == "/moved"] == ["Bearer secret"]


def test_five_redirects_are_followed_and_a_sixth_is_not(store: Store) -> None:
    for hops, wanted in ((5, True), (6, False)):
        registry = Registry()
        registry.add("a/b", "1", BASE)
        target = registry.paths["/v2/a/b/manifests/1"]
        for hop in range(hops):
            path = f"/hop{hop}" if hop else "/v2/a/b/manifests/1"
            registry.paths[path] = Answer(301, {"Location": f"/hop{hop + 1}"})
        registry.paths[f"/hop{hops}"] = target
        if wanted:
            pull(store, registry)
            store.remove(f"{registry.host}/a/b:1")
        else:
            assert "redirects more than 5 times" in fails(store, registry, Refused)


def test_a_chunked_body_is_read(store: Store) -> None:
    registry = Registry()
    registry.add("a/b", "1", BASE, TOP)
    for answer in registry.paths.values():
        answer.chunked = True
    assert pull(store, registry).config.rootfs.diff_ids == (digest(BASE), digest(TOP))


def test_a_body_without_a_length_ends_with_its_connection(store: Store) -> None:
    registry = Registry()
    registry.add("a/b", "1", BASE, TOP)
    for answer in registry.paths.values():
        answer.raw = b"HTTP/1.1 200 OK\r\n\r\n" + answer.body
    assert pull(store, registry).config.rootfs.diff_ids == (digest(BASE), digest(TOP))


def test_a_large_blob_is_written_piece_by_piece_and_its_progress_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulls, "WRITE_BYTES", 1 << 16)
    noise = random.Random(1).randbytes(500_000)  # that cannot be compressed
    registry = Registry()
    registry.add("a/b", "1", tar_of(file("noise", noise)))
    told: dict[str, list[int]] = {}

    def progress(name: str, done: int, size: int) -> None:
        told.setdefault(name, []).append(done)
        assert done <= size

    image = pull(store, registry, progress=progress)
    (layer,) = image.manifest.layers
    assert told[layer.digest] == sorted(told[layer.digest])
    assert told[layer.digest][-1] == layer.size and len(told[layer.digest]) > 3


def test_a_digest_is_pulled_without_a_tag(store: Store) -> None:
    registry = Registry()
    index = registry.add("a/b", "1", BASE)
    image = pull(store, registry, f"a/b:ignored@{index}")
    assert [each.tag for each in image.references] == [None]
    assert registry.asked[0][0].endswith(index)


def test_blobs_that_are_here_are_not_fetched_again(store: Store) -> None:
    registry = Registry()
    registry.add("a/b", "1", BASE)
    pull(store, registry)
    again = Registry(paths=registry.paths)
    pull(store, again)
    assert again.count("/blobs/") == 0 and again.count("/manifests/") == 2


def test_at_most_three_blobs_come_at_a_time(store: Store) -> None:
    registry = Registry()
    registry.add("a/b", "1", *(tar_of(file(f"f{n}", b"x")) for n in range(8)))

    async def run() -> int:
        async with serving(registry), asyncio.timeout(SECONDS):
            registry.hold = asyncio.Event()
            puller = Puller(store, StreamHttp())
            task = asyncio.create_task(puller.ensure(f"{registry.host}/a/b:1", "Always"))
            while registry.open_now < 3:
                await registry.waiting.wait()
                registry.waiting.clear()
            registry.hold.set()
            await task
            return registry.open_most

    assert asyncio.run(run()) == 3


# policies


def test_policies_decide_whether_the_registry_is_asked(store: Store) -> None:
    registry = Registry()
    registry.add("a/b", "1", BASE)
    with pytest.raises(NotPresent) as caught:
        pull(store, registry, policy="Never")
    expected = f'Container image "{registry.host}/a/b:1" is not present with pull policy of Never'
    assert str(caught.value) == expected and registry.asked == []
    first = pull(store, registry, policy="IfNotPresent")
    assert registry.count("/manifests/") == 2
    with pytest.raises(InvalidReference):
        pull(store, registry, name="UPPER")
    assert first.id.startswith("sha256:")


def test_a_local_image_satisfies_every_policy_but_always(store: Store) -> None:
    image = add_image(store, "nginx:1.14.2", BASE)

    class Nothing:
        async def get(self, url: str, headers: Any) -> Any:
            raise Unreachable("cannot reach anything")

    async def run(policy: Any) -> Image:
        return await Puller(store, Nothing()).ensure("nginx:1.14.2", policy)

    assert asyncio.run(run("Never")).id == asyncio.run(run("IfNotPresent")).id == image.id
    with pytest.raises(Unreachable) as caught:
        asyncio.run(run("Always"))
    assert str(caught.value) == (
        'failed to pull and unpack image "docker.io/library/nginx:1.14.2": '
        'failed to resolve reference "docker.io/library/nginx:1.14.2": cannot reach anything'
    )


def test_docker_hub_and_strangers_are_asked_over_https_and_insecure_ones_when_told(
    store: Store,
) -> None:
    urls: list[str] = []

    class Recorder:
        async def get(self, url: str, headers: Any) -> Any:
            urls.append(url)
            raise Unreachable("recorded")

    async def run(name: str, *insecure: str) -> None:
        with pytest.raises(Unreachable):
            await Puller(store, Recorder(), insecure).ensure(name, "Always")

    for name in ("nginx", "gcr.io/a/b:1", "localhost:5000/x", "[::1]:5000/x", "127.1.2.3/x"):
        asyncio.run(run(name))
    asyncio.run(run("registry.test/x", "registry.test"))
    assert urls == [
        "https://registry-1.docker.io/v2/library/nginx/manifests/latest",
        "https://gcr.io/v2/a/b/manifests/1",
        "http://localhost:5000/v2/x/manifests/latest",
        "http://[::1]:5000/v2/x/manifests/latest",
        "http://127.1.2.3/v2/x/manifests/latest",
        "http://registry.test/v2/x/manifests/latest",
    ]
    assert not is_loopback("localhost.evil.test") and not is_loopback("10.0.0.1:80")


class Https:
    """Serves answers as a secure registry would, without a network."""

    def __init__(self, answers: dict[str, Answer]) -> None:
        self.answers, self.asked = answers, list[str]()

    async def get(self, url: str, headers: Any) -> Any:
        self.asked.append(url)
        return Canned(self.answers[url])


class Canned:
    def __init__(self, answer: Answer) -> None:
        self.status, self.headers, self.body = answer.status, answer.headers, answer.body

    async def __aenter__(self) -> "Canned":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def read(self, limit: int) -> bytes:
        return self.body


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(302, {"location": "http://r.test/x"}), "redirects from HTTPS to HTTP"),
        (Answer(302, {"location": "file:///etc/passwd"}), "redirects to .file:///etc/passwd"),
        (Answer(302, {}), "redirects to ''"),
        (
            Answer(401, {"www-authenticate": 'Bearer realm="http://r.test/t"'}),
            "token fetched without TLS",
        ),
    ],
)
def test_a_secure_registry_cannot_lead_to_an_insecure_place(
    store: Store, answer: Answer, reason: str
) -> None:
    http = Https({"https://r.test/v2/x/manifests/latest": answer})

    async def run() -> None:
        await Puller(store, http).ensure("r.test/x", "Always")

    with pytest.raises(Refused, match=reason):
        asyncio.run(run())
    assert len(http.asked) == 1


# joining


def joined(store: Store, registry: Registry, act: Callable[[Any, Registry], Any]) -> Any:
    """Starts two pulls of one image, waits until a blob is asked for, then acts."""

    async def run() -> Any:
        async with serving(registry), asyncio.timeout(SECONDS):
            registry.hold = asyncio.Event()
            puller, name = Puller(store, StreamHttp()), f"{registry.host}/a/b:1"
            tasks = [asyncio.create_task(puller.ensure(name, "Always")) for _ in range(3)]
            await registry.waiting.wait()
            return await act(tasks, registry)

    return asyncio.run(run())


def test_pulls_of_one_image_are_joined(store: Store) -> None:
    registry = Registry()
    registry.add("a/b", "1", BASE)

    async def act(tasks: Any, registry: Registry) -> Any:
        registry.hold.set()  # type: ignore[union-attr]
        return await asyncio.gather(*tasks)

    images = joined(store, registry, act)
    assert len({each.id for each in images}) == 1
    assert registry.count("/blobs/") == 2 and registry.count("/manifests/") == 2


def test_when_the_first_is_cancelled_another_takes_over(store: Store) -> None:
    registry = Registry()
    registry.add("a/b", "1", BASE)

    async def act(tasks: Any, registry: Registry) -> Any:
        tasks[0].cancel()
        registry.hold.set()  # type: ignore[union-attr]
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, *others = joined(store, registry, act)
    assert isinstance(first, asyncio.CancelledError)
    assert {each.references[0].path for each in others} == {"a/b"}


def test_when_a_follower_is_cancelled_the_pull_goes_on(store: Store) -> None:
    registry = Registry()
    registry.add("a/b", "1", BASE)

    async def act(tasks: Any, registry: Registry) -> Any:
        tasks[1].cancel()
        registry.hold.set()  # type: ignore[union-attr]
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, second, third = joined(store, registry, act)
    assert isinstance(second, asyncio.CancelledError)
    assert first.id == third.id and registry.count("/manifests/") == 2


def test_a_failure_is_shared_and_the_next_caller_tries_anew(store: Store) -> None:
    registry = Registry()
    registry.add("a/b", "1", BASE)
    blob = next(path for path in registry.paths if "/blobs/" in path)
    good = registry.paths.pop(blob)

    async def act(tasks: Any, registry: Registry) -> Any:
        registry.hold.set()  # type: ignore[union-attr]
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = joined(store, registry, act)
    assert [type(each) for each in results] == [ImageNotFound] * 3
    assert len({id(each) for each in results}) <= 3 and registry.count("/manifests/") == 2
    registry.paths[blob], registry.hold = good, None
    assert pull(store, registry).id


# failures


def test_an_unknown_image_is_not_found(store: Store) -> None:
    assert fails(store, Registry(), ImageNotFound) == (
        'failed to pull and unpack image "HOST/a/b:1": '
        'failed to resolve reference "HOST/a/b:1": HOST/a/b:1: not found'
    )


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            Answer(403, {}, b'{"errors":[{"code":"DENIED","message":"no\\u001b[31m way"}]}'),
            "require authorization: denied: no[31m way",
        ),
        (Answer(401, {"WWW-Authenticate": 'Basic realm="x"'}), "wants a login"),
        (Answer(401, {}), "wants a login"),
        (Answer(401, {"WWW-Authenticate": "Bearer"}), "wants a login"),
    ],
)
def test_a_registry_that_wants_a_login_is_unauthorised(
    store: Store, answer: Answer, reason: str
) -> None:
    registry = Registry(special={"/v2/a/b/manifests/1": lambda headers: answer})
    message = fails(store, registry, Unauthorized)
    assert reason in message
    assert "pull access denied, repository does not exist or may require auth" in message


@pytest.mark.parametrize(
    "token", [b"{}", b"[]", b"x", b'{"token":5}', b'{"token":"a\\r\\nX: y"}', b"[" * 99999]
)
def test_a_token_service_that_gives_no_token_is_unauthorised(store: Store, token: bytes) -> None:
    registry = Registry(token="secret", special={"/token": lambda headers: Answer(body=token)})
    assert "gives no token" in fails(store, registry, Unauthorized)


def test_a_token_service_that_refuses_and_a_token_that_does_not_help(store: Store) -> None:
    registry = Registry(token="secret", special={"/token": lambda headers: Answer(403)})
    assert "no token from HOST" in fails(store, registry, Unauthorized)
    other = Registry(token="secret")
    other.special["/token"] = lambda headers: Answer(body=b'{"access_token":"other"}')
    fails(store, other, Unauthorized)
    assert other.count("/manifests/") == 2


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "the connection was closed early"),
        (b"HTTP/1.1 200 OK\r\nA: b", "the connection was closed early"),
        (b"SSH-2.0\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000, "its headers are over 65536 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "a length of '-1'"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc", "broke off 96 bytes early"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "malformed chunk"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n", "malformed chunk"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcXY", "malformed chunk"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", "broke off|closed early"),
        (b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n", "answers with status 500"),
        (b"HTTP/1.1 429 X\r\nContent-Length: 0\r\n\r\n", "answers with status 429"),
    ],
)
def test_a_broken_answer_is_unreachable(store: Store, raw: bytes, reason: str) -> None:
    registry = Registry(special={"/v2/a/b/manifests/1": lambda headers: Answer(raw=raw)})
    with pytest.raises(Unreachable, match=reason):
        pull(store, registry)


def test_a_closed_port_and_an_unknown_host_are_unreachable(store: Store) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"

        async def run(name: str) -> None:
            await Puller(store, StreamHttp()).ensure(name, "Always")

        with pytest.raises(Unreachable, match=f"cannot reach {host}: .*"):
            asyncio.run(run(f"{host}/x"))
    with pytest.raises(Unreachable, match=r"cannot reach no-such-host\.invalid"):
        asyncio.run(run("no-such-host.invalid/x"))


def test_a_manifest_of_another_digest_is_corrupt(store: Store) -> None:
    registry = Registry()
    index = registry.add("a/b", "1", BASE)
    registry.paths[f"/v2/a/b/manifests/{index}"] = Answer(body=b"{}")
    assert "has the digest" in fails(store, registry, Corrupt, f"a/b@{index}")
    registry.paths["/v2/a/b/manifests/1"].headers["Docker-Content-Digest"] = digest(b"other")
    assert "has the digest" in fails(store, registry, Corrupt)


def spoil(answer: Answer, how: str) -> None:
    body = answer.body
    answer.body = {
        "flipped": body[:-1] + bytes([body[-1] ^ 1]),
        "short": body[:-1],
        "long": body + b"x",
        "empty": b"",
    }[how]


@pytest.mark.parametrize("how", ["flipped", "short", "long", "empty"])
@pytest.mark.parametrize("which", [0, 1])
def test_a_spoiled_blob_is_corrupt_and_not_kept(store: Store, how: str, which: int) -> None:
    registry = Registry()
    registry.add("a/b", "1", BASE)
    path = [each for each in registry.paths if "/blobs/" in each][which]
    spoil(registry.paths[path], how)
    message = fails(store, registry, Corrupt)
    assert ("longer than stated" if how == "long" else "has the digest") in message
    assert not store.blobs.has(path.rpartition("/")[2])


def manifest_with(**fields: Any) -> dict[str, Any]:
    return {"manifest": fields}


@pytest.mark.parametrize(
    ("edit", "error", "reason"),
    [
        ({"platform": {"architecture": "z80"}}, ImageNotFound, "no match for platform linux/"),
        ({"architecture": "z80"}, Refused, "the image is for linux/z80"),
        (manifest_with(schemaVersion=1), Refused, "schema 1"),
        (manifest_with(layers=[]), Corrupt, "differ in their layers"),
        (manifest_with(layers={}), Corrupt, "malformed"),
        (
            manifest_with(layers=[{"mediaType": "foreign", "digest": digest(b""), "size": 0}]),
            Refused,
            "kept outside",
        ),
        (
            manifest_with(layers=[{"mediaType": "x", "digest": digest(b""), "size": -1}]),
            Refused,
            "has -1 bytes",
        ),
        (
            manifest_with(layers=[{"mediaType": "x", "digest": "sha256:../x", "size": 1}]),
            Corrupt,
            "is no sha256 digest",
        ),
    ],
)
def test_an_image_that_cannot_be_used_is_refused(
    store: Store, edit: dict[str, Any], error: type[ImageError], reason: str
) -> None:
    registry = Registry()
    registry.add("a/b", "1", BASE, **edit)
    assert reason in fails(store, registry, error)


def test_a_disk_that_takes_nothing_is_an_image_error(store: Store) -> None:
    registry = Registry()
    registry.add("a/b", "1", BASE)
    shutil.rmtree(store.staging)
    with pytest.raises(ImageError, match=r"failed to pull .*No such file or directory"):
        pull(store, registry)


def test_indexes_nested_without_end_are_refused(store: Store) -> None:
    registry = Registry()
    registry.add("a/b", "1", BASE)
    body = registry.paths["/v2/a/b/manifests/1"].body
    for _ in range(4):
        index = json.loads(body)
        index["manifests"][2]["digest"] = digest(body)
        registry.paths[f"/v2/a/b/manifests/{digest(body)}"] = Answer(body=body)
        body = json.dumps(index).encode()
    registry.paths["/v2/a/b/manifests/1"] = Answer(body=body)
    assert "nested over 3 deep" in fails(store, registry, Refused)


def test_an_endless_manifest_is_refused(store: Store) -> None:
    registry = Registry()
    registry.paths["/v2/a/b/manifests/1"] = Answer(body=b" " * ((8 << 20) + 1))
    assert "answers with over 8388608 bytes" in fails(store, registry, Refused)


@pytest.mark.parametrize(
    "url",
    ["ftp://x/y", "http:///y", "http://u:p@h/", "http://h/ a", "http://h:x/", "http://h/\r\nX"],
)
def test_what_is_no_url_of_a_registry_is_refused(url: str) -> None:
    http: Http = StreamHttp()
    with pytest.raises(Refused, match="is no URL"):
        asyncio.run(http.get(url, {}))  # type: ignore[arg-type]


def test_a_header_cannot_smuggle_another() -> None:
    with pytest.raises(Refused, match="characters"):
        asyncio.run(StreamHttp().get("http://127.0.0.1:1/", {"A": "b\r\nC: d"}))  # type: ignore[arg-type]
