"""VolumeAttachment: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from steersman.model import names
from steersman.model.causes import declared_immutable, each, forbidden, required, too_long
from steersman.model.errors import Cause
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.persistentvolume import PersistentVolumeSpec
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import AGE, NAME, field, text
from steersman.model.kinds.subresources import STATUS_ALONE
from steersman.model.removed import Life, removed
from steersman.model.types.metadata import check_metadata
from steersman.model.types.persistent_check import check_inline_volume
from steersman.model.types.persistent_sources import check_declared_driver
from steersman.model.types.storage_check import map_bytes
from steersman.model.view import Object, View


class AttachmentSource(View, frozen=True):
    """The volume: one of the two is set."""

    persistent_volume_name: str | None = None
    inline_volume_spec: PersistentVolumeSpec | None = None


class AttachmentSpec(View, frozen=True):
    """Which volume shall be attached to which node, by whom."""

    attacher: str = ""
    source: AttachmentSource = AttachmentSource()
    node_name: str = ""


class VolumeError(View, frozen=True):
    """What went wrong when."""

    time: datetime | None = None
    message: str = ""
    error_code: int | None = None


class AttachmentStatus(View, frozen=True):
    """What is known of an attachment."""

    attached: bool = False
    attachment_metadata: Mapping[str, str] = {}
    attach_error: VolumeError | None = None
    detach_error: VolumeError | None = None


class VolumeAttachment(Object, frozen=True):
    """storage.k8s.io/v1 VolumeAttachment."""

    spec: AttachmentSpec = AttachmentSpec()
    status: AttachmentStatus = AttachmentStatus()


_MOST_METADATA_BYTES = 256 * 1024
_MOST_MESSAGE_BYTES = 1024
_ONE_SOURCE = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"


def _check(new: Document, old: Document | None, _subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old, namespaced=False)
    spec, status = new.get("spec") or {}, new.get("status") or {}
    yield from _check_spec(spec)
    if map_bytes(status.get("attachmentMetadata") or {}) > _MOST_METADATA_BYTES:
        yield too_long("status.attachmentMetadata", _MOST_METADATA_BYTES)
    for name in ("attachError", "detachError"):
        yield from _check_error(status.get(name) or {}, f"status.{name}")
    if old is None:
        volume = (spec.get("source") or {}).get("persistentVolumeName")
        if volume is not None:
            path = "spec.source.persistentVolumeName"
            yield from each(path, volume, names.dns1123_subdomain(volume))
        yield from check_declared_driver(spec.get("attacher", ""), "spec.attacher")
    else:
        yield from declared_immutable("spec", spec, old.get("spec") or {})


def _check_spec(spec: Document) -> Iterator[Cause]:
    source, path = spec.get("source") or {}, "spec.source"
    volume, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    if volume is None and inline is None:
        yield required(path, _ONE_SOURCE)
    elif volume is not None and inline is not None:
        yield forbidden(path, _ONE_SOURCE)
    elif inline is not None:
        yield from check_inline_volume(inline, f"{path}.inlineVolumeSpec")
    elif not volume:
        yield required(
            f"{path}.persistentVolumeName", "must specify non empty persistentVolumeName"
        )
    node = spec.get("nodeName", "")
    yield from each("spec.nodeName", node, names.dns1123_subdomain(node))


def _check_error(error: Document, path: str) -> Iterator[Cause]:
    if len(error.get("message", "").encode()) > _MOST_MESSAGE_BYTES:
        yield too_long(f"{path}.message", _MOST_METADATA_BYTES)  # as upstream says
    code = error.get("errorCode")
    if code is not None:
        yield from each(f"{path}.errorCode", code, names.in_range(code, 0, 2**31 - 1))


_COLUMNS = (
    NAME,
    Column("Attacher", field("spec", "attacher"), format="name"),
    text("PV", "spec", "source", "persistentVolumeName"),
    text("Node", "spec", "nodeName"),
    Column("Attached", field("status", "attached", default=False), type="boolean"),
    AGE,
)

VOLUMEATTACHMENT = Kind(
    group="storage.k8s.io",
    name="VolumeAttachment",
    plural="volumeattachments",
    namespaced=False,
    versions=(Version("v1", "io.k8s.api.storage.v1.VolumeAttachment"),),
    storage="v1",
    former=(
        removed(
            "storage.k8s.io/v1beta1",
            "storage.v1beta1.VolumeAttachment",
            Life(19, 22, "storage.k8s.io/v1"),
        ),
    ),
    columns=_COLUMNS,
    check=_check,
    view=VolumeAttachment,
    prepare=preparer(status={"attached": False}),
    subresources=(STATUS_ALONE,),
    returns_deleted=True,
    conditional=True,
    complete=True,
)
