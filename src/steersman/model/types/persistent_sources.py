"""What is checked of the source of a PersistentVolume, by its type
(validate*PersistentVolumeSource in pkg/apis/core/validation)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from steersman.model import names
from steersman.model.causes import (
    each,
    forbidden,
    invalid,
    not_supported,
    required,
    too_long,
    too_many_characters,
)
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.types.volume_check import check_host_path, check_nfs, check_no_backsteps

SourceCheck = Callable[[Document, str], Iterator[Cause]]

_MOST_DRIVER_NAME: Final = 63
_MOST_PORTAL_NAME: Final = 64
_MOST_TENANT: Final = 64
_MOST_UNIT: Final = 255
_IQN: Final = re.compile(r"iqn\.\d{4}-\d{2}\.([a-zA-Z0-9.-]+)(:[^,;*&$|\s]+)$", re.ASCII)
_EUI: Final = re.compile(r"eui.[a-zA-Z0-9]{16}", re.ASCII)
_NAA: Final = re.compile(r"naa.[a-zA-Z0-9]{32}", re.ASCII)
_PORTAL_TEXT: Final = (
    "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if "
    "iscsi.initiatorName is specified."
)
_PAIRS_TEXT: Final = "must be a host:port pair or multiple pairs separated by commas"
_RESERVED: Final = (".kubernetes.io", ".k8s.io")
_CACHING: Final = ("None", "ReadOnly", "ReadWrite")
_DISK_KINDS: Final = ("Dedicated", "Managed", "Shared")
_MANAGED_URI: Final = (
    "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/"
    "{disk-id}"
)
_BLOB_URI: Final = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
_SECRETS: Final = (
    "controllerPublishSecretRef",
    "controllerExpandSecretRef",
    "nodePublishSecretRef",
    "nodeExpandSecretRef",
)
_ONE_TYPE: Final = "may not specify more than 1 volume type"


def check_source(spec: Document, name: str, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the source of a volume of a name; exactly one must be given."""
    found = [source for source in SOURCES if spec.get(source) is not None]
    exclusive = 0
    for source in found:
        where = f"{path}.{source}"
        if exclusive and source != "flexVolume":
            # upstream's path of this one differs from its name
            yield forbidden(f"{path}.cephFS" if source == "cephfs" else where, _ONE_TYPE)
            continue
        exclusive += 1
        if source == "iscsi":
            yield from _check_iscsi_portal(spec[source], name, where)
        where = f"{path}.persistentDisk" if source == "gcePersistentDisk" else where
        yield from SOURCES[source](spec[source], where)
        if source == "local" and spec.get("nodeAffinity") is None:
            yield required(f"{path}.nodeAffinity", "Local volume requires node affinity")
    if not found:
        yield required(path, "must specify a volume type")


