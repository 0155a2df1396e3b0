"""What this server was told of its audit log; `cli.audit` reads the files of it."""

from __future__ import annotations

from typing import Final

import msgspec

from steersman.api.audit.policy import Policy

# Upstream's defaults (NewAuditOptions)
SIZE_MEGABYTES: Final = 100
BACKUPS: Final = 100
AGE_DAYS: Final = 366


class AuditSettings(msgspec.Struct, frozen=True):
    """Which requests are noted, and where.

    path:   the file, or `-` for standard output
    strict: a request of which nothing can be written is refused (`blocking-strict`)
    """

    policy: Policy
    path: str
    size_megabytes: int = SIZE_MEGABYTES
    backups: int = BACKUPS
    age_days: int = AGE_DAYS
    strict: bool = False
