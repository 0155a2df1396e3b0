"""Packs the published Kubernetes schema into one small file, and reads that file back.

Standard library only: the build hook runs this module before anything is installed. The packed
file holds a header line and two compressed sections, so that a server pays for the descriptions
only when a client asks for documents.
"""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

MINOR = "1.37"
PACKAGE_VERSION = "1.37.0"
REQUIREMENT = f"kubernetes-validate=={PACKAGE_VERSION}"
SHA256 = "85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9"
MEMBER = f"kubernetes_validate/kubernetes-json-schema/v{PACKAGE_VERSION}-local/_definitions.json"
FORMAT = 1
PIN = f"{REQUIREMENT} sha256:{SHA256} format:{FORMAT}"
FILE_NAME = f"kubernetes-{MINOR}.schema"

_REF = "#/$defs/"


def write(definitions: bytes, target: Path) -> None:
    """Packs the publisher's definitions document into `target`."""
    shapes, texts = pack(json.loads(definitions)["$defs"])
    sections = [_compress(shapes), _compress(texts)]
    header = {"pin": PIN, "sections": [len(section) for section in sections]}
    partial = target.with_suffix(".partial")
    partial.write_bytes(json.dumps(header).encode() + b"\n" + b"".join(sections))
    partial.replace(target)


def pin_of(path: Path) -> str:
    """Returns the pin a packed file was made for, without reading its sections."""
    with path.open("rb") as file:
        return str(json.loads(file.readline())["pin"])


def read(path: Path, section: int) -> Any:
    """Reads one section: 0 the shapes, 1 the descriptions."""
    with path.open("rb") as file:
        lengths = json.loads(file.readline())["sections"]
        file.seek(sum(lengths[:section]), 1)
        return json.loads(lzma.decompress(file.read(lengths[section])))


def pack(definitions: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Splits definitions into shapes and descriptions, keyed alike.

    The `null` that the publisher adds to optional fields is taken back.
    """
    shapes: dict[str, Any] = {}
    texts: dict[str, Any] = {}
    for name, definition in definitions.items():
        shapes[name] = _shape(definition)
        texts[name] = _texts(definition)
    return shapes, texts


def _shape(node: dict[str, Any]) -> dict[str, Any]:
    shape: dict[str, Any] = {}
    for key, value in node.items():
        if key in ("description", "enum", "$schema"):
            continue
        if key == "$ref":
            shape["$ref"] = value.removeprefix(_REF)
        elif key == "properties":
            shape[key] = {name: _shape(child) for name, child in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            shape[key] = _shape(value)
        elif key == "type":
            shape[key] = _type(value)
        elif key == "oneOf":
            shape[key] = [_type(choice.get("type")) for choice in value]
        else:
            shape[key] = value
    return shape


def _type(value: Any) -> Any:
    if not isinstance(value, list):
        return value
    kept = [name for name in value if name != "null"]
    return kept[0] if len(kept) == 1 else kept


def _texts(definition: dict[str, Any]) -> dict[str, Any]:
    fields = definition.get("properties") or {}
    return {
        "": definition.get("description", ""),
        **{name: child.get("description", "") for name, child in fields.items()},
    }


def _compress(value: Any) -> bytes:
    text = json.dumps(value, separators=(",", ":"), sort_keys=False).encode()
    return lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)
