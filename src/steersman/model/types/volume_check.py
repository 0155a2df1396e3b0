"""What is checked of a pod's volumes (ValidateVolumes in pkg/apis/core/validation)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from steersman.model import names
from steersman.model.causes import (
    duplicate,
    each,
    forbidden,
    invalid,
    not_supported,
    required,
)
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.quantity import parse
from steersman.model.types.certificate_check import bundle_name, check_signer, signer_in
from steersman.model.types.metadata import check_annotations
from steersman.model.types.pod_certificate_check import check_lifetime
from steersman.model.types.resources import ZERO
from steersman.model.types.selector import check_selector

# Of a podCertificate (KEP-4317)
KEY_TYPES: Final = ("RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519")
_CERTIFICATE_PATHS: Final = ("credentialBundlePath", "keyPath", "certificateChainPath")
Sources = Mapping[str, Document]
SourceCheck = Callable[[Document, str], Iterator[Cause]]

FILE_MODE: Final = "must be a number between 0 and 0777 (octal), both inclusive"
HOST_PATH_TYPES: Final = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
_VOLUME_FIELDS: Final = (
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
)
RESOURCE_FIELDS: Final = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
_SIZES: Final = ("1", *(f"1{unit}" for unit in ("k", "M", "G", "T", "P", "E")))
_DIVISORS: Final = (*_SIZES, *(f"{size}i".replace("k", "K") for size in _SIZES[1:]))
_LEAST_TOKEN_SECONDS: Final = 600
_MOST_TOKEN_SECONDS: Final = 1 << 32
_POLICIES: Final = ("Always", "IfNotPresent", "Never")


def check_volumes(volumes: Sequence[Document], path: str) -> Iterator[Cause]:
    """Yields what is wrong with volumes."""
    seen: set[str] = set()
    for index, volume in enumerate(volumes):
        where = f"{path}[{index}]"
        yield from _check_source(volume, where)
        name = volume.get("name") or ""
        if not name:
            yield required(f"{where}.name")
        elif problems := names.dns1123_label(name):
            yield from each(f"{where}.name", name, problems)
        if name and name in seen:
            yield duplicate(f"{where}.name", name)
        seen.add(name)


def sources(volumes: Sequence[Document]) -> Sources:
    """Returns volumes by name."""
    return {volume["name"]: volume for volume in volumes if volume.get("name")}


def _check_source(volume: Document, path: str) -> Iterator[Cause]:
    found = [name for name in volume if name != "name"]
    if not found:
        yield required(path, "must specify a volume type")
        return
    for position, name in enumerate(sorted(found, key=_order)):
        if position:
            yield forbidden(f"{path}.{name}", "may not specify more than 1 volume type")
        elif (check := _SOURCES.get(name)) is not None:
            yield from check(volume[name], f"{path}.{name}")


def _order(name: str) -> int:
    return list(_SOURCES).index(name) if name in _SOURCES else len(_SOURCES)


def _check_empty_dir(source: Document, path: str) -> Iterator[Cause]:
    limit = source.get("sizeLimit")
    if limit and parse(limit) < ZERO:
        yield forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")
    medium = source.get("medium", "")
    if medium not in ("", "Memory") and not medium.startswith("HugePages"):
        yield not_supported(f"{path}.medium", medium, ("", "HugePages", "Memory"))


def check_host_path(source: Document, path: str) -> Iterator[Cause]:
    """Checks a path of the node, also of a PersistentVolume."""
    if not source.get("path"):
        yield required(f"{path}.path")
        return
    yield from check_no_backsteps(source["path"], f"{path}.path")
    if source.get("type", "") not in HOST_PATH_TYPES:
        yield not_supported(f"{path}.type", source["type"], HOST_PATH_TYPES)


def _check_keys(name: str) -> SourceCheck:
    def check(source: Document, path: str) -> Iterator[Cause]:
        if not source.get(name):
            yield required(f"{path}.{name}")
        yield from _check_mode(source, "defaultMode", path)
        for index, item in enumerate(source.get("items") or ()):
            yield from _check_key(item, f"{path}.items[{index}]")

    return check


def _check_mode(document: Document, name: str, path: str) -> Iterator[Cause]:
    mode = document.get(name)
    if mode is not None and not 0 <= mode <= 0o777:
        yield invalid(f"{path}.{name}", mode, FILE_MODE)


def _check_key(item: Document, path: str) -> Iterator[Cause]:
    if not item.get("key"):
        yield required(f"{path}.key")
    if not item.get("path"):
        yield required(f"{path}.path")
    yield from _check_local(item.get("path", ""), f"{path}.path")
    yield from _check_mode(item, "mode", path)


def _check_local(value: str, path: str) -> Iterator[Cause]:
    """Checks a path inside a volume (ValidateLocalNonReservedPath)."""
    yield from check_descending(value, path)
    # what begins with two dots is the atomic writer's own
    if value.startswith("..") and not value.startswith("../"):
        yield invalid(path, value, "must not start with '..'")


def check_descending(value: str, path: str) -> Iterator[Cause]:
    """Checks that a path is relative and stays below where it begins."""
    if value.startswith("/"):
        yield invalid(path, value, "must be a relative path")
    yield from check_no_backsteps(value, path)


def check_no_backsteps(value: str, path: str) -> Iterator[Cause]:
    """Checks that no element of a path is `..`."""
    if ".." in value.split("/"):
        yield invalid(path, value, "must not contain '..'")


def _check_downward(source: Document, path: str) -> Iterator[Cause]:
    yield from _check_mode(source, "defaultMode", path)
    for item in source.get("items") or ():
        yield from _check_downward_file(item, path)


def _check_downward_file(item: Document, path: str) -> Iterator[Cause]:
    if not item.get("path"):
        yield required(f"{path}.path")
    yield from _check_local(item.get("path", ""), f"{path}.path")
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        yield from check_field(field, f"{path}.fieldRef", _VOLUME_FIELDS)
        if resource is not None:
            detail = "fieldRef and resourceFieldRef can not be specified simultaneously"
            yield invalid(path, "resource", detail)
    elif resource is not None:
        yield from check_resource_field(resource, f"{path}.resourceFieldRef", in_volume=True)
    else:
        yield required(path, "one of fieldRef and resourceFieldRef is required")
    yield from _check_mode(item, "mode", path)


def check_field(field: Document, path: str, known: Sequence[str]) -> Iterator[Cause]:
    """Checks a reference to a field of the pod (validateObjectFieldSelector)."""
    if not field.get("apiVersion"):
        yield required(f"{path}.apiVersion")
        return
    wanted = field.get("fieldPath", "")
    if not wanted:
        yield required(f"{path}.fieldPath")
        return
    name, bracket, subscript = wanted.partition("['")
    if bracket and subscript.endswith("']"):
        key = subscript.removesuffix("']")
        if name == "metadata.annotations":
            yield from each(path, key.lower(), names.qualified_name(key.lower()))
        elif name == "metadata.labels":
            yield from each(path, key, names.qualified_name(key))
        else:
            yield from _check_known_field(wanted, path)
            yield invalid(path, name, "does not support subscript")
    elif wanted not in _FIELDS:
        yield from _check_known_field(wanted, path)
    elif wanted not in known:
        yield not_supported(f"{path}.fieldPath", wanted, sorted(known))


# what ConvertDownwardAPIFieldLabel knows
_FIELDS: Final = frozenset(
    (
        *_VOLUME_FIELDS,
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.serviceAccountName",
        "spec.schedulerName",
        "status.phase",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    )
)


def _check_known_field(wanted: str, path: str) -> Iterator[Cause]:
    if wanted not in _FIELDS:
        detail = f"error converting fieldPath: field label not supported: {wanted}"
        yield invalid(f"{path}.fieldPath", wanted, detail)


def check_resource_field(field: Document, path: str, *, in_volume: bool) -> Iterator[Cause]:
    """Checks a reference to a container's resource (validateContainerResourceFieldSelector)."""
    resource = field.get("resource", "")
    huge = resource.startswith(("requests.hugepages-", "limits.hugepages-"))
    if in_volume and not field.get("containerName"):
        yield required(f"{path}.containerName")
    elif not resource:
        yield required(f"{path}.resource")
    elif resource not in RESOURCE_FIELDS and not huge:
        yield not_supported(f"{path}.resource", resource, RESOURCE_FIELDS)
    divisor = str(field.get("divisor") or "0")
    if divisor == "0":
        return
    what = resource.partition(".")[2]
    if what == "cpu":
        if divisor not in ("1m", "1"):
            detail = "only divisor's values 1m and 1 are supported with the cpu resource"
            yield invalid(f"{path}.divisor", resource, detail)
        return
    known = {"memory": "memory", "ephemeral-storage": "local ephemeral storage"}
    name = "hugepages" if huge else known.get(what)
    if name and divisor not in _DIVISORS:
        listed = ", ".join(_DIVISORS)
        detail = f"only divisor's values {listed} are supported with the {name} resource"
        yield invalid(f"{path}.divisor", resource, detail)


