"""How long a year of a CronJob takes in virtual time, with its jobs, pods, events and history.

Run: PYTHONPATH=src python bench/clock.py [--store memory]. One simulated node, all controllers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import processes
from row import Row

PORT = 26444
DAYS = 365
YEARS = (("daily", "30 2 * * *", "2 s", DAYS), ("hourly", "30 * * * *", "20 s", 24 * DAYS))


class Cluster:
    """A cluster whose time is virtual."""

    def __init__(self, place: Path) -> None:
        self.directory = place / "cluster"
        self.config = place / "kubeconfig"

    def steer(self, *words: str) -> str:
        """Runs a command of steer and returns what it prints."""
        command = [sys.executable, "-P", "-m", "steersman", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def up(self, *words: str) -> None:
        """Starts it, and has the clock stand."""
        place = ["--data-dir", str(self.directory), "--kubeconfig", str(self.config)]
        how = ["--detach", "--clock", "virtual", "--no-node", "--simulated-nodes", "1"]
        self.steer("up", *place, *how, "--port", str(PORT), *words)
        self.clock("freeze")

    def clock(self, *words: str) -> Any:
        """Tells the clock something."""
        return json.loads(
            self.steer("clock", *words, "-o", "json", "--kubeconfig", str(self.config))
        )

    def kubectl(self, *words: str) -> str:
        """Runs kubectl on the cluster."""
        command = ["kubectl", "--kubeconfig", str(self.config), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def down(self) -> None:
        """Stops it."""
        self.steer("down", "--data-dir", str(self.directory))


def year(name: str, schedule: str, wanted: str, jobs: int, *words: str) -> Row:
    """Runs one CronJob for a year; every job must have been made."""
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        made = Cluster(Path(place))
        made.up(*words)
        try:
            made.kubectl("create", "cronjob", name, "--image=c:1", f"--schedule={schedule}")
            server = processes.find("steer-server", str(made.directory))
            before, began = processes.cpu_seconds(server), time.perf_counter()
            made.clock("advance", f"{DAYS}d")
            took = time.perf_counter() - began
            used = processes.cpu_seconds(server) - before
            created = count(made, "jobs", "POST")
        finally:
            made.down()
    if created != jobs:
        raise RuntimeError(f"{created} jobs were made, {jobs} are in a year")
    what = f"a year of a CronJob that runs {name}, in virtual time ({' '.join(words) or 'SQLite'})"
    return Row(what, f"{took:.1f} s", wanted, f"{used:.1f} s", [took, used])


def count(made: Cluster, resource: str, verb: str) -> int:
    """Returns how many requests were answered with 201."""
    text = made.kubectl("get", "--raw", "/metrics")
    found = 0
    for line in text.splitlines():
        named = f'resource="{resource}"' in line and f'verb="{verb}"' in line
        if line.startswith("apiserver_request_total{") and named and 'code="201"' in line:
            found += int(line.rpartition(" ")[2])
    return found


def measure(*words: str) -> list[Row]:
    """Returns the rows of both years."""
    return [year(*one, *words) for one in YEARS]


if __name__ == "__main__":
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", choices=("sqlite", "memory"))
    chosen = parser.parse_args().store
    for row in measure(*(("--store", chosen) if chosen else ())):
        print(row)
