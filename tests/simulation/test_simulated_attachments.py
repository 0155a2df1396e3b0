"""Volumes for one node in a storm: never on two, never taken from a node that has them mounted."""

from __future__ import annotations

import pytest

from simulation.attachments import run
from simulation.storms import in_turn

NORMAL_SECONDS = 5.0  # wall time for seeds in the normal tests; more of them are a command
AT_LEAST = 10


def test_volumes_are_safe_in_any_storm_and_where_they_are_needed_in_the_calm() -> None:
    in_turn(run, NORMAL_SECONDS, AT_LEAST)


@pytest.mark.long
def test_many_storms_over_attachments() -> None:
    for seed in range(100_000, 100_300):
        run(seed)
