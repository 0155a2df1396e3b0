"""The build cache: what a step made, by a digest of all that it depends on.

One rule: a record is only a hint; it counts when its layer is still in the store. Synchronous.
"""

import json
import tempfile
from pathlib import Path

from steersman.images.documents import Step, digest_of, parse, render
from steersman.images.store import Store


def key(*parts: object) -> str:
    """The digest of everything that a step depends on, as hex digits."""
    return digest_of(json.dumps(parts, sort_keys=True).encode()).removeprefix("sha256:")


def look_up(store: Store, name: str) -> Step | None:
    """The step of this key, or nothing."""
    try:
        step = parse((store.cache / name).read_bytes(), Step)
    except FileNotFoundError:
        return None
    return step if step.layer is None or store.blobs.has(step.layer.digest) else None


def keep(store: Store, name: str, step: Step) -> None:
    """Remembers a step."""
    with tempfile.NamedTemporaryFile(dir=store.staging, delete=False) as file:
        file.write(render(step))
    Path(file.name).rename(store.cache / name)
