"""Variables from files of volumes: which text is one, whose key counts, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from node_documents import pod

from steersman.node.acting import env_files
from steersman.node.acting.env_files import read_variables
from steersman.node.objects import BadConfiguration
from steersman.node.render.env_file import BadFile, parse_variable


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("KEY='value'", "value"),
        ("# KEY='no'\n\n \t KEY='$HOME \"and\" # all' # more\nKEY='last'", '$HOME "and" # all'),
        ("OTHER='1'\nKEY='one\n two'\n", "one\n two"),
        ("OTHER='one\nKEY=no'\nKEY='yes'\r\n", "yes"),
        ("KEY= 'another word'", ""),
        ("OTHER= x\nKEY='yes'", "yes"),
        ("KEY=''", ""),
        ("", ""),
        ("KEY='yes'\nwhat comes after is not looked at", "yes"),
    ],
)
def test_a_variable_is_found_in_a_file(text: str, value: str) -> None:
    assert parse_variable(text, "KEY") == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("\nKEY", "at line 2: missing '='"),
        ("='x'", "at line 1: empty variable name"),
        ("KEY ='x'", "at line 1: whitespace before '=' is not allowed"),
        ("KEY=x", "at line 1: value must be enclosed in single quotes"),
        ('KEY="x"', "at line 1: value must be enclosed in single quotes"),
        ("KEY='x'y", "at line 1: unexpected content after closing quote"),
        ("KEY='a\nb'y", "at line 2: unexpected content after closing quote"),
        ("A='1'\nKEY='x\ny", "starting at line 2: unclosed single quote"),
    ],
)
def test_what_is_no_such_file_is_refused_by_line(text: str, why: str) -> None:
    with pytest.raises(BadFile) as raised:
        parse_variable(text, "KEY")
    assert str(raised.value) == f"invalid environment variable format {why}"


def read(place: Path, **source: Any) -> dict[str, str]:
    reference = {"volumeName": "v", "path": "a/vars", "key": "KEY", **source}
    env = [{"name": "PLAIN", "value": "x"}, {"name": "GOT", "valueFrom": {"fileKeyRef": reference}}]
    return read_variables(pod(env=env).spec.containers[0], {"v": place})


def test_a_container_takes_a_variable_from_a_file_of_a_volume(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/vars").write_text("KEY='value'\nNONE=''")
    assert read(tmp_path) == {"GOT": "value"}
    assert read(tmp_path, key="MORE", optional=True) == {}
    assert read(tmp_path, key="NONE", optional=True) == {}
    with pytest.raises(BadConfiguration) as raised:
        read(tmp_path, key="MORE")
    told = f'environment variable key "MORE" not found in file "{tmp_path}/a/vars"'
    assert str(raised.value) == told
    with pytest.raises(BadConfiguration) as raised:
        read(tmp_path, volumeName="w", optional=True)
    assert str(raised.value) == 'cannot find the volume "w" referenced by FileKeyRef'


def test_a_file_that_is_none_or_lies_elsewhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "volume"
    (place / "a").mkdir(parents=True)
    (tmp_path / "secret").write_text("KEY='secret'")
    (place / "a/vars").symlink_to(tmp_path / "secret")
    (place / "a/broken").write_text("KEY=x")
    (place / "a/binary").write_bytes(b"KEY='\xff'")
    (place / "a/large").write_text("KEY='more than is read'")
    monkeypatch.setattr(env_files, "MOST_BYTES", 16)
    for name in ("vars", "broken", "binary", "missing", "large", "../../secret", "."):
        with pytest.raises(BadConfiguration, match=r"^couldn't parse env file$"):
            read(place, path=f"a/{name}", optional=True)
