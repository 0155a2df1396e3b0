"""Puts further things into a container's document, each in the place of what is there: pure."""

from __future__ import annotations

import os

from steersman.model.kind import Document


def put_device(document: Document, node: Document, access: str) -> None:
    """Shows a device node in the place of another at its path, and lets the container use it as
    `access` says (r, w, m); empty for not at all."""
    linux = document["linux"]
    others = [it for it in linux.get("devices", ()) if it["path"] != node["path"]]
    linux["devices"] = [*others, node]
    rules = linux["resources"].setdefault("devices", [])
    all_allowed = any(it.get("allow") and not it.get("type") for it in rules)
    if node["type"] in ("b", "c") and access and not all_allowed:
        numbers = {name: node[name] for name in ("type", "major", "minor")}
        rules.append({"allow": True, "access": access, **numbers})


def put_mount(document: Document, mount: Document) -> None:
    """Mounts something in the place of what else is mounted there."""
    others = [it for it in document["mounts"] if it["destination"] != mount["destination"]]
    # What lies deeper comes later, so that it is not hidden
    document["mounts"] = sorted([*others, mount], key=lambda it: _depth(it["destination"]))


def _depth(path: str) -> int:
    return os.path.normpath(path).count("/") if path != "/" else 0
