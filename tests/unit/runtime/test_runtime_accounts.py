"""Users and groups of a container, by name and by number, from files that the image brings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from steersman.runtime import process as module
from steersman.runtime.process import Process, look_up

FILES = {
    "/etc/passwd": [
        "1000:x:0:0:a name that is a number:/root:/bin/sh",
        "web:x:101:102::/srv:/bin/sh",
        "same:x:1000:1001::/home:/bin/sh",
        "none:x:-1:-1::/:/bin/sh",
        "most:x:4294967295:4294967295::/:/bin/sh",
    ],
    "/etc/group": ["7:x:0:", "logs:x:103:web"],
}


@pytest.fixture(autouse=True)
def files(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {path: [line.split(":") for line in lines] for path, lines in FILES.items()}
    monkeypatch.setattr(module, "_read_accounts", lambda path, _root: found[path])


def process(user: Mapping[str, Any]) -> Process:
    return Process({"args": ["x"], "cwd": "/", "user": user}, 0)


def resolved(name: str) -> tuple[int, int]:
    found = process({"username": name})
    look_up(found)
    return found.uid, found.gid


def test_a_number_is_an_id_and_never_the_name_of_an_account() -> None:
    assert resolved("1000") == (1000, 1001)
    assert resolved("1000:7") == (1000, 7)
    assert resolved("55") == (55, 0)


def test_groups_of_the_image_are_left_out_where_that_is_asked_for() -> None:
    merged = process({"username": "web", "additionalGids": [5]})
    strict = process({"username": "web", "additionalGids": [5], "imageGroups": False})
    for one in (merged, strict):
        look_up(one)
    assert (merged.gid, merged.groups) == (102, [5, 103])
    assert (strict.gid, strict.groups) == (102, [5])


def test_a_name_is_looked_up() -> None:
    assert resolved("web") == (101, 102)
    assert resolved("web:logs") == (101, 103)


def test_a_name_is_looked_up_also_where_the_home_is_given() -> None:
    found = Process(
        {"args": ["x"], "cwd": "/", "user": {"username": "web"}, "env": ["HOME=/own"]}, 0
    )
    look_up(found)
    assert (found.uid, found.gid, found.env["HOME"]) == (101, 102, "/own")


def test_the_home_is_that_of_the_account_or_else_the_root() -> None:
    homes = []
    for name in ("web", "55"):
        found = process({"username": name})
        look_up(found)
        homes.append(found.env["HOME"])
    assert homes == ["/srv", "/"]


@pytest.mark.parametrize("name", ["none", "most", "4294967295", "4294967296", "web:4294967295"])
def test_an_id_that_setresuid_takes_for_no_change_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no user or group"):
        resolved(name)


@pytest.mark.parametrize(
    "user", [{"uid": -1}, {"uid": 4294967295}, {"gid": -1}, {"additionalGids": [-1]}]
)
def test_numbers_of_a_document_are_held_to_the_same(user: Mapping[str, Any]) -> None:
    with pytest.raises(ValueError, match="is no user or group"):
        process(user)
