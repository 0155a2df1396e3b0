"""Puts devices by their whole names into a container's document."""

from __future__ import annotations

from collections.abc import Iterable

from steersman.model.kind import Document
from steersman.node.cdi.edits import CannotEdit, apply_edits
from steersman.node.cdi.folders import FOLDERS, Unresolvable, read_library


class CannotInject(Exception):
    """Devices cannot be had; the text is containerd's."""


def inject_devices(document: Document, names: Iterable[str]) -> None:
    """Reads what vendors say of devices and does it; raises CannotInject."""
    try:
        apply_edits(document, read_library(FOLDERS).edits(names))
    except (Unresolvable, CannotEdit) as error:
        text = "failed to create containerd container: CDI device injection failed"
        raise CannotInject(f"{text}: {error}") from error
