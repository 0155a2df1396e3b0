"""Machines with a bridge, with bridged packets passing the rules (br_netfilter) and without; and a
cluster for each module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from network_machine import Machine, Run, on_a_machine
from node_cluster import Cluster, clusters

BRIDGED = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")


@pytest.fixture(params=["with br_netfilter", "without br_netfilter"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a test on a machine with a bridge."""
    bridged = request.param == "with br_netfilter"
    if bridged and not BRIDGED.exists():
        pytest.skip("this kernel has no br_netfilter loaded")

    def run_test(test: Callable[[Machine], None]) -> None:
        def prepared(machine: Machine) -> None:
            if BRIDGED.exists():
                BRIDGED.write_text("1" if bridged else "0")
            machine.set_up()
            test(machine)

        on_a_machine(prepared)

    return run_test


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster with a real node."""
    with clusters() as found:
        yield found
