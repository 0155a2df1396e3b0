"""All controllers that a cluster runs; some are made for one cluster's bundle or range."""

from __future__ import annotations

from steersman.controllers.cronjob import CronJobController
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
from steersman.controllers.load_balancer import with_services
from steersman.controllers.local_path import LocalPathController
from steersman.controllers.namespace import NamespaceController
from steersman.controllers.node_lifecycle import NodeLifecycleController
from steersman.controllers.pod_garbage import PodGarbageController
from steersman.controllers.replicaset import ReplicaSetController
from steersman.controllers.replicationcontroller import ReplicationControllerController
from steersman.controllers.resource_claim import ResourceClaimController
from steersman.controllers.resource_quota import ResourceQuotaController
from steersman.controllers.role_aggregation import RoleAggregationController
from steersman.controllers.root_ca import with_bundle
from steersman.controllers.serviceaccount import ServiceAccountController
from steersman.controllers.statefulset import StatefulSetController
from steersman.controllers.taint_eviction import TaintEvictionController
from steersman.controllers.ttl_after_finished import TTLAfterFinishedController
from steersman.controllers.volume_binder import VolumeBinderController
from steersman.controllers.volume_protection import (
    ClaimProtectionController,
    VolumeProtectionController,
)
from steersman.reconcile.loop import Controller


def controllers(bundle: str, services: str) -> tuple[type[Controller], ...]:
    """Returns all controllers; `bundle` is the cluster's CA as PEM, `services` the range of its
    Services."""
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
        with_bundle(bundle),
        with_services(services),
        GarbageController,
        NodeLifecycleController,
        TaintEvictionController,
        DeviceTaintEvictionController,
        PodGarbageController,
        VolumeBinderController,
        LocalPathController,
        EphemeralVolumeController,
        ResourceClaimController,
        ClaimProtectionController,
        VolumeProtectionController,
    )
