"""A whole cluster as a value: started as a user starts it, driven by kubectl.

Three simulated nodes, no real one, a directory and a port of its own.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ports import free_port

UP_SECONDS = 120
KUBECTL_SECONDS = 120
NODES = 3


class Said(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Cluster:
    """A running cluster and the commands that drive it."""

    directory: Path
    kubeconfig: Path
    port: int

    @property
    def cache(self) -> Path:
        """Returns where its kubectl keeps what it learnt."""
        return self.kubeconfig.with_name("cache")

    def forget(self) -> None:
        """Drops which kinds kubectl believes there are: for hours, also those that went."""
        shutil.rmtree(self.cache, ignore_errors=True)

    def steer(self, *words: str) -> Said:
        """Runs `steer`."""
        command = [sys.executable, "-P", "-m", "steersman", *words]
        return _run(command, UP_SECONDS, {})

    def up(self, *words: str) -> Said:
        """Starts the cluster and returns once it is ready."""
        place = ["--data-dir", str(self.directory), "--kubeconfig", str(self.kubeconfig)]
        how = ["--no-node", "--simulated-nodes", str(NODES), "--port", str(self.port)]
        return self.steer("up", "--detach", *place, *how, *words)

    def down(self) -> Said:
        """Stops it."""
        return self.steer("down", "--data-dir", str(self.directory))

    def kubectl(self, *words: str, stdin: str = "", **environment: str) -> Said:
        """Runs kubectl; what it caches stays in the cluster's directory."""
        command = ["kubectl", "--cache-dir", str(self.cache), *words]
        given = {"KUBECONFIG": str(self.kubeconfig), **environment}
        return _run(command, KUBECTL_SECONDS, given, stdin)

    def ok(self, *words: str, stdin: str = "", **environment: str) -> str:
        """Runs kubectl, which must succeed, and returns what it printed."""
        said = self.kubectl(*words, stdin=stdin, **environment)
        assert said.code == 0, f"kubectl {' '.join(words)}: {said.err}{said.out}"
        return said.out

    def refused(self, *words: str, stdin: str = "", **environment: str) -> str:
        """Runs kubectl, which must fail, and returns what it said."""
        said = self.kubectl(*words, stdin=stdin, **environment)
        assert said.code != 0, f"kubectl {' '.join(words)}: {said.out}"
        return said.err.strip()

    def first(self, count: int, *words: str) -> list[str]:
        """Returns the first lines of a kubectl that does not end, as of `get --watch`."""
        bounded = ["timeout", str(KUBECTL_SECONDS), "kubectl", "--cache-dir", str(self.cache)]
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        with subprocess.Popen(
            [*bounded, *words], stdout=subprocess.PIPE, text=True, env=environment
        ) as watching:
            assert watching.stdout is not None
            lines = [watching.stdout.readline() for _ in range(count)]
            watching.terminate()
        assert all(lines), f"kubectl {' '.join(words)}: {lines}"
        return lines

    def supervisor(self) -> int:
        """Returns the process that supervises the cluster, 0 where none does."""
        from steersman.cli.directory import Directory, Lock

        return Lock(Directory(self.directory)).holder()

    def server(self) -> int:
        """Returns the server's process: the supervisor's child of that name."""
        parent = self.supervisor()
        for task in Path(f"/proc/{parent}/task").iterdir():
            for child in (task / "children").read_text().split():
                if Path(f"/proc/{child}/comm").read_text() == "steer-server\n":
                    return int(child)
        raise AssertionError("no server runs")


@contextmanager
def running(directory: Path, kubeconfig: Path, *words: str) -> Iterator[Cluster]:
    """Starts a cluster with further options, and stops it so that nothing of it is left."""
    made = Cluster(directory, kubeconfig, free_port())
    started = made.up(*words)
    assert started.code == 0, started.err
    try:
        yield made
    finally:
        stopped = made.down()
    assert stopped.code == 0, stopped.err
    assert made.supervisor() == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", made.port)) != 0, "somebody still listens"


def _run(command: list[str], seconds: float, environment: dict[str, str], stdin: str = "") -> Said:
    source = str(Path(__file__).parents[1] / "src")
    done = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, "PYTHONPATH": source, **environment},
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)
