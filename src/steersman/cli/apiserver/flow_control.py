"""The options that say how many requests are served at once; by upstream's names."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from steersman.cli.failure import Failure

if TYPE_CHECKING:  # loaded with the server
    from steersman.api.fairness.settings import FlowSettings

READS: Final = "--max-requests-inflight"
WRITES: Final = "--max-mutating-requests-inflight"
FAIR: Final = "--enable-priority-and-fairness"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    text = "requests at once, together with those that change something (default: 400)"
    parser.add_argument(READS, type=int, metavar="N", help=text)
    text = "requests at once that change something (default: 200)"
    parser.add_argument(WRITES, type=int, metavar="N", help=text)
    text = "false: the two limits each by itself, without queues"
    parser.add_argument(FAIR, choices=("true", "false"), nargs="?", const="true", help=text)


def words(arguments: argparse.Namespace) -> list[str]:
    """Returns the options as they are given on to the server's process."""
    given = (
        (READS, arguments.max_requests_inflight),
        (WRITES, arguments.max_mutating_requests_inflight),
        (FAIR, arguments.enable_priority_and_fairness),
    )
    return [f"{name}={value}" for name, value in given if value is not None]


def check(arguments: argparse.Namespace) -> None:
    """Refuses options that cannot be."""
    if words(arguments):
        settings(arguments)


def settings(arguments: argparse.Namespace) -> FlowSettings:
    """Returns what the options say; raises Failure with upstream's words."""
    from steersman.api.fairness.settings import FlowSettings

    reads, writes = arguments.max_requests_inflight, arguments.max_mutating_requests_inflight
    reads = FlowSettings().reads if reads is None else reads
    writes = FlowSettings().writes if writes is None else writes
    for name, value in ((READS, reads), (WRITES, writes)):
        if value < 0:
            raise Failure(f"{name} can not be negative value")
    fair = arguments.enable_priority_and_fairness != "false"
    if fair and not reads + writes:
        raise Failure(
            f"invalid configuration: MaxRequestsInFlight={reads} and MaxMutatingRequestsInFlight="
            f"{writes}; they must add up to something positive"
        )
    return FlowSettings(reads, writes, fair)
