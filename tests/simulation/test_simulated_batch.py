"""Jobs and stateful sets in a storm: counted once, in order, and at rest in the calm."""

from __future__ import annotations

import pytest

from simulation.batch import run
from simulation.storms import in_turn

NORMAL_SECONDS = 15.0  # wall time for seeds in the normal tests; more of them are a command
AT_LEAST = 4


def test_jobs_and_stateful_sets_hold_in_any_storm_and_come_to_rest_in_the_calm() -> None:
    in_turn(run, NORMAL_SECONDS, AT_LEAST)


@pytest.mark.long
def test_many_storms_over_jobs_and_stateful_sets() -> None:
    for seed in range(100_000, 100_300):
        run(seed)
