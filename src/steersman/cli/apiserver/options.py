"""All options of the API server together, for the commands that start one."""

from __future__ import annotations

import argparse
from types import ModuleType
from typing import Any, Final

from steersman.cli.apiserver import (
    access,
    admission,
    audit,
    edge,
    encryption,
    flow_control,
    kubernetes_version,
    reloads,
    retention,
)

_GROUPS: Final[tuple[ModuleType, ...]] = (
    access,
    flow_control,
    admission,
    audit,
    edge,
    encryption,
    kubernetes_version,
    retention,
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    for group in _GROUPS:
        group.add_options(parser)


def words(arguments: argparse.Namespace) -> list[str]:
    """Returns the options as they are given on to the server's process."""
    return [word for group in _GROUPS for word in group.words(arguments)]


def check(arguments: argparse.Namespace) -> None:
    """Refuses options that cannot be; raises Failure."""
    for group in _GROUPS:
        group.check(arguments)


def settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns what the options say, by the names that `cluster.server.ServerSettings` has for it;
    raises Failure with one line."""
    return {
        "access": access.settings(arguments),
        "flow": flow_control.settings(arguments),
        "admission": admission.settings(arguments),
        "audit": audit.settings(arguments),
        "edge": edge.settings(arguments),
        "encryption": encryption.settings(arguments),
        "event_seconds": retention.seconds(arguments),
        "minor": kubernetes_version.minor(arguments),
        "reloads": reloads.settings(arguments),
    }
