"""Runs many seeds: `PYTHONPATH=src:tests python -m tests.simulation --seeds 10000 [--from N]
[--of rollout|batch|volumes|attachments]`. Without `--of` they take the scenarios in turn.

Prints the seeds that fail, and how to run one of them again; exits with 1 when there are any.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from functools import partial
from multiprocessing import Pool

from . import attachments, batch, rollout, volumes

SCENARIOS = {
    "rollout": rollout.run,
    "batch": batch.run,
    "volumes": volumes.run,
    "attachments": attachments.run,
}


def attempt(of: str, seed: int) -> tuple[int, str]:
    """Runs one seed of a scenario and returns what was wrong, empty where nothing was."""
    try:
        SCENARIOS[of](seed)
    except BaseException:  # noqa: BLE001 - whatever it is, it is what this seed found
        return seed, f"of {of}:\n{traceback.format_exc()}"
    return seed, ""


def in_turn(seed: int) -> tuple[int, str]:
    """Runs one seed of the scenario whose turn it is."""
    return attempt(tuple(SCENARIOS)[seed % len(SCENARIOS)], seed)


def main() -> int:
    """Reads the command line and runs the seeds."""
    parser = argparse.ArgumentParser(prog="tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first one")
    parser.add_argument("--of", choices=tuple(SCENARIOS), help="one scenario alone")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    run = partial(attempt, arguments.of) if arguments.of else in_turn
    failed = 0
    with Pool(arguments.processes) as pool:
        for seed, wrong in pool.imap_unordered(run, seeds):
            if wrong:
                failed += 1
                print(f"seed {seed} {wrong}\n", flush=True)
    print(f"{len(seeds)} seeds, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
