"""What can be chosen of the server's edge; checked where it is read (`cli.apiserver.edge`)."""

from __future__ import annotations

from typing import Final

import msgspec

# As long as upstream gives a request (--request-timeout)
REQUEST_SECONDS: Final = 60.0


class EdgeSettings(msgspec.Struct, frozen=True):
    """How long a request may take that does not go on as long as its client likes; which origins
    (regular expressions) browsers may ask from; what they are told of transport security."""

    request_seconds: float = REQUEST_SECONDS
    origins: tuple[str, ...] = ()
    transport_security: tuple[str, ...] = ()
