"""ObjectMeta: what is checked of every object (apimachinery/pkg/api/validation/objectmeta.go).

Name, namespace, uid and times need no check on updates: the pipeline carries them over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from steersman.model import names
from steersman.model.causes import each, forbidden, invalid, required, too_long
from steersman.model.errors import Cause
from steersman.model.kind import Document

NameCheck = Callable[[str], list[str]]

# the sum of all keys and values
_MOST_ANNOTATION_BYTES: Final = 256 * 1024
_FINALIZERS_OF_DELETION: Final = ("orphan", "foregroundDeletion")
# finalizers without a domain in front (pkg/apis/core/helper, standardFinalizers)
STANDARD_FINALIZERS: Final = ("kubernetes", *_FINALIZERS_OF_DELETION)
NOT_STANDARD: Final = "name is neither a standard finalizer name nor is it fully qualified"


def check_metadata(
    new: Document,
    old: Document | None,
    *,
    namespaced: bool = True,
    name: NameCheck = names.dns1123_subdomain,
    any_finalizer: bool = False,
) -> Iterator[Cause]:
    """Yields what is wrong with the metadata of a new or changed object.

    any_finalizer: a finalizer needs no domain, as with kinds whose checks upstream does not take
                   from pkg/apis/core/validation (custom resources and some of its own)
    """
    metadata = new.get("metadata") or {}
    if old is None:
        yield from _check_names(metadata, namespaced, name)
    else:
        yield from _check_new_finalizers(metadata, old.get("metadata") or {})
    yield from check_labels(metadata.get("labels"), "metadata.labels")
    yield from check_annotations(metadata.get("annotations"), "metadata.annotations")
    if owners := metadata.get("ownerReferences"):
        yield from _check_owners(owners)
    if finalizers := metadata.get("finalizers"):
        yield from _check_finalizers(finalizers)
        if not any_finalizer:
            yield from _check_standard(finalizers)


def _check_names(metadata: Document, namespaced: bool, check: NameCheck) -> Iterator[Cause]:
    if prefix := metadata.get("generateName"):
        problems = check(names.without_trailing_dash(prefix))
        yield from each("metadata.generateName", prefix, problems)
    name = metadata.get("name")
    if not name:
        yield required("metadata.name", "name or generateName is required")
    else:
        yield from each("metadata.name", name, check(name))
    namespace = metadata.get("namespace")
    if not namespaced:
        if namespace:
            yield forbidden("metadata.namespace", "not allowed on this type")
    elif not namespace:
        yield required("metadata.namespace")
    else:
        yield from each("metadata.namespace", namespace, names.dns1123_label(namespace))


def _check_new_finalizers(new: Document, old: Document) -> Iterator[Cause]:
    if not old.get("deletionTimestamp"):
        return
    added = sorted(set(new.get("finalizers") or ()) - set(old.get("finalizers") or ()))
    if added:
        listed = ", ".join(f'"{finalizer}"' for finalizer in added)
        yield forbidden(
            "metadata.finalizers",
            "no new finalizers can be added if the object is being deleted, "
            f"found new finalizers []string{{{listed}}}",
        )


def check_labels(labels: Mapping[str, str] | None, path: str) -> Iterator[Cause]:
    """Yields what is wrong with labels."""
    for key, value in labels.items() if labels else ():
        yield from each(path, key, names.qualified_name(key))
        yield from each(path, value, names.label_value(value))


def check_annotations(annotations: Mapping[str, str] | None, path: str) -> Iterator[Cause]:
    """Yields what is wrong with annotations; the case of a key does not matter."""
    if not annotations:
        return
    total = 0
    for key, value in annotations.items():
        yield from each(path, key, names.qualified_name(key.lower()))
        total += len(key.encode()) + len(value.encode())
    if total > _MOST_ANNOTATION_BYTES:
        yield too_long(path, _MOST_ANNOTATION_BYTES)


def check_domain_prefixed(value: str, path: str) -> Iterator[Cause]:
    """Yields what is wrong with a domain and a path below it (IsDomainPrefixedPath)."""
    host, _slash, rest = value.partition("/")
    if not value:
        yield required(path)
    elif not host or not rest:
        detail = 'must be a domain-prefixed path (such as "acme.io/foo")'
        yield invalid(path, value, detail)
    else:
        yield from each(path, host, names.dns1123_subdomain(host))
        yield from each(path, rest, names.http_path(rest))


def _check_owners(owners: Sequence[Document]) -> Iterator[Cause]:
    controller = ""
    for index, owner in enumerate(owners):
        yield from _check_owner(owner, f"metadata.ownerReferences[{index}]")
        if not owner.get("controller"):
            continue
        this = f"{owner.get('kind', '')}/{owner.get('name', '')}"
        if controller:
            yield invalid(
                "metadata.ownerReferences",
                owners,
                'Only one reference can have Controller set to true. Found "true" in references '
                f"for {controller} and {this}",
            )
        else:
            controller = this


def _check_owner(owner: Document, path: str) -> Iterator[Cause]:
    version = owner.get("apiVersion") or ""
    if not version:
        yield required(f"{path}.apiVersion", "must not be empty")
    elif version.count("/") > 1 or version.endswith("/"):
        detail = "must be <group>/<version> or <version>"
        yield invalid(f"{path}.apiVersion", version, detail)
    for name in ("kind", "name", "uid"):
        if not owner.get(name):
            yield required(f"{path}.{name}", "must not be empty")
    if version == "v1" and owner.get("kind") == "Event":
        yield invalid(path, owner, "/v1, Kind=Event is disallowed from being an owner")


def _check_finalizers(finalizers: Sequence[str]) -> Iterator[Cause]:
    for finalizer in finalizers:
        yield from each("metadata.finalizers", finalizer, names.qualified_name(finalizer))
    if all(finalizer in finalizers for finalizer in _FINALIZERS_OF_DELETION):
        detail = "finalizer orphan and foregroundDeletion cannot be both set"
        yield invalid("metadata.finalizers", list(finalizers), detail)


def _check_standard(finalizers: Sequence[str]) -> Iterator[Cause]:
    for index, finalizer in enumerate(finalizers):
        if "/" not in finalizer and finalizer not in STANDARD_FINALIZERS:
            yield invalid(f"metadata.finalizers[{index}]", finalizer, NOT_STANDARD)


def checked(
    *, namespaced: bool = True, name: NameCheck = names.dns1123_subdomain
) -> Callable[[Document, Document | None, str], Iterator[Cause]]:
    """Returns the check of a kind of which only the metadata has rules beyond the schema."""

    def check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
        return check_metadata(new, old, namespaced=namespaced, name=name)

    return check


def check_around(
    new: Document, old: Document | None, found: Iterator[Cause], *, namespaced: bool = True
) -> Iterator[Cause]:
    """Yields what is wrong with an object whose kind leaves the metadata to the server
    (rest.BeforeCreate): on create it is read last, and any path segment is a name."""
    if old is not None:
        yield from check_metadata(new, old, namespaced=namespaced, any_finalizer=True)
        yield from found
        return
    causes = list(found)
    yield from causes
    if not causes:
        check = names.path_segment
        yield from check_metadata(new, None, namespaced=namespaced, name=check, any_finalizer=True)


def given(document: Any, name: str) -> Any:
    """Returns a field, or an empty object where it is absent or null."""
    return document.get(name) or {}
