"""What a volume of upstream's tree is to the CSI driver that serves it: a function for each plugin.

Follows the plugins of csi-translation-lib, with the texts of what they refuse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import unquote, urlsplit

ZONE: Final = "topology.kubernetes.io/zone"
OLD_ZONE: Final = "failure-domain.beta.kubernetes.io/zone"
SEPARATOR: Final = "__"  # of the zones of one volume
ONCE, READ_MANY, MANY = "ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"
_UNKNOWN: Final = "UNSPECIFIED"
_EBS: Final = re.compile(r"vol-[^/]*")
_MANAGED: Final = "Managed"
_ACCOUNT: Final = re.compile(r"azure-storage-account-(.+)-secret")
_GROUP: Final = "kubernetes.io/azure-file-resource-group"
_OPENSTORAGE: Final = "openstorage.io/auth-secret-"
_POLICY: Final = "storagepolicyname"
# Where a driver is given the Secret that a volume of Portworx names
_SECRETS: Final = (
    "controllerPublishSecretRef",
    "nodeStageSecretRef",
    "nodePublishSecretRef",
    "controllerExpandSecretRef",
    "nodeExpandSecretRef",
)


class Untranslatable(Exception):
    """A volume is nothing that a driver could have; the text is upstream's."""


class Holder(NamedTuple):
    """Who names a source: a PersistentVolume, of the claim in `namespace`, or a pod's volume."""

    name: str
    namespace: str
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    inline: bool = False


Source = Mapping[str, Any]
Document = dict[str, Any]
Translate = Callable[[Source, Holder], Document]


def _rendered(handle: str, source: Source, attributes: Mapping[str, str], **more: Any) -> Document:
    """Returns a CSIPersistentVolumeSource without its driver, and without what is empty."""
    found = {
        "volumeHandle": handle,
        "readOnly": source.get("readOnly"),
        "fsType": source.get("fsType"),
        "volumeAttributes": dict(attributes),
        **more,
    }
    return {key: value for key, value in found.items() if value}


def _ebs(source: Source, _holder: Holder) -> Document:
    handle = _ebs_id(source.get("volumeID", ""))
    return _rendered(handle, source, {"partition": str(source.get("partition", 0))})


def _ebs_id(text: str) -> str:
    """Returns the id in aws://ZONE/ID, or what is given without that."""
    if not text.startswith("aws://"):
        return text
    start = "failed to translate Kubernetes ID to EBS Volume ID "
    try:
        found = unquote(urlsplit(text).path).strip("/")
    except ValueError as error:
        raise Untranslatable(f"{start}Invalid disk name ({text}): {error}") from error
    if not _EBS.fullmatch(found):
        raise Untranslatable(f"{start}Invalid format for AWS volume ({text})")
    return found


def _azure_disk(source: Source, holder: Holder) -> Document:
    kind, caching, fs_type = (source.get(it) for it in ("kind", "cachingMode", "fsType"))
    if kind is not None and kind.lower() != _MANAGED.lower():
        raise Untranslatable(f"kind({kind}) is not supported in csi migration")
    attributes = {"kind": _MANAGED}
    if caching or (caching is not None and not holder.inline):
        attributes["cachingmode"] = caching
    if fs_type is not None:
        attributes["fstype"] = fs_type
    return _rendered(source.get("diskURI", ""), source, attributes)


def _azure_file(source: Source, holder: Holder) -> Document:
    secret, share = source.get("secretName", ""), source.get("shareName", "")
    account = match[1] if (match := _ACCOUNT.search(secret)) else secret
    namespace = source.get("secretNamespace")
    if holder.inline:
        namespace = holder.namespace or "default"
    elif namespace is None:
        namespace = holder.namespace
    if not namespace:
        text = "could not find a secret namespace in PersistentVolumeSource or ClaimRef"
        raise Untranslatable(text)
    group = holder.annotations.get(_GROUP, "")
    handle = "#".join((group, account, share, holder.name, namespace))
    reference = {"name": secret, "namespace": namespace}
    return _rendered(handle, source, {"sharename": share}, nodeStageSecretRef=reference)


def _cinder(source: Source, _holder: Holder) -> Document:
    return _rendered(source.get("volumeID", ""), source, {})


def _gce(source: Source, holder: Holder) -> Document:
    zones = (holder.labels.get(OLD_ZONE) or holder.labels.get(ZONE) or "").split(SEPARATOR)
    place = f"zones/{zones[0] or _UNKNOWN}"
    if len(zones) > 1:
        place = f"regions/{_region(zones)}"
    handle = f"projects/{_UNKNOWN}/{place}/disks/{source.get('pdName', '')}"
    partition = source.get("partition", 0)
    return _rendered(handle, source, {"partition": str(partition) if partition else ""})


def _region(zones: Sequence[str]) -> str:
    start = "failed to get region from zones: "
    regions = set[str]()
    for zone in zones:
        if zone.count("-") != 2:
            wanted = "zone in unexpected format, expected: {locale}-{region}-{zone}, got: "
            raise Untranslatable(f"{start}{wanted}{zone}")
        regions.add(zone.rpartition("-")[0])
    if len(regions) > 1:
        shown = " ".join(f"{it}:{{}}" for it in sorted(regions))
        raise Untranslatable(f"{start}multiple or no regions gotten from zones, got: map[{shown}]")
    return regions.pop()


def _portworx(source: Source, holder: Holder) -> Document:
    parts = ("name", "namespace")
    known = {it: holder.annotations.get(f"{_OPENSTORAGE}{it}") for it in parts}
    named = all(it is not None for it in known.values())
    secrets = dict.fromkeys(_SECRETS, known) if named else {}
    return _rendered(source.get("volumeID", ""), {**source, "readOnly": False}, {}, **secrets)


def _vsphere(source: Source, _holder: Holder) -> Document:
    # Upstream's panics where a pod names a policy itself
    policy = source.get("storagePolicyName")
    attributes = {_POLICY: policy} if policy else {}
    return _rendered(source.get("volumePath", ""), source, attributes)


# By the fields of a volume in which such a source stands
TRANSLATE: Final[Mapping[str, Translate]] = {
    "aws_elastic_block_store": _ebs,
    "azure_disk": _azure_disk,
    "azure_file": _azure_file,
    "cinder": _cinder,
    "gce_persistent_disk": _gce,
    "portworx_volume": _portworx,
    "vsphere_volume": _vsphere,
}


def modes_of(field: str, modes: Sequence[str]) -> Sequence[str]:
    """Returns how a PersistentVolume is used: a disk of GCE by one writer, or by readers, since
    its driver refuses what the plugin let pass."""
    if field != "gce_persistent_disk" or not modes:
        return modes
    by_readers = READ_MANY in modes and {ONCE, MANY}.isdisjoint(modes)
    return (READ_MANY,) if by_readers else (ONCE,)


def inline_mode(field: str, source: Source) -> str:
    """Returns how a volume is used that a pod names itself."""
    if field == "azure_file":
        return MANY
    by_reader = field in ("gce_persistent_disk", "portworx_volume") and source.get("readOnly")
    return READ_MANY if by_reader else ONCE


def inline_name(field: str, source: Source, driver: str, handle: str) -> str:
    """Returns the name of a volume that a pod names itself: one for each disk."""
    if field in ("azure_disk", "azure_file"):
        return handle
    named = source.get("pdName", "") if field == "gce_persistent_disk" else handle
    return f"{driver}-{named}"
