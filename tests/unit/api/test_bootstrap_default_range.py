"""The range of Services that a server was told is ready, where nothing says otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.api.bootstrap.default_range import document, render_ready
from steersman.model.kind import Document

CIDR, NOW = "10.0.0.0/16", "2026-01-01T00:00:00Z"
READY = {
    "type": "Ready",
    "status": "True",
    "reason": "",
    "message": "Kubernetes default Service CIDR is ready",
    "lastTransitionTime": NOW,
}
OTHER = {"type": "Other", "status": "True"}


def present(*conditions: Document, **meta: Any) -> Document:
    made = document(CIDR)
    return {**made, "metadata": {**made["metadata"], **meta}, "status": {"conditions": conditions}}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], [READY]),
        ([OTHER], [OTHER, READY]),
        ([{"type": "Ready", "status": "Unknown"}, OTHER], [OTHER, READY]),
    ],
)
def test_a_range_of_which_nothing_is_said_is_ready(
    before: list[Document], after: list[Document]
) -> None:
    found = render_ready(present(*before), CIDR, NOW)
    assert found is not None
    assert found["status"]["conditions"] == after
    assert found["metadata"]["name"] == "kubernetes"


def test_a_range_of_which_something_is_said_is_left_as_it_is() -> None:
    for status in ("True", "False"):
        said = {"type": "Ready", "status": status}
        assert render_ready(present(OTHER, said), CIDR, NOW) is None


def test_a_range_of_others_or_one_that_goes_is_left_as_it_is() -> None:
    assert render_ready(present(), "10.1.0.0/16", NOW) is None
    assert render_ready(present(deletionTimestamp=NOW), CIDR, NOW) is None
