"""Ports for the servers that tests start: nobody listens there, and nobody else is given them.

Below the kernel's own choice (net.ipv4.ip_local_port_range), so that no connection of another
test takes one between the choice and the server's start; each is held until this process ends.
"""

from __future__ import annotations

import random
import socket

# Above what services of a machine use, below NodePorts (30000) and the kernel's own (32768)
PORTS = range(20_000, 30_000)


def free_port() -> int:
    """Returns a port of the loopback that nobody listens on and no other test is given."""
    for port in random.sample(PORTS, len(PORTS)):
        # The UDP port of the same number says to other processes that it is taken
        mark = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            mark.bind(("127.0.0.1", port))
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
            continue
        mark.detach()
        return port
    raise AssertionError("no port is free")
