"""What a server shows of its kinds when it serves an earlier minor of Kubernetes (docs/adr/0020).

Which versions that minor served by default is upstream's fact, written at each version (`since`,
`gone`). Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import structs

from steersman.model import pack, schema
from steersman.model.kind import Kind, Subresource, Version


class Surface:
    """The kinds and versions that clients of a minor see; of 1.37, all."""

    def __init__(self, minor: int) -> None:
        self.minor = minor
        self.is_whole = minor == pack.NUMBER

    def shows(self, version: Version) -> bool:
        """Says whether clients are served a version."""
        return self.is_whole or version.since <= self.minor

    def shows_below(self, subresource: Subresource, version: Version) -> bool:
        """Says whether clients are served a subresource of a version; a status is where there is
        such a field."""
        if self.is_whole or version.shape is not None:
            return True
        if subresource.name == "status":
            return "status" in schema.builtin().definition(version.definition).fields
        return subresource.since <= self.minor

    def kinds(self, kinds: Iterable[Kind]) -> Iterator[Kind]:
        """Yields the kinds that clients see, as they see them."""
        for kind in kinds:
            if self.is_whole:
                yield kind
            elif versions := tuple(version for version in kind.versions if self.shows(version)):
                below = kind.subresources
                yield structs.replace(
                    kind,
                    versions=versions,
                    subresources=tuple(one for one in below if self.shows_below(one, versions[0])),
                )
