"""Versions that Kubernetes 1.37 no longer serves, of kinds that it does (docs/adr/0019).

What upstream says of them is a fact of its API (zz_generated.prerelease-lifecycle.go): since when
they were deprecated, when they went, and what to use in their stead.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import structs

from steersman.model.kind import Convert, Kind, Version

_API = "io.k8s.api."


class Life(NamedTuple):
    """In which minors of Kubernetes 1 a version was deprecated and was gone, and the apiVersion
    that took its place where upstream names one (with the kind, where it names another)."""

    deprecated: int
    gone: int
    use: str = ""


def removed(
    api_version: str,
    definition: str,
    life: Life,
    to_storage: Convert | None = None,
    from_storage: Convert | None = None,
) -> Version:
    """Returns a removed version of a kind; `definition` is its name without what all begin with,
    or whole. Without conversions it is the stored version under another name."""
    kind = definition.rpartition(".")[2]
    return Version(
        api_version.rpartition("/")[2],
        definition if definition.startswith("io.") else _API + definition,
        to_storage,
        from_storage,
        deprecation=_remark(api_version, kind, life),
        gone=life.gone,
    )


def _remark(api_version: str, kind: str, life: Life) -> str:
    """Returns what upstream tells whoever uses such a version (deprecation.WarningMessage)."""
    text = f"{api_version} {kind} is deprecated in v1.{life.deprecated}+, unavailable in "
    text += f"v1.{life.gone}+"
    if not life.use:
        return text
    return f"{text}; use {life.use if ' ' in life.use else f'{life.use} {kind}'}"


def elsewhere(kind: Kind, group: str, *versions: Version) -> Kind:
    """Returns a kind as another group served it, over the same objects.

    It has no short names and is in no category, so that clients that list everything find each
    object once.
    """
    return structs.replace(
        kind,
        group=group,
        versions=versions,
        former=(),
        view=None,
        stored_with=kind.resource,
        short_names=(),
        categories=(),
    )
