"""Go's names of types that the schema shows as plain strings or maps; error messages name them."""

from __future__ import annotations

from collections.abc import Mapping

_CORE = "io.k8s.api.core.v1."
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_RESOURCES = "v1.ResourceList"

# definition -> field -> Go type
_NAMES: dict[str, dict[str, str]] = {
    _META + "ObjectMeta": {"uid": "types.UID"},
    _META + "OwnerReference": {"uid": "types.UID"},
    _META + "ManagedFieldsEntry": {"operation": "v1.ManagedFieldsOperationType"},
    _META + "LabelSelectorRequirement": {"operator": "v1.LabelSelectorOperator"},
    _CORE + "ObjectReference": {"uid": "types.UID"},
    _CORE + "Container": {
        "imagePullPolicy": "v1.PullPolicy",
        "restartPolicy": "v1.ContainerRestartPolicy",
        "terminationMessagePolicy": "v1.TerminationMessagePolicy",
    },
    _CORE + "ContainerPort": {"protocol": "v1.Protocol"},
    _CORE + "ServicePort": {"protocol": "v1.Protocol"},
    _CORE + "EndpointPort": {"protocol": "v1.Protocol"},
    "io.k8s.api.discovery.v1.EndpointPort": {"protocol": "v1.Protocol"},
    "io.k8s.api.discovery.v1.EndpointSlice": {"addressType": "v1.AddressType"},
    _CORE + "VolumeMount": {"mountPropagation": "v1.MountPropagationMode"},
    _CORE + "HTTPGetAction": {"scheme": "v1.URIScheme"},
    _CORE + "Capabilities": {"add": "[]v1.Capability", "drop": "[]v1.Capability"},
    _CORE + "SeccompProfile": {"type": "v1.SeccompProfileType"},
    _CORE + "AppArmorProfile": {"type": "v1.AppArmorProfileType"},
    _CORE + "SecurityContext": {"procMount": "v1.ProcMountType"},
    _CORE + "EmptyDirVolumeSource": {"medium": "v1.StorageMedium"},
    _CORE + "HostPathVolumeSource": {"type": "v1.HostPathType"},
    _CORE + "ResourceRequirements": {"limits": _RESOURCES, "requests": _RESOURCES},
    _CORE + "VolumeResourceRequirements": {"limits": _RESOURCES, "requests": _RESOURCES},
    _CORE + "PodSpec": {
        "restartPolicy": "v1.RestartPolicy",
        "dnsPolicy": "v1.DNSPolicy",
        "preemptionPolicy": "v1.PreemptionPolicy",
        "overhead": _RESOURCES,
    },
    _CORE + "PodStatus": {"phase": "v1.PodPhase", "qosClass": "v1.PodQOSClass"},
    _CORE + "PodCondition": {"type": "v1.PodConditionType", "status": "v1.ConditionStatus"},
    _CORE + "PodReadinessGate": {"conditionType": "v1.PodConditionType"},
    _CORE + "PodOS": {"name": "v1.OSName"},
    _CORE + "Toleration": {"operator": "v1.TolerationOperator", "effect": "v1.TaintEffect"},
    _CORE + "Taint": {"effect": "v1.TaintEffect"},
    _CORE + "NodeSelectorRequirement": {"operator": "v1.NodeSelectorOperator"},
    _CORE + "TopologySpreadConstraint": {
        "whenUnsatisfiable": "v1.UnsatisfiableConstraintAction",
        "nodeAffinityPolicy": "v1.NodeInclusionPolicy",
        "nodeTaintsPolicy": "v1.NodeInclusionPolicy",
    },
    _CORE + "NodeStatus": {
        "capacity": _RESOURCES,
        "allocatable": _RESOURCES,
        "phase": "v1.NodePhase",
        "volumesInUse": "[]v1.UniqueVolumeName",
    },
    _CORE + "NodeCondition": {"type": "v1.NodeConditionType", "status": "v1.ConditionStatus"},
    _CORE + "NodeAddress": {"type": "v1.NodeAddressType"},
    _CORE + "ServiceSpec": {
        "type": "v1.ServiceType",
        "sessionAffinity": "v1.ServiceAffinity",
        "externalTrafficPolicy": "v1.ServiceExternalTrafficPolicyType",
        "internalTrafficPolicy": "v1.ServiceInternalTrafficPolicyType",
        "ipFamilies": "[]v1.IPFamily",
        "ipFamilyPolicy": "v1.IPFamilyPolicyType",
    },
    _CORE + "Secret": {"type": "v1.SecretType"},
    _CORE + "NamespaceSpec": {"finalizers": "[]v1.FinalizerName"},
    _CORE + "NamespaceStatus": {"phase": "v1.NamespacePhase"},
    _CORE + "PersistentVolumeSpec": {
        "capacity": _RESOURCES,
        "accessModes": "[]v1.PersistentVolumeAccessMode",
        "persistentVolumeReclaimPolicy": "v1.PersistentVolumeReclaimPolicy",
        "volumeMode": "v1.PersistentVolumeMode",
    },
    _CORE + "PersistentVolumeClaimSpec": {
        "accessModes": "[]v1.PersistentVolumeAccessMode",
        "volumeMode": "v1.PersistentVolumeMode",
    },
    _CORE + "ResourceQuotaSpec": {"hard": _RESOURCES, "scopes": "[]v1.ResourceQuotaScope"},
    _CORE + "LimitRangeItem": {
        "type": "v1.LimitType",
        "max": _RESOURCES,
        "min": _RESOURCES,
        "default": _RESOURCES,
        "defaultRequest": _RESOURCES,
        "maxLimitRequestRatio": _RESOURCES,
    },
    "io.k8s.api.apps.v1.DeploymentStrategy": {"type": "v1.DeploymentStrategyType"},
    "io.k8s.api.apps.v1.DaemonSetUpdateStrategy": {"type": "v1.DaemonSetUpdateStrategyType"},
    "io.k8s.api.apps.v1.StatefulSetUpdateStrategy": {"type": "v1.StatefulSetUpdateStrategyType"},
    "io.k8s.api.apps.v1.StatefulSetSpec": {"podManagementPolicy": "v1.PodManagementPolicyType"},
    "io.k8s.api.batch.v1.JobSpec": {
        "completionMode": "v1.CompletionMode",
        "podReplacementPolicy": "v1.PodReplacementPolicy",
    },
    "io.k8s.api.batch.v1.CronJobSpec": {"concurrencyPolicy": "v1.ConcurrencyPolicy"},
    "io.k8s.api.networking.v1.HTTPIngressPath": {"pathType": "v1.PathType"},
    "io.k8s.api.networking.v1.NetworkPolicySpec": {"policyTypes": "[]v1.PolicyType"},
}

GO_NAMES: Mapping[tuple[str, str], str] = {
    (definition, field): name
    for definition, fields in _NAMES.items()
    for field, name in fields.items()
}
