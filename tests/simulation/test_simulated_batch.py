"""Jobs and stateful sets in a storm: counted once, in order, and at rest in the calm."""

from __future__ import annotations

import time

import pytest

from simulation.batch import run

NORMAL_SECONDS = 15.0  # wall time for seeds in the normal tests; more of them are a command
AT_LEAST = 4


def test_jobs_and_stateful_sets_hold_in_any_storm_and_come_to_rest_in_the_calm() -> None:
    began = time.monotonic()
    seed = 0
    while seed < AT_LEAST or time.monotonic() < began + NORMAL_SECONDS:
        run(seed)
        seed += 1


@pytest.mark.long
def test_many_storms_over_jobs_and_stateful_sets() -> None:
    for seed in range(100_000, 100_300):
        run(seed)
