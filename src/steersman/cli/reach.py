"""How commands reach a cluster with the rights of their user, from wherever kubectl does."""

from __future__ import annotations

import argparse
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from steersman.cli.failure import Failure
from steersman.cli.up import KUBECONFIG

if TYPE_CHECKING:
    from steersman.client.http import HTTPTransport


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds which cluster is meant, and how what it answers is printed."""
    parser.add_argument("--kubeconfig", type=Path, help="default: $KUBECONFIG, or steer up's")
    parser.add_argument("--context", default="", help="default: the current one")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")


@asynccontextmanager
async def cluster(arguments: argparse.Namespace) -> AsyncIterator[HTTPTransport]:
    """Yields the way to the cluster that is meant; what it refuses, and that it cannot be reached,
    is a Failure."""
    from steersman.client import kubeconfig
    from steersman.client.errors import Unreachable
    from steersman.client.http import HTTPTransport
    from steersman.model.errors import APIError

    path = arguments.kubeconfig or Path(os.environ.get("KUBECONFIG", str(KUBECONFIG)))
    try:
        transport = HTTPTransport(kubeconfig.read(path.expanduser(), arguments.context))
        try:
            yield transport
        finally:
            await transport.close()
    except (kubeconfig.BadKubeconfig, Unreachable) as error:
        raise Failure(str(error)) from error
    except APIError as error:
        raise Failure(error.message) from error
