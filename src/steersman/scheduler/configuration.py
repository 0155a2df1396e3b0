"""What a scheduler was told: its profiles and times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from steersman.scheduler import profile
from steersman.scheduler.profile import Profile
from steersman.scheduler.queue import FIRST_BACKOFF_SECONDS, LAST_BACKOFF_SECONDS


class Configuration(msgspec.Struct, frozen=True):
    """KubeSchedulerConfiguration, as far as it means something here."""

    profiles: Mapping[str, Profile] = msgspec.field(
        default_factory=lambda: {profile.DEFAULT_NAME: profile.DEFAULT}
    )
    first_backoff_seconds: float = FIRST_BACKOFF_SECONDS
    last_backoff_seconds: float = LAST_BACKOFF_SECONDS


DEFAULT: Final = Configuration()
