"""What this server was told of its audit log; `cli.apiserver.audit` reads the files of it."""

from __future__ import annotations

from typing import Final

import msgspec

from steersman.api.audit.policy import Policy
from steersman.client.http import Target

# Upstream's defaults (NewAuditOptions)
SIZE_MEGABYTES: Final = 100
BACKUPS: Final = 100
AGE_DAYS: Final = 366
MEBIBYTE: Final = 1024 * 1024


class Batching(msgspec.Struct, frozen=True):
    """How events are gathered; what comes while the buffer is full is lost, and counted.

    buffer:       events that wait at most
    size:         events that are handed on together at most
    wait_seconds: how long fewer are waited with
    rate, burst:  batches a second on average and at once; a rate of 0: as they come
    """

    buffer: int = 10_000
    size: int = 1
    wait_seconds: float = 0.0
    rate: float = 0.0
    burst: int = 0


class Truncation(msgspec.Struct, frozen=True):
    """The most bytes of one event, and of events that are handed on together."""

    event_bytes: int = 100 * 1024
    batch_bytes: int = 10 * MEBIBYTE


class WebhookSettings(msgspec.Struct, frozen=True):
    """Where events are sent, and how: an attempt that fails is repeated after a while that grows
    from `backoff_seconds`."""

    target: Target
    batching: Batching = Batching(size=400, wait_seconds=30.0, rate=10.0, burst=15)
    truncation: Truncation | None = None
    backoff_seconds: float = 10.0


class AuditSettings(msgspec.Struct, frozen=True):
    """Which requests are noted, and where.

    path:       the file, `-` for standard output, empty for none
    strict:     a request of which nothing can be written is refused (`blocking-strict`)
    batching:   how events wait for being written; None: each is written before its request goes on
    truncation: of what is written to the file; None: none
    """

    policy: Policy
    path: str = ""
    size_megabytes: int = SIZE_MEGABYTES
    backups: int = BACKUPS
    age_days: int = AGE_DAYS
    strict: bool = False
    batching: Batching | None = None
    truncation: Truncation | None = None
    webhook: WebhookSettings | None = None
