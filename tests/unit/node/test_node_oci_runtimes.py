"""Which OCI runtimes a node has: by its option, by their handlers, and what each can."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from steersman.cli.failure import Failure
from steersman.cli.main import build_parser
from steersman.cli.options import kubelet
from steersman.node.engine.interface import Handler
from steersman.node.engine.runtimes import (
    OURS,
    BadRuntime,
    OCIRuntime,
    know_runtimes,
    parse_runtimes,
)
from steersman.world.real import RealWorld

OWN = Handler(recursive_read_only_mounts=True, user_namespaces=True)


def program(path: Path, says: str) -> Path:
    path.write_text(f"#!/bin/sh\n{says}\n")
    path.chmod(0o755)
    return path


def test_the_first_is_for_pods_without_a_class(tmp_path: Path) -> None:
    one, other = program(tmp_path / "one", ""), program(tmp_path / "other", "")
    assert parse_runtimes(f"{one}, {other}") == {"": str(one), "one": str(one), "other": str(other)}
    assert parse_runtimes(f"steersman,{one}") == {"": "", "steersman": "", "one": str(one)}


def test_a_name_is_looked_for_where_programs_are() -> None:
    assert parse_runtimes("sh")["sh"].endswith("/sh")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("not-there", r"not-there: is not installed \(looked in "),
        ("/not/there", "/not/there: is no program"),
        ("/etc/passwd", "/etc/passwd: is no program"),
        ("bin/sh", "bin/sh: a path must be absolute"),
        ("sh,/bin/sh", "sh is given twice"),
        ("/bin/Sh", "/bin/Sh: 'Sh' cannot be a handler of a RuntimeClass"),
    ],
)
def test_what_cannot_be_a_runtime_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(BadRuntime, match=f"^{why}"):
        parse_runtimes(text)


def test_ours_stays_by_its_name_and_is_runc_where_no_other_is() -> None:
    async def know(**asked: str) -> dict[str, OCIRuntime]:
        return await know_runtimes({k or "": v for k, v in asked.items()}, RealWorld())

    assert asyncio.run(know()) == OURS
    assert dict.fromkeys(("", "steersman", "runc"), OCIRuntime("", OWN)) == OURS


@pytest.mark.parametrize(
    ("says", "can"),
    [
        ('echo \'{"mountOptions": ["ro", "rro"]}\'', Handler(recursive_read_only_mounts=True)),
        ('echo \'{"mountOptions": ["ro"]}\'', Handler()),
        ("echo '{\"mountOptions\": 1}'", Handler()),
        ("echo []", Handler()),
        ("echo no such verb; exit 1", Handler()),
        ('test "$*" = features && echo \'{"mountOptions": ["rro"]}\'', Handler(True)),
    ],
)
def test_what_a_runtime_can_is_what_it_says(says: str, can: Handler, tmp_path: Path) -> None:
    path = str(program(tmp_path / "other", says))
    found = asyncio.run(know_runtimes({"": path, "other": path}, RealWorld()))
    other = OCIRuntime(path, can)
    assert found == {"": other, "other": other, "steersman": OCIRuntime(), "runc": OCIRuntime()}


def test_the_option_is_checked_before_anything_starts_and_given_on() -> None:
    given = build_parser("up").parse_args(["--runtime", "sh,steersman"])
    kubelet.check(given)
    assert "--runtime=sh,steersman" in kubelet.words(given)
    assert list(kubelet.read_runtimes(given)) == ["", "sh", "steersman"]
    assert kubelet.read_runtimes(build_parser("up").parse_args([])) == {}
    with pytest.raises(Failure, match=r"^--runtime: nope: is not installed"):
        kubelet.check(build_parser("up").parse_args(["--runtime", "nope"]))
    both = ["--runtime", "sh", "--container-runtime-endpoint", "unix:///run/x.sock"]
    with pytest.raises(Failure, match=r"it goes without --container-runtime-endpoint$"):
        kubelet.check(build_parser("up").parse_args(both))
