"""Times as documents hold them: whole seconds and microseconds, in UTC."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from steersman.model.times import rfc3339, rfc3339_micro, seconds, seconds_of

MOMENT = datetime(2026, 3, 4, 5, 6, 7, 890, UTC)


@pytest.mark.parametrize(
    "moment, whole, micro",
    [
        (MOMENT, "2026-03-04T05:06:07Z", "2026-03-04T05:06:07.000890Z"),
        (MOMENT.replace(microsecond=0), "2026-03-04T05:06:07Z", "2026-03-04T05:06:07.000000Z"),
        (datetime(1970, 1, 1, tzinfo=UTC), "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z"),
    ],
)
def test_a_moment_is_written_in_utc_with_all_its_digits(
    moment: datetime, whole: str, micro: str
) -> None:
    assert rfc3339(moment.timestamp()) == whole
    assert rfc3339_micro(moment.timestamp()) == micro
    assert seconds(datetime.fromisoformat(micro)) == moment.timestamp()
    assert seconds_of(micro) == moment.timestamp()
