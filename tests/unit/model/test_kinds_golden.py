"""All declarations of all kinds, read as one transcript: `tests/golden/kinds.txt`.

After a wanted change run this file (`PYTHONPATH=src python tests/unit/model/test_kinds_golden.py`)
and read the difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from steersman.model import builtin, defaults
from steersman.model.kind import Kind

GOLDEN = Path(__file__).parents[2] / "golden" / "kinds.txt"


def render() -> Iterator[str]:
    registry = builtin.Registry(unstable=True, removed=True)
    for kind in registry.all():
        yield from render_kind(kind)
    yield ""
    yield "defaults"
    for definition, found in sorted(defaults.definitions().items()):
        then = found.then.__qualname__ if found.then else "-"
        zero, unset = (msgspec.json.encode(part).decode() for part in (found.zero, found.unset))
        yield f"  {definition} zero={zero} unset={unset} then={then}"


def render_kind(kind: Kind) -> Iterator[str]:
    yield ""
    scope = "namespaced" if kind.namespaced else "cluster"
    flags = ("complete", "stored", "create_on_update", "returns_deleted")
    set_flags = [name for name in flags if getattr(kind, name, False)]
    yield f"{kind.resource} {kind.name} {scope} {' '.join(set_flags)}"
    for version in kind.versions:
        converted = " converted" if version.to_storage and version.from_storage else ""
        yield f"  version {version.name} {version.definition}{converted} {version.deprecation}"
    yield f"  storage {kind.storage} with {kind.stored_with}"
    yield f"  names {kind.short_names} {kind.categories} verbs {','.join(kind.verbs)}"
    raised = (*kind.spec_fields, *(f"metadata.{name}" for name in kind.spec_metadata))
    yield f"  selectable {','.join(kind.selectable)} generation {','.join(raised)}"
    for sub in kind.subresources:
        writes = " ".join(".".join(path) for path in sub.writes)
        yield f"  /{sub.name} {','.join(sub.verbs)} writes [{writes}] {sub.document}"
    for column in kind.columns:
        yield f"  | {column.name} {column.type} {column.format} {column.priority}"
    if kind.view is not None:
        shown = repr(msgspec.json.decode(b"{}", type=kind.view))
        yield f"  view {re.sub(' object at 0x[0-9a-f]+', '', shown)}"


def test_the_declarations_of_all_kinds_are_as_written_down() -> None:
    assert list(render()) == GOLDEN.read_text().splitlines()


if __name__ == "__main__":
    GOLDEN.write_text("\n".join(render()) + "\n")
