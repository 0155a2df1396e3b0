"""What a scheduler is told: its profiles and times. `configuration_file` reads it from files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from steersman.scheduler.profile import DEFAULT as DEFAULT_PROFILE
from steersman.scheduler.profile import DEFAULT_NAME, Profile
from steersman.scheduler.queue import FIRST_BACKOFF_SECONDS, LAST_BACKOFF_SECONDS

if TYPE_CHECKING:  # loaded where a file has extenders
    from steersman.scheduler.extenders.settings import Settings as ExtenderSettings


class SchedulerConfiguration(msgspec.Struct, frozen=True):
    """What a scheduler was told."""

    profiles: Mapping[str, Profile] = msgspec.field(
        default_factory=lambda: {DEFAULT_NAME: DEFAULT_PROFILE}
    )
    first_backoff_seconds: float = FIRST_BACKOFF_SECONDS
    last_backoff_seconds: float = LAST_BACKOFF_SECONDS
    extenders: tuple[ExtenderSettings, ...] = ()


DEFAULT: Final = SchedulerConfiguration()
