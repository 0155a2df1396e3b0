"""Histograms and their bounds."""

from __future__ import annotations

from steersman.model.figures import Histogram, exponential


def test_each_bound_is_so_many_times_the_one_before() -> None:
    assert exponential(0.001, 2, 5) == (0.001, 0.002, 0.004, 0.008, 0.016)
    assert exponential(5, 3, 1) == (5,)


def test_a_value_counts_for_the_least_bound_that_it_does_not_pass() -> None:
    found = Histogram((1, 2))
    for value in (0, 1, 1.5, 2, 2.5):
        found.observe(value)
    assert found.counts == [2, 2, 1]
    assert (found.count, found.sum) == (5, 7.0)