def check_driver_name(name: str, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the name of a CSI driver (ValidateCSIDriverName)."""
    if not name:
        yield required(path)
    if len(name.encode()) > _MOST_DRIVER_NAME:
        yield too_long(path, _MOST_DRIVER_NAME)
    yield from each(path, name, names.dns1123_subdomain(name.lower()))


def check_declared_driver(name: str, path: str) -> Iterator[Cause]:
    """Yields the same where upstream's type declares it, which is worded otherwise."""
    if not name:
        yield required(path)
        return
    yield from each(path, name, names.dns1123_caseless_subdomain(name))
    if len(name) > _MOST_DRIVER_NAME:
        yield too_many_characters(path, _MOST_DRIVER_NAME)


def _needs(*fields: str, secret: tuple[str, ...] = ()) -> SourceCheck:
    """Returns the check that fields are given, and those of `secretRef` where it is there."""

    def check(source: Document, path: str) -> Iterator[Cause]:
        for name in fields:
            if not source.get(name):
                yield required(f"{path}.{name}")
        if (reference := source.get("secretRef")) is not None:
            yield from _needs(*secret)(reference, f"{path}.secretRef")

    return check


def _disk(name: str) -> SourceCheck:
    def check(source: Document, path: str) -> Iterator[Cause]:
        yield from _needs(name)(source, path)
        partition = source.get("partition", 0)
        if not 0 <= partition <= _MOST_UNIT:
            yield invalid(f"{path}.partition", partition, "must be between 1 and 255, inclusive")

    return check


def _check_glusterfs(source: Document, path: str) -> Iterator[Cause]:
    yield from _needs("endpoints", "path")(source, path)
    namespace = source.get("endpointsNamespace")
    if namespace == "":
        detail = "if the endpointnamespace is set, it must be a valid namespace name"
        yield invalid(f"{path}.endpointsNamespace", namespace, detail)
    elif namespace is not None:
        yield from each(f"{path}.endpointsNamespace", namespace, names.dns1123_label(namespace))


def _check_flocker(source: Document, path: str) -> Iterator[Cause]:
    name, uid = source.get("datasetName", ""), source.get("datasetUUID", "")
    if not name and not uid:
        yield required(path, "one of datasetName and datasetUUID is required")
    if name and uid:
        detail = "datasetName and datasetUUID can not be specified simultaneously"
        yield invalid(path, "resource", detail)
    if "/" in name:
        yield invalid(f"{path}.datasetName", name, "must not contain '/'")


def _check_quobyte(source: Document, path: str) -> Iterator[Cause]:
    registry, tenant = source.get("registry", ""), source.get("tenant", "")
    if not registry:
        yield required(f"{path}.registry", _PAIRS_TEXT)
    elif len(tenant.encode()) > _MOST_TENANT:
        detail = "must be a UUID and may not exceed a length of 64 characters"
        yield required(f"{path}.tenant", detail)
    else:
        for pair in registry.split(","):
            if not _is_host_and_port(pair):
                yield invalid(f"{path}.registry", registry, _PAIRS_TEXT)
    yield from _needs("volume")(source, path)


def _is_host_and_port(text: str) -> bool:
    if text.startswith("["):
        return re.fullmatch(r"\[[^\[\]]*\]:[^:\[\]]*", text) is not None
    return re.fullmatch(r"[^:\[\]]*:[^:\[\]]*", text) is not None


def _check_iscsi_portal(source: Document, name: str, path: str) -> Iterator[Cause]:
    portal = source.get("targetPortal", "")
    if not portal:
        yield required(f"{path}.targetPortal")
    too_long_name = len(f"{name}:{portal}".encode()) > _MOST_PORTAL_NAME
    if source.get("initiatorName") is not None and too_long_name:
        yield invalid(f"{path}.targetportal", portal, _PORTAL_TEXT)


def _check_iscsi(source: Document, path: str) -> Iterator[Cause]:
    target, unit = source.get("iqn", ""), source.get("lun", 0)
    if not target:
        yield required(f"{path}.iqn")
    elif not _is_initiator(target):
        yield invalid(f"{path}.iqn", target, "must be valid format")
    yield from _check_unit(unit, path)
    authenticates = source.get("chapAuthDiscovery") or source.get("chapAuthSession")
    if authenticates and source.get("secretRef") is None:
        yield required(f"{path}.secretRef")
    yield from _needs(secret=("name",))(source, path)
    initiator = source.get("initiatorName")
    if initiator is not None and not _is_initiator(initiator):
        yield invalid(f"{path}.initiatorname", initiator, "must be valid format")


def _is_initiator(name: str) -> bool:
    if name.startswith("iqn"):
        return _IQN.search(name) is not None
    return (_EUI.fullmatch(name) or _NAA.fullmatch(name)) is not None


def _check_unit(unit: int, path: str) -> Iterator[Cause]:
    yield from each(f"{path}.lun", unit, names.in_range(unit, 0, _MOST_UNIT))


def _check_fibre(source: Document, path: str) -> Iterator[Cause]:
    targets, ids = source.get("targetWWNs") or [], source.get("wwids") or []
    if not targets and not ids:
        detail = "must specify either targetWWNs or wwids, but not both"
        yield required(f"{path}.targetWWNs", detail)
    if targets and ids:
        detail = "targetWWNs and wwids can not be specified simultaneously"
        yield invalid(f"{path}.targetWWNs", targets, detail)
    if targets:
        if source.get("lun") is None:
            yield required(f"{path}.lun", "lun is required if targetWWNs is specified")
        else:
            yield from _check_unit(source["lun"], path)


def _check_flex(source: Document, path: str) -> Iterator[Cause]:
    yield from _needs("driver")(source, path)
    for key in source.get("options") or ():
        prefix = f".{key.partition('/')[0].lower()}"
        if prefix.endswith(_RESERVED):
            detail = "kubernetes.io and k8s.io namespaces are reserved"
            yield invalid(f"{path}.options[{key}]", key, detail)


def _check_azure_file(source: Document, path: str) -> Iterator[Cause]:
    yield from _needs("secretName", "shareName")(source, path)
    if source.get("secretNamespace") == "":
        yield required(f"{path}.secretNamespace")


def _check_azure_disk(source: Document, path: str) -> Iterator[Cause]:
    yield from _needs("diskName", "diskURI")(source, path)
    caching, kind = source.get("cachingMode"), source.get("kind")
    if caching is not None and caching not in _CACHING:
        yield not_supported(f"{path}.cachingMode", caching, _CACHING)
    if kind is not None and kind not in _DISK_KINDS:
        yield not_supported(f"{path}.kind", kind, _DISK_KINDS)
    uri = source.get("diskURI", "")
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        yield not_supported(f"{path}.diskURI", uri, (_MANAGED_URI,))
    elif kind is not None and kind != "Managed" and not uri.startswith("https://"):
        yield not_supported(f"{path}.diskURI", uri, (_BLOB_URI,))


def _check_local(source: Document, path: str) -> Iterator[Cause]:
    if not source.get("path"):
        yield required(f"{path}.path")
    else:
        yield from check_no_backsteps(source["path"], f"{path}.path")


def _check_storage_os(source: Document, path: str) -> Iterator[Cause]:
    yield from _needs("volumeName")(source, path)
    for name in ("volumeName", "volumeNamespace"):
        if value := source.get(name):
            yield from each(f"{path}.{name}", value, names.dns1123_label(value))
    yield from _needs(secret=("name", "namespace"))(source, path)


def _check_csi(source: Document, path: str) -> Iterator[Cause]:
    yield from check_driver_name(source.get("driver", ""), f"{path}.driver")
    yield from _needs("volumeHandle")(source, path)
    for name in _SECRETS:
        if (reference := source.get(name)) is not None:
            yield from _check_secret(reference, f"{path}.{name}")


def _check_secret(reference: Document, path: str) -> Iterator[Cause]:
    checks: Mapping[str, Any] = {
        "name": names.dns1123_subdomain,
        "namespace": names.dns1123_label,
    }
    for name, check in checks.items():
        value = reference.get(name)
        if not value:
            yield required(f"{path}.{name}")
        else:
            yield from each(f"{path}.{name}", value, check(value))


# in upstream's order, which decides what of several sources is one too many
SOURCES: Final[Mapping[str, SourceCheck]] = {
    "hostPath": check_host_path,
    "gcePersistentDisk": _disk("pdName"),
    "awsElasticBlockStore": _disk("volumeID"),
    "glusterfs": _check_glusterfs,
    "flocker": _check_flocker,
    "nfs": check_nfs,
    "rbd": _needs("monitors", "image"),
    "quobyte": _check_quobyte,
    "cephfs": _needs("monitors"),
    "iscsi": _check_iscsi,
    "cinder": _needs("volumeID", secret=("name", "namespace")),
    "fc": _check_fibre,
    "flexVolume": _check_flex,
    "azureFile": _check_azure_file,
    "vsphereVolume": _needs("volumePath"),
    "photonPersistentDisk": _needs("pdID"),
    "portworxVolume": _needs("volumeID"),
    "azureDisk": _check_azure_disk,
    "scaleIO": _needs("gateway", "system", "volumeName"),
    "local": _check_local,
    "storageos": _check_storage_os,
    "csi": _check_csi,
}
