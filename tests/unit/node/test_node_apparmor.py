"""The default AppArmor profile: what it says, and that a parser is given it.

No machine of ours confines by AppArmor: the parser compiles it, and no kernel is told.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from steersman.node.acting import apparmor
from steersman.world.real import RealWorld

PARSER = shutil.which("apparmor_parser", path="/usr/sbin:/sbin")


def load(parser: str, *options: str) -> str:
    return asyncio.run(apparmor.load(parser, RealWorld(), *options))


def program(folder: Path, script: str) -> str:
    made = folder / "parser"
    made.write_text(f"#!/bin/sh\n{script}\n")
    made.chmod(0o755)
    return str(made)


def test_a_profile_lets_programs_be_and_keeps_them_from_the_kernels_files() -> None:
    text = apparmor.render_profile(abi=False)
    assert text.startswith("profile steersman-default flags=(attach_disconnected,")
    for rule in ("file", "network", "capability", "deny mount", "deny /proc/kcore rwklx"):
        assert f"  {rule},\n" in text
    assert apparmor.render_profile(abi=True) == f"abi <abi/3.0>,\n{text}"


@pytest.mark.skipif(PARSER is None, reason="apparmor: not installed here")
def test_the_real_parser_takes_the_profile() -> None:
    assert PARSER is not None
    assert load(PARSER, "--skip-kernel-load") == "steersman-default"


def test_a_parser_is_given_the_profile_in_the_place_of_the_one_before(tmp_path: Path) -> None:
    parser = program(tmp_path, f'echo "$@" > {tmp_path}/words; cat > {tmp_path}/text')
    assert load(parser) == apparmor.NAME
    assert (tmp_path / "words").read_text() == "--replace --skip-cache\n"
    assert "profile steersman-default" in (tmp_path / "text").read_text()


def test_a_parser_that_fails_or_hangs_is_told_and_leaves_no_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apparmor, "LOAD_SECONDS", 0.1)
    for script, why in (
        ("echo no such rule >&2; exit 1", "exit status 1: no such rule"),
        ("exec sleep 600", "no answer in 0 s"),
    ):
        parser = program(tmp_path, script)
        with pytest.raises(apparmor.NoProfile) as raised:
            load(parser)
        assert str(raised.value) == f"{parser}: {why}"
    with pytest.raises(apparmor.NoProfile, match="No such file"):
        load(str(tmp_path / "none"))
