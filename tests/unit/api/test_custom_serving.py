"""Custom resources served: from a definition to objects, and back to nothing."""

from __future__ import annotations

from customs import CRDS, WIDGETS, definition, establish, widget
from served import Served, served


@served
async def test_a_definition_is_established_and_its_resource_served(api: Served) -> None:
    await establish(api, definition())
    found = (await api.get(f"{CRDS}/widgets.example.com")).ok()
    conditions = {one["type"]: one["status"] for one in found["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}
    made = (await api.post(WIDGETS, widget("one", size=3))).ok()
    assert made["spec"] == {"size": 3, "colour": "red"}
    assert made["metadata"]["generation"] == 1
    assert (await api.get(WIDGETS)).names == ["one"]
