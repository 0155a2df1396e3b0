"""A law of pod groups: whatever there is, of each group enough pods are bound together, or none."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from simulation.quiet import Quiet, quietly
from simulation.test_simulated_gangs import LABEL, define, group, member
from steersman.node.simulated.behaviour import Behaviour

GROUPS = st.lists(
    st.tuples(st.integers(1, 4), st.lists(st.integers(1, 3), min_size=1, max_size=4)),
    min_size=1,
    max_size=3,
)


@settings(max_examples=12)  # each is a whole control plane
@given(GROUPS, st.integers(1, 3), st.booleans())
def test_enough_pods_of_a_group_are_bound_or_none(groups: Any, nodes: int, slowly: bool) -> None:
    async def scenario(quiet: Quiet) -> None:
        await define(quiet)
        for number, (least, _) in enumerate(groups):
            await group(quiet, f"g{number}", least)
        for number, (_, sizes) in enumerate(groups):
            for at, cpu in enumerate(sizes):
                await member(quiet, f"p{number}-{at}", f"g{number}", str(cpu))
                await quiet.world.sleep(1.0 if slowly else 0.0)
        await quiet.world.sleep(40)
        found = [it.metadata.labels[LABEL] for it in await quiet.pods()]
        free = 4 * nodes - sum(
            int(it.spec.containers[0].resources.requests["cpu"]) for it in await quiet.pods()
        )
        for number, (least, sizes) in enumerate(groups):
            bound = found.count(f"g{number}")
            assert bound == 0 or bound >= least
            if bound == 0 and len(sizes) >= least and nodes == 1:
                assert sum(sorted(sizes)[:least]) > free or max(sizes) > 1  # it would not have fit

    quietly(scenario, nodes=nodes, behaviour=Behaviour(cpu="4", stop_seconds=3.0))
