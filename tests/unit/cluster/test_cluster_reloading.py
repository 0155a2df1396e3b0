"""Files of configuration that are read again when they change."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop

from steersman.api.published.reloads import Reloads, identity_hash
from steersman.cluster.reloading import Reload, follow
from steersman.wire import prometheus
from steersman.world.real import RealWorld

# For what is over in milliseconds on a machine with nothing else to do
WAIT_SECONDS = 60.0


class Used:
    """What was used, in order; tests wait for the next."""

    def __init__(self, path: Path, counts: Reloads) -> None:
        self.path = path
        self.counts = counts
        self._found: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()

    def use(self, what: str, found: Any) -> None:
        self._found.put_nowait((what, found))

    async def next(self) -> tuple[str, Any]:
        return await self._found.get()

    @property
    def is_empty(self) -> bool:
        return self._found.empty()


def following(
    path: Path, read: Callable[[], Any], body: Callable[[Used], Coroutine[Any, Any, None]]
) -> None:
    async def main() -> None:
        world, counts = RealWorld(), Reloads("here")
        used = Used(path, counts)
        async with asyncio.timeout(WAIT_SECONDS), world.tasks() as tasks:
            again = [Reload("authentication", path, read)]
            tasks.start(follow(again, used.use, counts, world), name="follow")
            await asyncio.sleep(0)  # the watch is there
            await body(used)
            tasks.stop()

    uvloop.run(main())


def test_a_file_that_is_written_or_replaced_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "configuration"
    path.write_text("one")

    async def body(used: Used) -> None:
        path.write_text("two")
        assert await used.next() == ("authentication", "two")
        (tmp_path / "other").write_text("three")
        (tmp_path / "other").rename(path)
        assert await used.next() == ("authentication", "three")

    following(path, path.read_text, body)


def test_a_link_beside_the_file_that_leads_elsewhere_is_a_change(tmp_path: Path) -> None:
    """As what a ConfigMap mounts changes."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "..data").symlink_to("first")
    path = tmp_path / "file"
    path.symlink_to("..data/file")

    async def body(used: Used) -> None:
        (tmp_path / "..new").symlink_to("second")
        (tmp_path / "..new").rename(tmp_path / "..data")
        assert await used.next() == ("authentication", "second")

    following(path, path.read_text, body)


def test_a_file_that_cannot_be_used_changes_nothing_and_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "configuration"
    path.write_text("good")

    tried = asyncio.Event()

    def read() -> str:
        text = path.read_text()
        if text == "bad":
            tried.set()
            raise ValueError("it is bad")
        return text

    async def body(used: Used) -> None:
        path.write_text("bad")
        await tried.wait()
        path.write_text("better")
        assert await used.next() == ("authentication", "better")
        assert used.is_empty
        told = prometheus.render(used.counts.families()).decode()
        name = "apiserver_authentication_config_controller_automatic_reloads_total"
        host = f'apiserver_id_hash="{identity_hash("here")}"'
        assert f'{name}{{{host},status="failure"}} 1\n' in told
        assert f'{name}{{{host},status="success"}} 1\n' in told

    following(path, read, body)
    assert caplog.messages == ["failed to reload authentication config: it is bad"]


def test_other_files_of_the_directory_and_the_same_content_are_no_change(tmp_path: Path) -> None:
    path = tmp_path / "configuration"
    path.write_text("same")

    async def body(used: Used) -> None:
        (tmp_path / "other").write_text("x")
        path.write_text("same")
        path.unlink()
        path.write_text("then")
        assert await used.next() == ("authentication", "then")
        assert used.is_empty

    following(path, path.read_text, body)


def test_a_server_is_told_apart_by_a_hash_of_its_host_and_what_it_is() -> None:
    # sha256 of "apiserver-" and base32 of half of sha256(2 bytes of length + name, twice)
    whole = hashlib.sha256(b"\x00\x04here\x00\x0ekube-apiserver").digest()[:16]
    identity = "apiserver-" + base64.b32encode(whole).decode().lower().strip("=")
    assert len(identity) == len("apiserver-") + 26
    assert identity_hash("here") == "sha256:" + hashlib.sha256(identity.encode()).hexdigest()
    assert identity_hash("there") != identity_hash("here")
