"""The build cache: what a step made, by a digest of all that it depends on.

One rule: a record is only a hint; it counts when its layer is still in the store. Synchronous.
"""

import json
import tempfile
from pathlib import Path

import msgspec

from steersman.images.documents import Descriptor, digest_of
from steersman.images.errors import Corrupt
from steersman.images.store import Store


class Step(msgspec.Struct, frozen=True):
    """What one instruction adds: a time, and a layer unless it only changes the configuration."""

    created: str
    layer: Descriptor | None = None
    diff_id: str = ""


def key(*parts: object) -> str:
    """The digest of everything that a step depends on, as hex digits."""
    return digest_of(json.dumps(parts, sort_keys=True).encode()).removeprefix("sha256:")


def look_up(store: Store, name: str) -> Step | None:
    """The step of this key, or nothing."""
    try:
        step = msgspec.json.decode((store.cache / name).read_bytes(), type=Step)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise Corrupt(f"the build cache is damaged ({store.cache / name}): {error}") from None
    return step if step.layer is None or store.blobs.has(step.layer.digest) else None


def keep(store: Store, name: str, step: Step) -> None:
    """Remembers a step."""
    with tempfile.NamedTemporaryFile(dir=store.staging, delete=False) as file:
        file.write(msgspec.json.encode(step))
    Path(file.name).rename(store.cache / name)
