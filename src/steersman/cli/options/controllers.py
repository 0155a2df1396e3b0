"""The options of the controllers, by upstream's names: read and checked before anything starts."""

from __future__ import annotations

import argparse
from typing import Final

from steersman.cli.failure import Failure
from steersman.controllers import choice
from steersman.controllers.choice import Choice, PodRange

_CONTROLLERS: Final = "--controllers"
_DURATION: Final = "--cluster-signing-duration"
_ALLOCATE: Final = "--allocate-node-cidrs"
_RANGES: Final = "--cluster-cidr"
# Of each IP version: the option for the size of a node's piece, and its default, upstream's
_MASKS: Final = {4: ("--node-cidr-mask-size", 24), 6: ("--node-cidr-mask-size-ipv6", 64)}
_MOST_BITS: Final = 16  # 65,536 pieces of one range, upstream's bound
_NANOS: Final = 1_000_000_000


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    text = (
        "which controllers run: '*' all that are on by default, NAME, -NAME; a list that begins "
        f"with - is written {_CONTROLLERS}=-NAME (default: {choice.DEFAULT})"
    )
    parser.add_argument(_CONTROLLERS, metavar="LIST", default=choice.DEFAULT, help=text)
    text = "the longest life of a certificate that is signed on request (default: 8760h0m0s)"
    parser.add_argument(_DURATION, metavar="DURATION", default="8760h0m0s", help=text)
    text = f"nodes get a piece of {_RANGES} each for their pods (spec.podCIDR)"
    flags = ("true", "false")
    parser.add_argument(
        _ALLOCATE, choices=flags, nargs="?", const="true", default="false", help=text
    )
    text = "the range of the pods of all nodes; of both IP versions with a comma between"
    parser.add_argument(_RANGES, metavar="CIDR", default="", help=text)
    for version, (option, mask) in _MASKS.items():
        text = f"how many bits the mask of a node's piece has, for IPv{version} (default: {mask})"
        parser.add_argument(option, metavar="BITS", type=int, default=mask, help=text)


def words(arguments: argparse.Namespace) -> list[str]:
    """Returns the options as they are given on to the process with the controllers."""
    return [
        f"{_CONTROLLERS}={arguments.controllers}",
        f"{_DURATION}={arguments.cluster_signing_duration}",
        f"{_ALLOCATE}={arguments.allocate_node_cidrs}",
        f"{_RANGES}={arguments.cluster_cidr}",
        *(f"{option}={_mask(arguments, version)}" for version, (option, _) in _MASKS.items()),
    ]


def read(arguments: argparse.Namespace) -> Choice:
    """Returns what was chosen; raises Failure with one line."""
    given = arguments.controllers
    try:
        selection = choice.parse(given)
    except ValueError as error:
        known = ", ".join(choice.KNOWN)
        raise Failure(f"{_CONTROLLERS} {given}: {error}; there are {known}") from None
    return Choice(selection, _seconds(arguments.cluster_signing_duration), _ranges(arguments))


def _seconds(text: str) -> int:
    from steersman.cel.errors import EvaluationError
    from steersman.cel.library.times import parse_duration

    try:
        found = parse_duration(text).nanos // _NANOS
    except EvaluationError:
        raise Failure(f"{_DURATION} {text}: it is no duration, as 8760h or 90m is") from None
    if found <= 0:
        raise Failure(f"{_DURATION} {text}: it must be greater than zero")
    return found


def _ranges(arguments: argparse.Namespace) -> tuple[PodRange, ...]:
    """Returns the ranges that nodes get pieces of; none where they are to get none."""
    if arguments.allocate_node_cidrs == "false":
        return ()
    if not arguments.cluster_cidr:
        raise Failure(f"{_ALLOCATE}: {_RANGES} must say of which range, as 10.244.0.0/16")
    given = arguments.cluster_cidr
    found = [_range(text, arguments) for text in given.split(",")]
    versions = [it.range.count(":") > 0 for it in found]
    if len(set(versions)) != len(found):
        raise Failure(f"{_RANGES} {given}: one range of each IP version at most")
    return tuple(found)


def _range(text: str, arguments: argparse.Namespace) -> PodRange:
    from ipaddress import ip_network

    try:
        network = ip_network(text)
    except ValueError as error:
        raise Failure(f"{_RANGES}: {error}") from None
    option, mask = _MASKS[network.version][0], _mask(arguments, network.version)
    least = network.prefixlen
    most = min(network.max_prefixlen, least + _MOST_BITS)
    if not least <= mask <= most:
        raise Failure(f"{option} {mask}: of {network} it is between {least} and {most}")
    return PodRange(str(network), mask)


def _mask(arguments: argparse.Namespace, version: int) -> int:
    bits: int = getattr(arguments, _MASKS[version][0].removeprefix("--").replace("-", "_"))
    return bits
