"""Where the DNS server listens; apart from it, since the API server names it without serving it."""

from __future__ import annotations

# On the bridge; the Service leads port 53 there. Not 53 itself, which a nameserver of the
# machine's may have taken on every address.
PORT = 10053
