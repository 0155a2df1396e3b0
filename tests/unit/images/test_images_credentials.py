"""Logins for registries: how they are read, for which images they are, and where they go."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import pytest
from layer_archives import file, tar_of
from loopback_registry import Registry, serving

from steersman.images.credentials import (
    CONFIG_LIMIT,
    BadCredentials,
    Login,
    logins_for,
    parse_config,
    parse_legacy,
)
from steersman.images.errors import ImageError, Unauthorized
from steersman.images.http import StreamHttp
from steersman.images.pull import Puller
from steersman.images.references import parse
from steersman.images.store import Image, Store

SECONDS = 20.0
HUB = "https://index.docker.io/v1/"
ANN, BOB = Login("ann", "one"), Login("bob", "two")


def auth(login: Login) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{login.username}:{login.password}".encode()).decode()}


def config(**auths: Any) -> bytes:
    return json.dumps({"auths": auths}).encode()


def found(image: str, *keys: str) -> list[str]:
    """The users whose entries, one for each key, are for an image."""
    entries = parse_config(config(**{k: {"username": k, "password": "p"} for k in keys}))
    return [it.username for it in logins_for(parse(image), entries)]


def test_both_forms_and_both_ways_to_write_a_login_are_read() -> None:
    whole = {"a.test": auth(ANN), "b.test": {"username": "bob", "password": "two"}}
    for entries in (parse_config(config(**whole)), parse_legacy(json.dumps(whole).encode())):
        assert [(it.host, it.login) for it in entries] == [("a.test", ANN), ("b.test", BOB)]


def test_a_password_may_have_colons_and_an_entry_of_a_helper_is_none() -> None:
    odd = Login("ann", "a:b:c")
    (entry,) = parse_config(config(**{"a.test": auth(odd), "b.test": {}, "c.test": 3}))
    assert entry.login == odd


@pytest.mark.parametrize(
    ("image", "keys", "users"),
    [
        ("a.test/x", ("a.test", "b.test"), ["a.test"]),
        ("a.test:5000/x", ("a.test",), []),
        ("a.test:5000/x", ("a.test:5000",), ["a.test:5000"]),
        ("a.test/x/y", ("https://a.test/v1/",), ["https://a.test/v1/"]),
        ("a.test/x/y", ("a.test/x", "a.test", "a.test/z"), ["a.test/x", "a.test"]),
        ("a.test/xy", ("a.test/x",), []),
        ("reg.a.test/x", ("*.a.test", "*.test", "*"), ["*.a.test"]),
        (
            "busybox",
            ("https://index.docker.io/v1/", "docker.io"),
            ["https://index.docker.io/v1/", "docker.io"],
        ),
        ("busybox", ("a.test",), []),
    ],
)
def test_an_entry_is_for_the_images_that_its_key_says(
    image: str, keys: tuple[str, ...], users: list[str]
) -> None:
    assert found(image, *keys) == users


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{", "is not JSON"),
        (b"[]", "is no object"),
        (b" " * (CONFIG_LIMIT + 1), "more than"),
        (config(a={"auth": "%"}), "is not base64"),
        (config(a={"auth": base64.b64encode(b"hush").decode()}), "has no colon"),
    ],
)
def test_what_cannot_be_read_is_told_without_what_it_holds(data: bytes, why: str) -> None:
    with pytest.raises(BadCredentials, match=why) as refused:
        parse_config(data)
    assert "hush" not in str(refused.value)


def test_a_login_shows_no_password() -> None:
    assert "one" not in repr(ANN)
    assert "one" not in f"{ANN} {(ANN,)}"
    assert ANN.header() == "Basic " + base64.b64encode(b"ann:one").decode()


def pull(store: Store, registry: Registry, login: Login | None) -> Image:
    async def run() -> Image:
        async with serving(registry), asyncio.timeout(SECONDS):
            puller = Puller(store, StreamHttp())
            return await puller.ensure(f"{registry.host}/a/b:1", "Always", None, login)

    return asyncio.run(run())


def registry_for(login: Login, token: str = "") -> Registry:
    registry = Registry(login=login.header(), token=token)
    registry.add("a/b", "1", tar_of(file("x", b"x")))
    return registry


@pytest.mark.parametrize("token", ["", "secret"])
def test_a_registry_is_shown_the_login_that_it_asks_for(tmp_path: Path, token: str) -> None:
    registry = registry_for(ANN, token)
    pull(Store(tmp_path), registry, ANN)
    shown = [headers.get("authorization") for _, headers in registry.asked]
    assert shown[0] is None  # not before it is asked for
    wanted = f"Bearer {token}" if token else ANN.header()
    assert shown[-1] == wanted
    with_login = [
        path for path, headers in registry.asked if headers.get("authorization") == ANN.header()
    ]
    assert all(path.startswith("/token") for path in with_login) == bool(token)


@pytest.mark.parametrize("token", ["", "secret"])
@pytest.mark.parametrize("login", [None, BOB])
def test_who_shows_no_login_or_another_one_is_refused(
    tmp_path: Path, token: str, login: Login | None
) -> None:
    with pytest.raises(Unauthorized) as refused:
        pull(Store(tmp_path), registry_for(ANN, token), login)
    assert "two" not in str(refused.value)
    assert BOB.header() not in str(refused.value)


def test_a_pull_of_one_login_is_no_answer_for_another(tmp_path: Path) -> None:
    registry = registry_for(ANN)

    async def run() -> list[Any]:
        async with serving(registry), asyncio.timeout(SECONDS):
            puller = Puller(Store(tmp_path), StreamHttp())
            name = f"{registry.host}/a/b:1"
            pulls = (puller.ensure(name, "Always", None, it) for it in (ANN, BOB, None))
            return await asyncio.gather(*pulls, return_exceptions=True)

    first, *others = asyncio.run(run())
    assert isinstance(first, Image)
    assert all(isinstance(it, ImageError) for it in others)
