"""The defaults of all definitions: upstream's values for what a client leaves out.

One entry for each definition that has any. A definition's own defaults are set after those of its
parts. Sources: pkg/apis/*/v1/defaults.go, zz_generated.defaults.go, and the fields that Go always
encodes because they are structs (`resources: {}`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import field

from steersman.model.kind import Document
from steersman.model.schema import Node
from steersman.model.types import (
    cluster_defaults,
    pod_defaults,
    schema_props,
    workload_defaults,
)

Then = Callable[[Document], None]


class Defaults(msgspec.Struct, frozen=True):
    """What a definition's fields become.

    zero:  set where the field is absent, empty or zero
    unset: set where the field is absent
    then:  what depends on other fields
    """

    zero: Mapping[str, Any] = field(default_factory=dict)
    unset: Mapping[str, Any] = field(default_factory=dict)
    then: Then | None = None


def of(definition: str) -> Defaults | None:
    """Returns the defaults of a definition, None where it has none."""
    return _TABLE.get(definition)


def structs(node: Node) -> tuple[str, ...]:
    """Returns the fields of a definition that are always there, since they are structs in Go, and
    whose parts have defaults: the spec of every object and the template in it."""
    if node.definition.endswith(".ReplicationControllerSpec"):
        return ()  # its template alone is a pointer
    fields = [name for name in ("spec", "template", "jobTemplate") if name in node.fields]
    return tuple(name for name in fields if name != "spec" or "metadata" in node.fields)


def _zero(**fields: Any) -> Defaults:
    return Defaults(zero=fields)


def _unset(**fields: Any) -> Defaults:
    return Defaults(unset=fields)


def _then(function: Then) -> Defaults:
    return Defaults(then=function)


_FILE_MODE = 0o644
_WEBHOOK_SELECTORS: Document = {"namespaceSelector": {}, "objectSelector": {}}
_WEBHOOK = {
    "failurePolicy": "Fail",
    "matchPolicy": "Equivalent",
    "timeoutSeconds": 10,
    **_WEBHOOK_SELECTORS,
}
_MATCH = {"matchPolicy": "Equivalent", **_WEBHOOK_SELECTORS}
_CONTAINER = Defaults(
    zero={"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"},
    unset={"resources": {}},
    then=pod_defaults.container,
)

_CORE: dict[str, Defaults] = {
    "Pod": _then(pod_defaults.pod),
    "PodSpec": Defaults(
        zero={
            "dnsPolicy": "ClusterFirst",
            "restartPolicy": "Always",
            "schedulerName": "default-scheduler",
        },
        unset={"securityContext": {}, "terminationGracePeriodSeconds": 30},
    ),
    "Container": _CONTAINER,
    "EphemeralContainer": _CONTAINER,
    "ContainerPort": _zero(protocol="TCP"),
    "Probe": _zero(timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3),
    "HTTPGetAction": _zero(path="/", scheme="HTTP"),
    "GRPCAction": _unset(service=""),
    "ObjectFieldSelector": _zero(apiVersion="v1"),
    "ResourceFieldSelector": _unset(divisor="0"),
    "FileKeySelector": _unset(optional=False),
    "Volume": _then(pod_defaults.volume),
    "SecretVolumeSource": _unset(defaultMode=_FILE_MODE),
    "ConfigMapVolumeSource": _unset(defaultMode=_FILE_MODE),
    "DownwardAPIVolumeSource": _unset(defaultMode=_FILE_MODE),
    "ProjectedVolumeSource": _unset(defaultMode=_FILE_MODE),
    "ServiceAccountTokenProjection": _unset(expirationSeconds=3600),
    "HostPathVolumeSource": _unset(type=""),
    "ISCSIVolumeSource": _zero(iscsiInterface="default"),
    "ISCSIPersistentVolumeSource": _zero(iscsiInterface="default"),
    "RBDVolumeSource": _zero(pool="rbd", user="admin", keyring="/etc/ceph/keyring"),
    "RBDPersistentVolumeSource": _zero(pool="rbd", user="admin", keyring="/etc/ceph/keyring"),
    "AzureDiskVolumeSource": _unset(
        cachingMode="ReadWrite", kind="Shared", fsType="ext4", readOnly=False
    ),
    "ScaleIOVolumeSource": _zero(storageMode="ThinProvisioned", fsType="xfs"),
    "ScaleIOPersistentVolumeSource": _zero(storageMode="ThinProvisioned", fsType="xfs"),
    "PodTemplateSpec": _unset(metadata={}),
    "ReplicationControllerSpec": _unset(replicas=1),
    "ReplicationController": _then(workload_defaults.replication_controller),
    "Service": _then(cluster_defaults.service),
    "ServiceSpec": Defaults(
        zero={"sessionAffinity": "None", "type": "ClusterIP"}, then=cluster_defaults.service_spec
    ),
    "ServicePort": Defaults(zero={"protocol": "TCP"}, then=cluster_defaults.service_port),
    "EndpointPort": _zero(protocol="TCP"),
    "Namespace": _then(cluster_defaults.namespace),
    "NamespaceStatus": _zero(phase="Active"),
    "NodeSpec": _then(cluster_defaults.node_spec),
    "NodeStatus": _then(cluster_defaults.node_status),
    "PodStatus": _then(cluster_defaults.pod_status),
    "Secret": _zero(type="Opaque"),
    "LimitRangeItem": _then(cluster_defaults.limit_range_item),
    "PersistentVolumeSpec": Defaults(
        zero={"persistentVolumeReclaimPolicy": "Retain"}, unset={"volumeMode": "Filesystem"}
    ),
    "PersistentVolumeStatus": _zero(phase="Pending"),
    "PersistentVolumeClaimSpec": _unset(volumeMode="Filesystem", resources={}),
    "PersistentVolumeClaimStatus": _zero(phase="Pending"),
}
_APPS: dict[str, Defaults] = {
    "DeploymentSpec": _unset(
        replicas=1,
        strategy={
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
        },
        revisionHistoryLimit=10,
        progressDeadlineSeconds=600,
    ),
    "DeploymentStrategy": _then(
        workload_defaults.rolling("RollingUpdate", maxUnavailable="25%", maxSurge="25%")
    ),
    "DaemonSetSpec": _unset(
        updateStrategy={
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
        },
        revisionHistoryLimit=10,
    ),
    "DaemonSetUpdateStrategy": _then(
        workload_defaults.rolling("RollingUpdate", maxUnavailable=1, maxSurge=0)
    ),
    "StatefulSetSpec": Defaults(
        then=workload_defaults.stateful_claims,
        zero={"podManagementPolicy": "OrderedReady"},
        unset={
            "replicas": 1,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "revisionHistoryLimit": 10,
            "persistentVolumeClaimRetentionPolicy": {
                "whenDeleted": "Retain",
                "whenScaled": "Retain",
            },
        },
    ),
    "StatefulSetUpdateStrategy": _then(workload_defaults.stateful_strategy),
    "StatefulSetPersistentVolumeClaimRetentionPolicy": _zero(
        whenDeleted="Retain", whenScaled="Retain"
    ),
    "ReplicaSetSpec": _unset(replicas=1),
}
_BATCH: dict[str, Defaults] = {
    "Job": _then(workload_defaults.job),
    "PodFailurePolicyOnPodConditionsPattern": _zero(status="True"),
    "CronJobSpec": Defaults(
        zero={"concurrencyPolicy": "Allow"},
        unset={"suspend": False, "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1},
    ),
}
_ADMISSION: dict[str, Defaults] = {
    "ValidatingWebhook": _unset(**_WEBHOOK),
    "MutatingWebhook": _unset(**_WEBHOOK, reinvocationPolicy="Never"),
    "RuleWithOperations": _unset(scope="*"),
    "NamedRuleWithOperations": _unset(scope="*"),
    "ServiceReference": _unset(port=443),
    "MatchResources": _unset(**_MATCH),
    "ValidatingAdmissionPolicySpec": _unset(failurePolicy="Fail"),
    "MutatingAdmissionPolicySpec": _unset(failurePolicy="Fail"),
}
_RBAC: dict[str, Defaults] = {
    "RoleRef": _zero(apiGroup=cluster_defaults.RBAC_GROUP),
    "Subject": _then(cluster_defaults.subject),
}
_NETWORKING: dict[str, Defaults] = {
    "NetworkPolicySpec": Defaults(unset={"podSelector": {}}, then=cluster_defaults.network_policy),
    "NetworkPolicyPort": _unset(protocol="TCP"),
    "IngressClassParametersReference": _unset(scope="Cluster"),
}
_STORAGE: dict[str, Defaults] = {
    "StorageClass": _unset(reclaimPolicy="Delete", volumeBindingMode="Immediate"),
    "CSIDriverSpec": Defaults(
        then=cluster_defaults.driver_spec,
        unset={
            "attachRequired": True,
            "podInfoOnMount": False,
            "storageCapacity": False,
            "fsGroupPolicy": "ReadWriteOnceWithFSType",
            "requiresRepublish": False,
            "seLinuxMount": False,
        },
    ),
}
_FLOWCONTROL: dict[str, Defaults] = {
    "FlowSchemaSpec": _zero(matchingPrecedence=1000),
    "LimitedPriorityLevelConfiguration": _unset(nominalConcurrencyShares=30, lendablePercent=0),
    "ExemptPriorityLevelConfiguration": _unset(nominalConcurrencyShares=0, lendablePercent=0),
    "QueuingConfiguration": _zero(queues=64, handSize=8, queueLengthLimit=50),
}
_RESOURCE: dict[str, Defaults] = {
    "ExactDeviceRequest": _then(cluster_defaults.device_request),
    "DeviceSubRequest": _then(cluster_defaults.device_request),
    "DeviceToleration": _zero(operator="Equal"),
}
_EXTENSIONS: dict[str, Defaults] = {
    "CustomResourceDefinitionSpec": _unset(conversion={"strategy": "None"}),
    "CustomResourceDefinitionNames": _then(cluster_defaults.definition_names),
    "CustomResourceConversion": _zero(strategy="None"),
    "JSONSchemaProps": _then(schema_props.settle),
    "ServiceReference": _unset(port=443),
}
_AUTOSCALING: dict[str, Defaults] = {
    "HorizontalPodAutoscalerSpec": Defaults(
        unset={"minReplicas": 1}, then=workload_defaults.autoscaler
    ),
}
_DISCOVERY: dict[str, Defaults] = {"EndpointPort": _unset(name="", protocol="TCP")}
_SCHEDULING: dict[str, Defaults] = {
    "PriorityClass": _unset(preemptionPolicy="PreemptLowerPriority")
}

_TABLE: dict[str, Defaults] = {
    f"{package}.{name}": found
    for package, table in {
        "io.k8s.api.core.v1": _CORE,
        "io.k8s.api.apps.v1": _APPS,
        "io.k8s.api.batch.v1": _BATCH,
        "io.k8s.api.admissionregistration.v1": _ADMISSION,
        "io.k8s.api.rbac.v1": _RBAC,
        "io.k8s.api.networking.v1": _NETWORKING,
        "io.k8s.api.storage.v1": _STORAGE,
        "io.k8s.api.flowcontrol.v1": _FLOWCONTROL,
        "io.k8s.api.resource.v1": _RESOURCE,
        "io.k8s.api.certificates.v1": {
            "PodCertificateRequestSpec": _unset(maxExpirationSeconds=86400)
        },
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1": _EXTENSIONS,
        "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1": {
            "ServiceReference": _unset(port=443)
        },
        "io.k8s.api.autoscaling.v2": _AUTOSCALING,
        "io.k8s.api.discovery.v1": _DISCOVERY,
        "io.k8s.api.scheduling.v1": _SCHEDULING,
    }.items()
    for name, found in table.items()
}


def definitions() -> Mapping[str, Defaults]:
    """Returns all defaults by definition."""
    return _TABLE