def _check_projected(volume: Document, path: str) -> Iterator[Cause]:
    yield from _check_mode(volume, "defaultMode", path)
    paths: set[str] = set()
    for index, source in enumerate(volume.get("sources") or ()):
        where = f"{path}.sources[{index}]"
        for name in ("secret", "configMap"):
            if (found := source.get(name)) is not None:
                yield from _check_keys("name")(found, f"{where}.{name}")
                yield from _check_paths(found, path, paths, found.get("name", ""))
        if (found := source.get("downwardAPI")) is not None:
            for item in found.get("items") or ():
                yield from _check_downward_file(item, f"{where}.downwardAPI")
            yield from _check_paths(found, path, paths, None)
        if (found := source.get("serviceAccountToken")) is not None:
            yield from _check_token(found, f"{where}.serviceAccountToken", path)
        if (found := source.get("clusterTrustBundle")) is not None:
            yield from _check_trust_bundle(found, f"{where}.clusterTrustBundle", path, paths)
        if (found := source.get("podCertificate")) is not None:
            yield from _check_certificate(found, f"{where}.podCertificate", path, paths)
        if len(source) > 1:
            yield forbidden(where, "may not specify more than 1 volume type per source")


def _check_paths(source: Document, path: str, paths: set[str], name: str | None) -> Iterator[Cause]:
    for item in source.get("items") or ():
        if (found := item.get("path")) and found in paths:
            yield invalid(path, found if name is None else name, "conflicting duplicate paths")
        elif found:
            paths.add(found)


