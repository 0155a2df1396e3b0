"""What time it is in a cluster: its own where that is virtual, else the machine's."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from steersman.client.interface import Transport

PATH: Final = "/steersman.dev/clock"


async def cluster_time(transport: Transport) -> float:
    """Returns cluster time in seconds since 1970; a cluster that does not tell has the machine's.
    Raises Unreachable."""
    from steersman.client.client import whole
    from steersman.wire.message import Request

    response = await transport.send(Request("GET", PATH))
    body = await whole(response)
    if response.status != 200:
        return time.time()
    return datetime.fromisoformat(json.loads(body)["now"]).timestamp()
