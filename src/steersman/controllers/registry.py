"""All controllers that a cluster runs; some are made for one cluster's bundle or range."""

from __future__ import annotations

import msgspec

from steersman.controllers.attach_detach import AttachDetachController
from steersman.controllers.attributes_class_protection import (
    AttributesClassProtectionController,
)
from steersman.controllers.bootstrap_signer import BootstrapSignerController
from steersman.controllers.certificate_approving import CertificateApprovingController
from steersman.controllers.certificate_cleaner import CertificateCleanerController
from steersman.controllers.certificate_signing import Signer, with_signer
from steersman.controllers.choice import Choice, called
from steersman.controllers.cronjob import CronJobController
from steersman.controllers.csi.attaching import CSIAttacher
from steersman.controllers.csi.provisioning import CSIProvisioner
from steersman.controllers.csi.resizing import CSIResizer
from steersman.controllers.csi.snapshotting import CSISnapshotter
from steersman.controllers.daemonset import DaemonSetController
from steersman.controllers.deployment import DeploymentController
from steersman.controllers.device_taint_eviction import DeviceTaintEvictionController
from steersman.controllers.disruption import DisruptionController
from steersman.controllers.endpoint_mirroring import EndpointMirroringController
from steersman.controllers.endpoints import EndpointsController
from steersman.controllers.endpointslice import EndpointSliceController
from steersman.controllers.ephemeral_volume import EphemeralVolumeController
from steersman.controllers.garbage import GarbageController
from steersman.controllers.horizontal_pod_autoscaler import HorizontalPodAutoscalerController
from steersman.controllers.job import JobController
from steersman.controllers.legacy_token_cleaner import LegacyTokenCleanerController
from steersman.controllers.load_balancer import with_services
from steersman.controllers.local_path import LocalPathController
from steersman.controllers.namespace import NamespaceController
from steersman.controllers.node_ipam import with_ranges
from steersman.controllers.node_lifecycle import NodeLifecycleController
from steersman.controllers.node_ttl import NodeTTLController
from steersman.controllers.pod_certificate_cleaner import PodCertificateCleanerController
from steersman.controllers.pod_garbage import PodGarbageController
from steersman.controllers.pod_group import PodGroupController
from steersman.controllers.replicaset import ReplicaSetController
from steersman.controllers.replicationcontroller import ReplicationControllerController
from steersman.controllers.resource_claim import ResourceClaimController
from steersman.controllers.resource_quota import ResourceQuotaController
from steersman.controllers.role_aggregation import RoleAggregationController
from steersman.controllers.root_ca import with_bundle
from steersman.controllers.service_cidr import ServiceCIDRController
from steersman.controllers.serviceaccount import ServiceAccountController
from steersman.controllers.statefulset import StatefulSetController
from steersman.controllers.storage_migration import StorageMigrationController
from steersman.controllers.taint_eviction import TaintEvictionController
from steersman.controllers.token_cleaner import TokenCleanerController
from steersman.controllers.trust_bundle import with_trust
from steersman.controllers.ttl_after_finished import TTLAfterFinishedController
from steersman.controllers.volume_binder import VolumeBinderController
from steersman.controllers.volume_expander import VolumeExpanderController
from steersman.controllers.volume_protection import (
    ClaimProtectionController,
    VolumeProtectionController,
)
from steersman.reconcile.loop import Controller


class Facts(msgspec.Struct, frozen=True):
    """What controllers know of the one cluster they are made for.

    bundle:   the cluster's authority, as PEM
    services: the range of its Services
    pods:     the range of the pods of its real node, empty where it has none
    signer:   who signs with the authority's key
    choice:   which controllers run, and how
    """

    bundle: str
    services: str
    signer: Signer
    choice: Choice = Choice()
    pods: str = ""


def controllers(facts: Facts) -> tuple[type[Controller], ...]:
    """Returns the controllers of a cluster that were chosen."""
    return tuple(it for it in _all(facts) if facts.choice.has(called(it.name)))


def _all(facts: Facts) -> tuple[type[Controller], ...]:
    return (
        DeploymentController,
        ReplicaSetController,
        ReplicationControllerController,
        DaemonSetController,
        StatefulSetController,
        JobController,
        CronJobController,
        TTLAfterFinishedController,
        DisruptionController,
        HorizontalPodAutoscalerController,
        ResourceQuotaController,
        RoleAggregationController,
        EndpointSliceController,
        EndpointsController,
        EndpointMirroringController,
        NamespaceController,
        ServiceAccountController,
        with_bundle(facts.bundle),
        with_trust(facts.bundle),
        with_services(facts.services),
        GarbageController,
        NodeLifecycleController,
        TaintEvictionController,
        DeviceTaintEvictionController,
        PodGarbageController,
        VolumeBinderController,
        VolumeExpanderController,
        LocalPathController,
        EphemeralVolumeController,
        ResourceClaimController,
        ClaimProtectionController,
        VolumeProtectionController,
        CertificateApprovingController,
        with_signer(facts.signer, facts.choice.signing_seconds),
        CertificateCleanerController,
        PodCertificateCleanerController,
        BootstrapSignerController,
        TokenCleanerController,
        LegacyTokenCleanerController,
        NodeTTLController,
        ServiceCIDRController,
        AttributesClassProtectionController,
        StorageMigrationController,
        AttachDetachController,
        CSIProvisioner,
        CSIAttacher,
        CSIResizer,
        PodGroupController,
        *_ipam(facts),
        CSISnapshotter,
    )


def _ipam(facts: Facts) -> tuple[type[Controller], ...]:
    """Returns who gives nodes ranges, where they were asked to have any."""
    kept = tuple(it for it in (facts.services, facts.pods) if it)
    return (with_ranges(facts.choice.pods, kept),) if facts.choice.pods else ()
