"""The last steps of a process before its program: where it works, and which file it tries."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from steersman.runtime.process import _change_directory, find_program


def test_a_process_works_where_it_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")  # and back where the tests were, at the end
    _change_directory(str(tmp_path))
    assert Path.cwd() == tmp_path


def test_a_working_directory_that_is_not_there_is_told_by_name(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    with pytest.raises(FileNotFoundError, match=f"chdir to cwd \\('{missing}'\\): No such file"):
        _change_directory(missing)


def test_a_working_directory_outside_of_the_root_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So the kernel tells it (getcwd(2)): a descriptor of the host led there (CVE-2024-21626)."""
    monkeypatch.chdir("/")
    monkeypatch.setattr(os, "getcwd", lambda: "(unreachable)/secret")
    with pytest.raises(OSError, match="lies outside the container's root") as caught:
        _change_directory("/")
    assert caught.value.errno == errno.EPERM


def test_a_name_is_looked_for_along_the_path_and_a_path_is_taken_as_it_is() -> None:
    assert find_program("sh", "/bin:/usr/bin", "/work") == ["/bin/sh", "/usr/bin/sh"]
    assert find_program("sh", "/bin::", "/work") == ["/bin/sh", "/work/sh", "/work/sh"]
    assert find_program("./sh", "/bin", "/work") == ["./sh"]
