"""Packs the published Kubernetes schemas into two small files, and reads these back.

Standard library only: the build hook runs this module before anything is installed. A packed file
holds a header line and compressed sections, so that a server pays for what it needs alone: the
shapes of 1.37 at its start, descriptions when a client asks for documents, and the second file, of
earlier versions, when somebody uses one.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

MINOR = "1.37"
NUMBER = 37
PACKAGE_VERSION = "1.37.0"
REQUIREMENT = f"kubernetes-validate=={PACKAGE_VERSION}"
SHA256 = "85136d018a27b50ec7fc049d902bfa5193f5976807e6c0f408e3ab6fe078cad9"
FORMAT = 1
PIN = f"{REQUIREMENT} sha256:{SHA256} format:{FORMAT}"
FILE_NAME = f"kubernetes-{MINOR}.schema"


class Origin(NamedTuple):
    """A wheel by requirement and hash."""

    requirement: str
    sha256: str


PUBLISHED = Origin(REQUIREMENT, SHA256)
# The last release with the schemas of 1.21 to 1.24, which had nearly all that was removed since
FORMER = Origin(
    "kubernetes-validate==1.28.3",
    "916b8539c570958ca4742a09d42c9a29b7b89bfb3a04972a40abfa63f797b850",
)
# The minors that are read for what later ones no longer have, by the wheel that holds them
PUBLISHED_MINORS = tuple(range(36, 24, -1))
FORMER_MINORS = tuple(range(24, 20, -1))
EARLIER_FORMAT = 3
EARLIER_PIN = (
    f"{REQUIREMENT} sha256:{SHA256} {FORMER.requirement} sha256:{FORMER.sha256} "
    f"format:{EARLIER_FORMAT}"
)
EARLIER_FILE = "kubernetes-earlier.schema"
# Sections of the file of earlier versions
REMOVED, REMOVED_TEXTS, MINORS = 0, 1, 2
# The first minor that can be served in place of 1.37
FIRST_NUMBER = 30


class Renamed(NamedTuple):
    """A version that went with 1.16, before any minor that the wheels hold: its definitions are
    those of the version that took its place, under names of their own. `unselective` says that a
    selector need not be given."""

    package: str
    group: str
    version: str
    of: str
    kinds: tuple[str, ...]
    unselective: bool = False

    def name(self, definition: str) -> str:
        """Returns the name of a definition, renamed where it belongs to the old version."""
        rest = definition.removeprefix(self.of)
        return definition if rest == definition else self.package + rest


_APPS = "io.k8s.api.apps.v1."
_EXTENSIONS = ("io.k8s.api.extensions.v1beta1.", "extensions", "v1beta1")
RENAMED = (
    Renamed(
        "io.k8s.api.apps.v1beta1.", "apps", "v1beta1", _APPS, ("Deployment", "StatefulSet"), True
    ),
    Renamed(
        "io.k8s.api.apps.v1beta2.",
        "apps",
        "v1beta2",
        _APPS,
        ("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"),
    ),
    Renamed(*_EXTENSIONS, _APPS, ("DaemonSet", "Deployment", "ReplicaSet"), True),
    Renamed(*_EXTENSIONS, "io.k8s.api.networking.v1.", ("NetworkPolicy",)),
)

_REFS = ("#/$defs/", "#/definitions/")
_BETAS = ("v1beta", "v2beta")


def write(definitions: bytes, target: Path) -> None:
    """Packs the publisher's definitions document into `target`."""
    _write(target, PIN, *pack(_definitions(definitions)))


def member(minor: int) -> str:
    """Returns where a wheel holds the definitions of a minor."""
    return f"kubernetes_validate/kubernetes-json-schema/v1.{minor}.0-local/_definitions.json"


def write_earlier(definitions: bytes, earlier: Iterable[bytes], target: Path) -> None:
    """Packs into `target` the beta versions that `definitions` no longer has, each as the last of
    the `earlier` documents (those of 1.36, 1.35 and so on) that has it; and how the earlier minors
    that can be served differ."""
    present = _definitions(definitions)
    now, _texts = pack(present)
    removed, texts = _renamed(present)
    minors: dict[str, Any] = {}
    for minor, document in zip(range(NUMBER - 1, 0, -1), earlier, strict=False):
        found = _definitions(document)
        if minor >= FIRST_NUMBER:
            minors[str(minor)] = difference(now, pack(found)[0])
        gone = [name for name in found if _is_beta(name) and name not in present]
        shapes, told = pack({name: found[name] for name in gone if name not in removed})
        removed |= shapes
        texts |= told
    _write(target, EARLIER_PIN, removed, texts, minors)


def difference(now: dict[str, Any], then: dict[str, Any]) -> dict[str, Any]:
    """Returns how the definitions of an earlier minor differ: those that it has not, and those that
    it has otherwise."""
    return {
        "without": [name for name in now if name not in then],
        "otherwise": {name: shape for name, shape in then.items() if now.get(name) != shape},
    }


def apply_difference(now: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Returns the definitions of an earlier minor."""
    without = set(found["without"])
    kept = {name: shape for name, shape in now.items() if name not in without}
    return {**kept, **found["otherwise"]}


def _renamed(present: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the definitions of the versions that went with 1.16, and their descriptions."""
    shapes, texts = pack(present)
    renamed: dict[str, Any] = {}
    told: dict[str, Any] = {}
    for one in RENAMED:
        waiting = [f"{one.of}{kind}{suffix}" for kind in one.kinds for suffix in ("", "List")]
        while waiting:
            name = waiting.pop()
            if name.startswith(one.of) and one.name(name) not in renamed:
                renamed[one.name(name)] = _old_shape(one, shapes[name], waiting)
                told[one.name(name)] = texts[name]
    return renamed, told


def _old_shape(one: Renamed, shape: dict[str, Any], met: list[str]) -> dict[str, Any]:
    """Returns a shape under its old name; to what it refers is added to `met`."""
    made: dict[str, Any] = {}
    for key, value in shape.items():
        if key == "$ref":
            met.append(value)
            made[key] = one.name(value)
        elif key == "properties":
            made[key] = {name: _old_shape(one, child, met) for name, child in value.items()}
        elif isinstance(value, dict):
            made[key] = _old_shape(one, value, met)
        elif key == "x-kubernetes-group-version-kind":
            made[key] = [{**of, "group": one.group, "version": one.version} for of in value]
        elif key == "required" and one.unselective:
            made[key] = [name for name in value if name != "selector"]
        else:
            made[key] = value
    return made


def _definitions(document: bytes) -> dict[str, Any]:
    """Returns a document's definitions; the place depends on the draft of JSON Schema."""
    found = json.loads(document)
    definitions: dict[str, Any] = found.get("$defs") or found["definitions"]
    return definitions


def _is_beta(name: str) -> bool:
    return name.split(".")[-2].startswith(_BETAS)


def _write(target: Path, pin: str, *values: Any) -> None:
    sections = [_compress(value) for value in values]
    header = {"pin": pin, "sections": [len(section) for section in sections]}
    partial = target.with_suffix(".partial")
    partial.write_bytes(json.dumps(header).encode() + b"\n" + b"".join(sections))
    partial.replace(target)


def pin_of(path: Path) -> str:
    """Returns the pin a packed file was made for, without reading its sections."""
    with path.open("rb") as file:
        return str(json.loads(file.readline())["pin"])


def read(path: Path, section: int) -> Any:
    """Reads one section of a file; of that of 1.37: 0 the shapes, 1 the descriptions."""
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
            shape["$ref"] = value.removeprefix(_REFS[0]).removeprefix(_REFS[1])
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