def _check_token(source: Document, path: str, volume_path: str) -> Iterator[Cause]:
    seconds = source.get("expirationSeconds", 0)
    where = f"{path}.expirationSeconds"
    if seconds < _LEAST_TOKEN_SECONDS:
        yield invalid(where, seconds, "may not specify a duration less than 10 minutes")
    if seconds > _MOST_TOKEN_SECONDS:
        yield invalid(where, seconds, "may not specify a duration larger than 2^32 seconds")
    if not source.get("path"):
        yield required(f"{volume_path}.path")
    else:
        yield from _check_local(source["path"], f"{volume_path}.path")


def _check_trust_bundle(
    source: Document, path: str, volume_path: str, paths: set[str]
) -> Iterator[Cause]:
    name, signer, selector = (source.get(it) for it in ("name", "signerName", "labelSelector"))
    if name is not None and signer is not None:
        yield invalid(path, source, "only one of name and signerName may be used")
    elif name is not None:
        if not name:
            yield required(f"{path}.name", "must be a valid object name")
        for problem in bundle_name(signer_in(name))(name):
            yield invalid(f"{path}.name", name, f"not a valid clustertrustbundlename: {problem}")
        if selector is not None:
            detail = "labelSelector must be unset if name is specified"
            yield invalid(f"{path}.labelSelector", selector, detail)
    elif signer is not None:
        if not signer:
            yield required(f"{path}.signerName", "must be a valid signer name")
        yield from check_signer(signer, f"{path}.signerName")
        yield from check_selector(selector, f"{path}.labelSelector")
    else:
        yield required(path, "either name or signerName must be specified")
    if not source.get("path"):
        yield required(f"{path}.path")
    yield from _check_own_path(source.get("path") or "", f"{path}.path", volume_path, paths)


