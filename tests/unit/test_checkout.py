"""`./steer` from a fresh checkout: what it makes, when it makes it again, what it says."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
FILES = ("steer", "scripts/environment.sh", "pyproject.toml", "src/steersman/model/pack.py")

# An interpreter that writes down what it is asked; `broken` makes that part fail
PYTHON = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in
*sys.version_info*) [ "$BROKEN" != version ] ;;
"-m venv "*)
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python"
    [ "$BROKEN" != venv ] ;;
"-m pip --version") [ "$BROKEN" != venv ] ;;
"-m pip install"*) [ "$BROKEN" != pip ] ;;
"-P -m steersman"*) echo "ran $4" ;;
esac
"""


class Checkout:
    """A copy of what `./steer` needs, in a directory with spaces, and such an interpreter."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "a checkout"
        for name in FILES:
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.path / name)
        self.programs = directory / "bin"
        self.programs.mkdir()
        for name in ("python3", "python3.14", "python3.13", "python3.12", "python3.11"):
            (self.programs / name).write_text(PYTHON)
            (self.programs / name).chmod(0o755)
        self.calls = directory / "calls"

    def run(
        self, word: str = "version", *, broken: str = "", by: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        self.calls.write_text("")
        path = f"{self.programs}{os.pathsep}/usr/bin{os.pathsep}/bin"
        return subprocess.run(
            ["sh", str(by or self.path / "steer"), word],
            env={"PATH": path, "CALLS": str(self.calls), "BROKEN": broken, "CDPATH": "/"},
            cwd=self.programs,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def program(self, name: str, text: str) -> None:
        """Puts a program in the place of the machine's own."""
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def installed(self) -> bool:
        """Whether the last run installed anything."""
        return "-m pip install" in self.calls.read_text()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_first_use_makes_an_environment_and_the_second_costs_nothing(
    checkout: Checkout,
) -> None:
    first = checkout.run()
    assert (first.returncode, first.stdout) == (0, "ran version\n")
    assert first.stderr == f"making {checkout.path}/.venv (once)\n"
    assert f"--editable {checkout.path}\n" in checkout.calls.read_text()
    second = checkout.run()
    assert (second.returncode, second.stdout, second.stderr) == (0, "ran version\n", "")
    assert checkout.calls.read_text() == "-P -m steersman version\n"


@pytest.mark.parametrize("name", FILES[2:])
def test_another_pin_or_other_dependencies_install_anew(checkout: Checkout, name: str) -> None:
    checkout.run()
    with (checkout.path / name).open("a") as file:
        file.write("\n")
    checkout.run()
    assert checkout.installed()
    checkout.run()
    assert not checkout.installed()


def test_an_environment_with_the_test_tools_serves_steer_too(checkout: Checkout) -> None:
    checkout.run()
    stamp = checkout.path / ".venv" / "stamp"
    stamp.write_text(stamp.read_text().rstrip("\n") + "test\n")
    checkout.run()
    assert not checkout.installed()


def test_an_older_python_is_refused_in_one_line(checkout: Checkout) -> None:
    done = checkout.run(broken="version")
    assert done.returncode == 1
    assert done.stderr == (
        "steer: Python 3.11 or later is needed (apt-get install python3 python3-venv)\n"
    )
    assert "sys.version_info < (3, 11)" in checkout.calls.read_text()
    assert not (checkout.path / ".venv").exists()


def test_without_the_venv_module_nothing_half_made_stays(checkout: Checkout) -> None:
    done = checkout.run(broken="venv")
    assert done.returncode == 1
    assert "apt-get install python3-venv" in done.stderr
    assert not (checkout.path / ".venv").exists()
    assert checkout.run().returncode == 0


def test_half_an_environment_is_made_anew(checkout: Checkout) -> None:
    (checkout.path / ".venv" / "bin").mkdir(parents=True)
    (checkout.path / ".venv" / "left").touch()
    assert checkout.run().returncode == 0
    assert not (checkout.path / ".venv" / "left").exists()


def test_a_failed_installation_is_told_and_tried_again(checkout: Checkout) -> None:
    done = checkout.run(broken="pip")
    assert done.returncode == 1
    assert "could not be installed" in done.stderr
    assert checkout.run().stdout == "ran version\n"
    assert checkout.installed()


def test_a_symbolic_link_to_steer_finds_its_checkout(checkout: Checkout) -> None:
    link = checkout.programs / "steer"
    link.symlink_to(checkout.path / "steer")
    assert checkout.run(by=link).stdout == "ran version\n"


APT = 'echo "apt-get $*" >> "$CALLS"; echo noise'
INSTALLING = "installing nftables (once)\n"


def test_the_demo_installs_what_services_are_made_of_where_it_is_missing(
    checkout: Checkout,
) -> None:
    checkout.program("id", "echo 0")
    checkout.program("apt-get", APT)
    done = checkout.run("demo")
    assert done.stdout == "ran demo\n"
    assert done.stderr.endswith(INSTALLING)
    assert "apt-get install -y -qq nftables\n" in checkout.calls.read_text()
    assert "apt-get" not in _calls(checkout, "version")
    checkout.program("id", "echo 1000")
    assert "apt-get" not in _calls(checkout, "demo")
    checkout.program("id", "echo 0")
    checkout.program("nft", "true")
    assert "apt-get" not in _calls(checkout, "demo")


def test_a_demo_whose_tools_cannot_be_installed_goes_on_and_says_so(checkout: Checkout) -> None:
    checkout.program("id", "echo 0")
    checkout.program("apt-get", "exit 100")
    done = checkout.run("demo")
    assert done.stdout == "ran demo\n"
    assert done.stderr.endswith(f"{INSTALLING}steer: nftables could not be installed\n")


def _calls(checkout: Checkout, word: str) -> str:
    assert checkout.run(word).stdout == f"ran {word}\n"
    return checkout.calls.read_text()
