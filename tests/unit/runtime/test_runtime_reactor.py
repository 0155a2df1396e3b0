"""The shim's loop: children that end together are all heard of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parents[3] / "src"
# In a process of its own: the loop takes SIGCHLD and reaps every child
SCRIPT = """
import os
from steersman.runtime.reactor import Reactor

heard = []

def on_exit(process, status):
    heard.append(process)
    if len(heard) == 1:
        raise OSError("a file was not what it should be")
    reactor.stop()

reactor = Reactor(on_exit)
children = [os.spawnlp(os.P_NOWAIT, "true", "true") for _ in range(2)]
for child in children:
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # both have ended, and are reaped at once
try:
    reactor.run()
except OSError:
    reactor.run()
assert sorted(heard) == sorted(children), (heard, children)
"""


def test_a_failure_over_one_child_does_not_hide_the_end_of_the_next() -> None:
    words = [sys.executable, "-c", SCRIPT]
    subprocess.run(words, env={"PYTHONPATH": str(SOURCE)}, timeout=60, check=True)
