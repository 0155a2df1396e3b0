"""Labels of security modules: refused where the kernel has none, written below a directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from steersman.runtime.kernel import labels
from steersman.runtime.process import Process


def with_modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, apparmor: str) -> None:
    (tmp_path / "enabled").write_text(apparmor)
    (tmp_path / "enforce").write_text("1")
    monkeypatch.setattr(labels, "_APPARMOR", str(tmp_path / "enabled"))
    monkeypatch.setattr(labels, "_SELINUX", str(tmp_path / "enforce"))


def test_a_label_is_kept_where_the_kernel_has_the_module(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_modules(monkeypatch, tmp_path, "Y\n")
    section = {"args": ["true"], "apparmorProfile": "web", "selinuxLabel": "a:b:c:s0"}
    found = Process(section, 0).labels
    assert (found.apparmor, found.selinux) == ("web", "a:b:c:s0")
    assert found
    assert not Process({"args": ["true"]}, 0).labels


def test_a_module_that_is_switched_off_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_modules(monkeypatch, tmp_path, "N\n")
    with pytest.raises(ValueError, match="apparmor: config provided but apparmor not supported"):
        labels.parse({"apparmorProfile": "web"})
    monkeypatch.setattr(labels, "_SELINUX", str(tmp_path / "gone"))
    with pytest.raises(ValueError, match="selinux is disabled or not supported"):
        labels.parse({"selinuxLabel": "a:b:c:s0"})


@pytest.mark.parametrize("stacked", [True, False])
def test_a_label_is_written_where_the_next_exec_reads_it(tmp_path: Path, stacked: bool) -> None:
    (tmp_path / "attr" / "apparmor").mkdir(parents=True)
    files = [tmp_path / "attr/exec", *([tmp_path / "attr/apparmor/exec"] if stacked else [])]
    for file in files:
        file.touch()
    directory = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    labels.apply(labels.Labels(apparmor="web"), directory)
    assert files[-1].read_text() == "exec web"
    labels.apply(labels.Labels(selinux="a:b:c:s0"), directory)
    os.close(directory)
    assert files[0].read_text().startswith("a:b:c:s0")


def test_a_label_is_written_through_no_link(tmp_path: Path) -> None:
    (tmp_path / "attr").mkdir()
    (tmp_path / "attr/exec").symlink_to(tmp_path / "elsewhere")
    directory = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    with pytest.raises(OSError, match="symbolic links"):
        labels.apply(labels.Labels(selinux="a:b:c:s0"), directory)
    os.close(directory)
