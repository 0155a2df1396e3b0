"""Durations as people write them."""

from __future__ import annotations

import pytest

from steersman.model.duration import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3d", 259200),
        ("1d12h", 129600),
        ("1h30m", 5400),
        ("90s", 90),
        ("1.5h", 5400),
        ("5ms", 5e-3),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "3", "d", "3x", "-3d", "3 d", "1h30", "1e9d", "٣d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration: it is written as in 3d, 12h30m or 90s"):
        parse_duration(text)
