"""Rollouts in a storm: bounds hold after every commit, and everything comes to rest."""

from __future__ import annotations

import pytest

from simulation.rollout import run
from simulation.storms import in_turn

NORMAL_SECONDS = 20.0  # wall time for seeds in the normal tests; 10,000 seeds are a command
AT_LEAST = 10


def test_rollouts_keep_their_bounds_in_any_storm_and_come_to_rest_in_the_calm() -> None:
    in_turn(run, NORMAL_SECONDS, AT_LEAST)


def test_a_node_whose_lease_is_lost_and_whose_pods_report_ends_in_peace() -> None:
    run(40427)  # node and node controller once contradicted each other for ever


@pytest.mark.parametrize("seed", [40686, 41056])
def test_a_deployment_that_is_made_smaller_while_it_rolls_shrinks_in_proportion(seed: int) -> None:
    run(seed)


def test_one_seed_is_one_run() -> None:
    assert run(7) == run(7)


@pytest.mark.long
def test_many_rollouts_keep_their_bounds() -> None:
    for seed in range(100_000, 101_000):
        run(seed)
