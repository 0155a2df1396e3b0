"""What a scheduler was told: its profiles and times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from steersman.scheduler import profile
from steersman.scheduler.profile import Profile
from steersman.scheduler.queue import FIRST_BACKOFF_SECONDS, LAST_BACKOFF_SECONDS


@dataclass(frozen=True, slots=True)
class Configuration:
    """KubeSchedulerConfiguration, as far as it means something here."""

    profiles: Mapping[str, Profile] = field(
        default_factory=lambda: {profile.DEFAULT_NAME: profile.DEFAULT}
    )
    first_backoff_seconds: float = FIRST_BACKOFF_SECONDS
    last_backoff_seconds: float = LAST_BACKOFF_SECONDS


DEFAULT: Final = Configuration()
