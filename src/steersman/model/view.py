"""The frozen typed forms that parts read: what every object's view has in common.

A view is decoded straight from bytes, names only the fields that somebody reads, and is never
sent back. Lists are tuples, maps are mappings, templates stay raw.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec


class View(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """The base of all typed forms; unknown fields are skipped while decoding."""


class OwnerReference(View, frozen=True):
    """metav1.OwnerReference."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False
    block_owner_deletion: bool = False


class Meta(View, frozen=True):
    """metav1.ObjectMeta without managedFields; times are None where absent."""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    deletion_grace_period_seconds: int | None = None
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()

    @property
    def revision(self) -> int:
        """The resource version as a number; 0 where there is none."""
        return int(self.resource_version or 0)

    @property
    def controller(self) -> OwnerReference | None:
        """The owner that manages this object, None where nobody does."""
        for owner in self.owner_references:
            if owner.controller:
                return owner
        return None


class Object(View, frozen=True):
    """What every view begins with; alone it is the metadata-only form of any kind."""

    api_version: str = ""
    kind: str = ""
    metadata: Meta = Meta()

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return (self.metadata.namespace, self.metadata.name)


def decoder(view: type[Any]) -> msgspec.json.Decoder[Any]:
    """Returns the decoder of a view; a document that does not fit raises ValidationError."""
    return msgspec.json.Decoder(view)