def _check_own_path(value: str, path: str, volume_path: str, paths: set[str]) -> Iterator[Cause]:
    """Yields what is wrong with a path that no other source may have."""
    yield from _check_local(value, path)
    if value in paths:
        yield invalid(volume_path, value, "conflicting duplicate paths")
    paths.add(value)


def _check_certificate(
    source: Document, path: str, volume_path: str, paths: set[str]
) -> Iterator[Cause]:
    signer = source.get("signerName") or ""
    yield from check_signer(signer, f"{path}.signerName")
    if (key := source.get("keyType") or "") not in KEY_TYPES:
        yield not_supported(f"{path}.keyType", key, KEY_TYPES)
    if (seconds := source.get("maxExpirationSeconds")) is not None:
        own = signer.startswith("kubernetes.io/")
        yield from check_lifetime(seconds, f"{path}.maxExpirationSeconds", is_own=own)
    given = [it for it in _CERTIFICATE_PATHS if source.get(it)]
    if not given:
        yield required(path, f"specify at least one of {', '.join(_CERTIFICATE_PATHS)}")
    for name in given:
        yield from _check_own_path(source[name], f"{path}.{name}", volume_path, paths)
    annotations = source.get("userAnnotations")
    yield from check_annotations(annotations, f"{path}.userAnnotations")


def _check_claim(source: Document, path: str) -> Iterator[Cause]:
    if not source.get("claimName"):
        yield required(f"{path}.claimName")


def check_nfs(source: Document, path: str) -> Iterator[Cause]:
    """Checks an NFS export, also of a PersistentVolume."""
    for name in ("server", "path"):
        if not source.get(name):
            yield required(f"{path}.{name}")
    if not source.get("path", "").startswith("/"):
        yield invalid(f"{path}.path", source.get("path", ""), "must be an absolute path")


def _check_csi(source: Document, path: str) -> Iterator[Cause]:
    if not source.get("driver"):
        yield required(f"{path}.driver")
    if (secret := source.get("nodePublishSecretRef")) is not None and not secret.get("name"):
        yield required(f"{path}.nodePublishSecretRef.name")


def _check_image(source: Document, path: str) -> Iterator[Cause]:
    if not source.get("reference"):
        yield required(f"{path}.reference")
    policy = source.get("pullPolicy")
    if policy and policy not in _POLICIES:
        yield not_supported(f"{path}.pullPolicy", policy, _POLICIES)


def _check_ephemeral(source: Document, path: str) -> Iterator[Cause]:
    if not source.get("volumeClaimTemplate"):
        yield required(f"{path}.volumeClaimTemplate")


# in upstream's order, which decides what of several sources is one too many
_SOURCES: dict[str, SourceCheck] = {
    "emptyDir": _check_empty_dir,
    "hostPath": check_host_path,
    "secret": _check_keys("secretName"),
    "nfs": check_nfs,
    "persistentVolumeClaim": _check_claim,
    "downwardAPI": _check_downward,
    "configMap": _check_keys("name"),
    "projected": _check_projected,
    "csi": _check_csi,
    "ephemeral": _check_ephemeral,
    "image": _check_image,
}


def is_block(volume: Any) -> bool:
    """Tells whether a volume can be used as a block device."""
    return "persistentVolumeClaim" in volume or "ephemeral" in volume
