"""Secret: its view and its life in the API."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping

from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.prepare import preparer, without
from steersman.model.kinds.printing import AGE, NAME, count, text
from steersman.model.view import Object


class Secret(Object, frozen=True):
    """core/v1 Secret; data is decoded from base64."""

    data: Mapping[str, bytes] = {}
    type: str = ""
    immutable: bool = False


def _with_strings(new: Document, _old: Document | None) -> Document:
    # stringData is write-only (core/v1 conversion)
    strings = new.get("stringData")
    if strings is None:
        return new
    encoded = {key: b64encode(value.encode()).decode() for key, value in strings.items()}
    document = without(new, "stringData")
    return {**document, "data": {**(new.get("data") or {}), **encoded}} if encoded else document


_COLUMNS = (NAME, text("Type", "type"), Column("Data", count("data")), AGE)

SECRET = Kind(
    group="",
    name="Secret",
    plural="secrets",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.core.v1.Secret"),),
    storage="v1",
    columns=_COLUMNS,
    view=Secret,
    prepare=preparer(_with_strings),
    selectable={"type": lambda secret: secret.get("type", "")},
    complete=True,
)
