"""Which other objects a pod or a persistent volume names, read without decoding the rest of it.

Pure; follows upstream's pkg/api/v1/pod and pkg/api/v1/persistentvolume visitors. Whatever is added
here a node may read, so that only what the node needs to run the pod belongs here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from steersman.model.view import View

Shape = TypeVar("Shape", bound=View)

MIRROR = "kubernetes.io/config.mirror"
# What decides outside of a specification what is named: the mark of a mirror, claims of a status
_ELSEWHERE: Final = (MIRROR.encode(), b"esourceClaim")
# What the pods of a workload name is kept once; a cluster has some hundred workloads
_NAMES_KEPT: Final = 1024


class Named(NamedTuple):
    """An object that is named: its plural, namespace and name."""

    plural: str
    namespace: str
    name: str


class _Name(View, frozen=True):
    name: str = ""
    namespace: str = ""


class _SecretRef(View, frozen=True):
    """A volume source that authenticates with a secret, under any of the names in use."""

    secret_name: str = ""
    secret_namespace: str | None = None
    secret_ref: _Name | None = None
    node_publish_secret_ref: _Name | None = None
    node_stage_secret_ref: _Name | None = None
    node_expand_secret_ref: _Name | None = None


class _Source(View, frozen=True):
    secret: _Name | None = None
    config_map: _Name | None = None


class _Projected(View, frozen=True):
    sources: tuple[_Source, ...] = ()


class _Claim(View, frozen=True):
    claim_name: str = ""


class _Sources(View, frozen=True):
    """The volume sources that pods and persistent volumes share."""

    azure_file: _SecretRef | None = None
    cephfs: _SecretRef | None = None
    cinder: _SecretRef | None = None
    csi: _SecretRef | None = None
    flex_volume: _SecretRef | None = None
    iscsi: _SecretRef | None = None
    rbd: _SecretRef | None = None
    scale_io: _SecretRef | None = msgspec.field(default=None, name="scaleIO")
    storageos: _SecretRef | None = None


class _Volume(_Sources, frozen=True):
    name: str = ""
    secret: _SecretRef | None = None
    config_map: _Name | None = None
    projected: _Projected | None = None
    persistent_volume_claim: _Claim | None = None
    ephemeral: Any = None


class _ValueFrom(View, frozen=True):
    secret_key_ref: _Name | None = None
    config_map_key_ref: _Name | None = None


class _Variable(View, frozen=True):
    value_from: _ValueFrom | None = None


class _Variables(View, frozen=True):
    secret_ref: _Name | None = None
    config_map_ref: _Name | None = None


class _Container(View, frozen=True):
    env: tuple[_Variable, ...] = ()
    env_from: tuple[_Variables, ...] = ()


class _ClaimRef(View, frozen=True):
    resource_claim_name: str | None = None


class _PodSpec(View, frozen=True):
    node_name: str = ""
    service_account_name: str = ""
    image_pull_secrets: tuple[_Name, ...] = ()
    init_containers: tuple[_Container, ...] = ()
    containers: tuple[_Container, ...] = ()
    ephemeral_containers: tuple[_Container, ...] = ()
    volumes: tuple[_Volume, ...] = ()
    resource_claims: tuple[_ClaimRef, ...] = ()


class _PodStatus(View, frozen=True):
    resource_claim_statuses: tuple[_ClaimRef, ...] = ()
    extended_resource_claim_status: _ClaimRef | None = None


class _Meta(View, frozen=True):
    name: str = ""
    namespace: str = ""
    annotations: Mapping[str, str] = {}


class _Pod(View, frozen=True):
    metadata: _Meta = _Meta()
    spec: _PodSpec = _PodSpec()
    status: _PodStatus = _PodStatus()


class _Parts(View, frozen=True):
    """A pod of which nothing is read."""

    spec: msgspec.Raw = msgspec.Raw(b"")


class _VolumeSpec(_Sources, frozen=True):
    claim_ref: _Name | None = None


class _PersistentVolume(View, frozen=True):
    metadata: _Meta = _Meta()
    spec: _VolumeSpec = _VolumeSpec()


class PodReferences(NamedTuple):
    """A pod: itself, its node (empty for none) and what it names. A mirror pod names nothing, since
    a node writes it and must not give itself rights."""

    pod: Named
    node: str
    names: frozenset[Named]


class VolumeReferences(NamedTuple):
    """A persistent volume: its claim (None for none) and the secrets it is mounted with."""

    name: str
    claim: Named | None
    secrets: frozenset[Named]


@cache
def _decoder(shape: type[Shape]) -> msgspec.json.Decoder[Shape]:
    """Returns the decoder; made with its first use, which takes as long as loading two modules."""
    return msgspec.json.Decoder(shape)


def read_pod(value: bytes) -> PodReferences:
    """Returns what an encoded pod names."""
    return _references(_decoder(_Pod).decode(value))


def name_the_same(old: bytes, new: bytes) -> bool:
    """Says whether two encodings of one pod name the same for sure, read or not: all that they name
    stands in their specification, which is the same."""
    if any(word in value for value in (old, new) for word in _ELSEWHERE):
        return False
    decode = _decoder(_Parts).decode
    return bool(decode(old).spec == decode(new).spec)


def read_volume(value: bytes) -> VolumeReferences:
    """Returns what an encoded persistent volume names."""
    volume = _decoder(_PersistentVolume).decode(value)
    claim = volume.spec.claim_ref
    if claim is None:
        return VolumeReferences(volume.metadata.name, None, frozenset())
    secrets = frozenset(_secrets_of_sources(volume.spec, claim.namespace))
    bound = Named("persistentvolumeclaims", claim.namespace, claim.name)
    return VolumeReferences(volume.metadata.name, bound, secrets)


def _references(pod: _Pod) -> PodReferences:
    meta = pod.metadata
    own = Named("pods", meta.namespace, meta.name)
    if MIRROR in meta.annotations:
        return PodReferences(own, pod.spec.node_name, frozenset())
    return PodReferences(own, pod.spec.node_name, named_by(pod))


def named_by(pod: _Pod) -> frozenset[Named]:
    """Returns what a pod names, a mirror pod too."""
    namespace = pod.metadata.namespace
    pairs = [
        *_of_accounts_and_claims(pod),
        *_of_containers(pod.spec),
        *_of_volumes(pod.spec, pod.metadata.name),
    ]
    found = {Named(plural, namespace, name) for plural, name in pairs if name}
    for volume in pod.spec.volumes:
        found.update(_secrets_of_sources(volume, namespace))
    return _once(frozenset(found))


@lru_cache(_NAMES_KEPT)
def _once(names: frozenset[Named]) -> frozenset[Named]:
    """Returns the equal set that was met before, if any."""
    return names


def named_by_document(document: Mapping[str, Any]) -> frozenset[Named]:
    """Returns what a pod names, a mirror pod too."""
    return named_by(msgspec.convert(document, _Pod))


_Pair = tuple[str, str]


def _of_accounts_and_claims(pod: _Pod) -> Iterator[_Pair]:
    spec, status = pod.spec, pod.status
    yield "serviceaccounts", spec.service_account_name
    for secret in spec.image_pull_secrets:
        yield "secrets", secret.name
    for claim in (*spec.resource_claims, *status.resource_claim_statuses):
        yield "resourceclaims", claim.resource_claim_name or ""
    if status.extended_resource_claim_status:
        yield "resourceclaims", status.extended_resource_claim_status.resource_claim_name or ""


def _of_containers(spec: _PodSpec) -> Iterator[_Pair]:
    for container in (*spec.init_containers, *spec.containers, *spec.ephemeral_containers):
        for variable in container.env:
            if variable.value_from is not None:
                yield from _pair("secrets", variable.value_from.secret_key_ref)
                yield from _pair("configmaps", variable.value_from.config_map_key_ref)
        for variables in container.env_from:
            yield from _pair("secrets", variables.secret_ref)
            yield from _pair("configmaps", variables.config_map_ref)


def _of_volumes(spec: _PodSpec, pod: str) -> Iterator[_Pair]:
    for volume in spec.volumes:
        yield from _pair("configmaps", volume.config_map)
        if volume.secret is not None:
            yield "secrets", volume.secret.secret_name
        if volume.persistent_volume_claim is not None:
            yield "persistentvolumeclaims", volume.persistent_volume_claim.claim_name
        if volume.ephemeral is not None:
            yield "persistentvolumeclaims", f"{pod}-{volume.name}"
        for source in volume.projected.sources if volume.projected else ():
            yield from _pair("secrets", source.secret)
            yield from _pair("configmaps", source.config_map)


def _pair(plural: str, reference: _Name | None) -> Iterator[_Pair]:
    if reference is not None:
        yield plural, reference.name


def _secrets_of_sources(sources: _Sources, namespace: str) -> Iterator[Named]:
    """Yields the secrets of volume sources; one that names no namespace is in the given one."""
    for field in _Sources.__struct_fields__:
        source: _SecretRef | None = getattr(sources, field)
        if source is None:
            continue
        if source.secret_name:
            yield Named("secrets", source.secret_namespace or namespace, source.secret_name)
        for reference in (
            source.secret_ref,
            source.node_publish_secret_ref,
            source.node_stage_secret_ref,
            source.node_expand_secret_ref,
        ):
            if reference is not None and reference.name:
                yield Named("secrets", reference.namespace or namespace, reference.name)
