"""Keeps the table of kinds in docs/conformance.md true.

Run: `PYTHONPATH=src python scripts/conformance.py`.
The table is generated from the registry; everything else in the document is written by people.
A test fails where the two differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from steersman.model import builtin
from steersman.model.kind import Kind

DOCUMENT = Path(__file__).parent.parent / "docs" / "conformance.md"
BEGIN, END = "<!-- kinds: made by scripts/conformance.py -->", "<!-- end of kinds -->"


def state(kind: Kind) -> str:
    """Returns how much of a kind is served."""
    if not kind.stored:
        return "answered, not stored"
    return "complete" if kind.complete else "schema only"


def row(kind: Kind) -> str:
    """Returns the table's row of a kind."""
    versions = ", ".join(version.name for version in kind.versions)
    below = ", ".join(found.name for found in kind.subresources)
    return f"| {kind.group or 'core'} | {kind.name} | {versions} | {state(kind)} | {below} |"


def render(kinds: Iterable[Kind]) -> str:
    """Returns the section between the two marks, without them."""
    found = list(kinds)
    stored = [kind for kind in found if kind.stored]
    complete = sum(kind.complete for kind in stored)
    return "\n".join(
        [
            f"{len(found)} kinds: {complete} of {len(stored)} stored ones are complete, "
            f"{len(found) - len(stored)} are answered and not stored.",
            "",
            "| group | kind | versions | state | subresources |",
            "|---|---|---|---|---|",
            *map(row, found),
        ]
    )


def replace(document: str, section: str) -> str:
    """Returns the document with another section between the marks."""
    head, _, rest = document.partition(BEGIN)
    tail = rest.partition(END)[2]
    return f"{head}{BEGIN}\n{section}\n{END}{tail}"


def main() -> None:
    """Writes the section anew."""
    DOCUMENT.write_text(replace(DOCUMENT.read_text(), render(builtin.all())))


if __name__ == "__main__":
    main()
