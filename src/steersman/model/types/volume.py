"""Volume and its sources: typed forms. Sources that no part here mounts stay mappings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import field

from steersman.model.types.reference import (
    LocalObjectReference,
    ObjectFieldSelector,
    ResourceFieldSelector,
)
from steersman.model.types.selector import LabelSelector
from steersman.model.view import View


class KeyToPath(View, frozen=True):
    """One key of an object as a file; mode None: the volume's default."""

    key: str = ""
    path: str = ""
    mode: int | None = None


class EmptyDir(View, frozen=True):
    """A directory that lives as long as its pod; medium "", Memory, HugePages or
    HugePages-SIZE."""

    medium: str = ""
    size_limit: str = ""


class HostPath(View, frozen=True):
    """A path of the node."""

    path: str = ""
    type: str = ""


class ConfigMapVolume(View, frozen=True):
    """The keys of a ConfigMap as files (also inside a projected volume)."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int = 0o644
    optional: bool = False


class SecretVolume(View, frozen=True):
    """The keys of a Secret as files."""

    secret_name: str = ""
    items: tuple[KeyToPath, ...] = ()
    default_mode: int = 0o644
    optional: bool = False


class SecretProjection(View, frozen=True):
    """The keys of a Secret inside a projected volume."""

    name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool = False


class DownwardFile(View, frozen=True):
    """A field of the pod as a file."""

    path: str = ""
    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    mode: int | None = None


class DownwardVolume(View, frozen=True):
    """Fields of the pod as files (also inside a projected volume)."""

    items: tuple[DownwardFile, ...] = ()
    default_mode: int = 0o644


class ServiceAccountTokenProjection(View, frozen=True):
    """A token for the pod's ServiceAccount as a file."""

    path: str = ""
    audience: str = ""
    expiration_seconds: int = 3600


class ClusterTrustBundleProjection(View, frozen=True):
    """Trust anchors as a file."""

    path: str = ""
    name: str = ""
    signer_name: str = ""
    label_selector: LabelSelector | None = None
    optional: bool = False


class PodCertificateProjection(View, frozen=True):
    """A private key of the pod and the certificate that a signer gives for it, as files."""

    signer_name: str = ""
    key_type: str = ""
    max_expiration_seconds: int | None = None
    credential_bundle_path: str = ""
    key_path: str = ""
    certificate_chain_path: str = ""
    user_annotations: Mapping[str, str] = {}


class VolumeProjection(View, frozen=True):
    """One source of a projected volume; one field is set."""

    secret: SecretProjection | None = None
    config_map: ConfigMapVolume | None = None
    downward_api: DownwardVolume | None = field(default=None, name="downwardAPI")
    service_account_token: ServiceAccountTokenProjection | None = None
    cluster_trust_bundle: ClusterTrustBundleProjection | None = None
    pod_certificate: PodCertificateProjection | None = None


class ProjectedVolume(View, frozen=True):
    """Several sources in one directory."""

    sources: tuple[VolumeProjection, ...] = ()
    default_mode: int = 0o644


class ClaimVolume(View, frozen=True):
    """A PersistentVolumeClaim of the pod's namespace."""

    claim_name: str = ""
    read_only: bool = False


class CSIVolume(View, frozen=True):
    """An inline volume of a CSI driver."""

    driver: str = ""
    read_only: bool = False
    fs_type: str = ""
    volume_attributes: Mapping[str, str] = {}
    node_publish_secret_ref: LocalObjectReference | None = None


class NFSVolume(View, frozen=True):
    """An NFS export."""

    server: str = ""
    path: str = ""
    read_only: bool = False


class ImageVolume(View, frozen=True):
    """An OCI object mounted read-only."""

    reference: str = ""
    pull_policy: str = ""


class Volume(View, frozen=True):
    """A named volume of a pod; one source is set (none means emptyDir)."""

    name: str = ""
    empty_dir: EmptyDir | None = None
    host_path: HostPath | None = None
    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    projected: ProjectedVolume | None = None
    downward_api: DownwardVolume | None = field(default=None, name="downwardAPI")
    persistent_volume_claim: ClaimVolume | None = None
    ephemeral: Mapping[str, Any] | None = None
    csi: CSIVolume | None = None
    nfs: NFSVolume | None = None
    image: ImageVolume | None = None
    iscsi: Mapping[str, Any] | None = None
    rbd: Mapping[str, Any] | None = None
    gce_persistent_disk: Mapping[str, Any] | None = None
    aws_elastic_block_store: Mapping[str, Any] | None = None
    azure_disk: Mapping[str, Any] | None = None
    cinder: Mapping[str, Any] | None = None
    portworx_volume: Mapping[str, Any] | None = None
    azure_file: Mapping[str, Any] | None = None
    vsphere_volume: Mapping[str, Any] | None = None

    @property
    def projections(self) -> tuple[VolumeProjection, ...]:
        """What it projects."""
        return self.projected.sources if self.projected is not None else ()
