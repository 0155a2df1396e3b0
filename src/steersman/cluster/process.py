"""What every process of a cluster does alike: it reports, settles, and stops at a signal."""

from __future__ import annotations

import asyncio
import gc
import signal
import ssl
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

from steersman.listen.certificates import Certificates

# Generation thresholds once a process is up: what is allocated per request is freed by counting,
# and a full collection over a large heap would stop every request for its time
GC_THRESHOLDS = (50_000, 50, 1_000)

Report = Callable[[dict[str, Any]], None]


def loaded() -> None:
    """Takes the code, which stays, out of the collector's sight, so that `settle` takes less."""
    gc.freeze()


def settle() -> None:
    """Takes what start-up made out of the collector's sight."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def reload_on_hangup(files: Certificates, *shown: tuple[str, ssl.SSLContext]) -> None:
    """Loads renewed certificates, by name, for connections to come when SIGHUP says that they are
    there; those that are open go on."""

    def load() -> None:
        for name, context in shown:
            context.load_cert_chain(files.certificate(name), files.key(name))

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, load)


def stop_signal() -> asyncio.Event:
    """Returns an event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def first_address(cidr: str) -> str:
    """Returns the first address of a range: the `kubernetes` Service's, or the bridge's."""
    return str(ip_network(cidr)[1])
