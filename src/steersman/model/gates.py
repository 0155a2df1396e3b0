"""Fields that a minor knew and had switched off: what is given in them is left out, as upstream's
dropDisabledFields does.

Facts of the versioned specifications in pkg/features/kube_features.go. Fields of specs alone, which
people write; a status is written by parts that know 1.37. Gates that open values rather than fields
are not here, nor what is off in 1.37 too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_CORE: Final = "io.k8s.api.core.v1"
_RESOURCE: Final = "io.k8s.api.resource.v1"
# Definition -> field -> the last minor in which its gate was off by default
_LAST_OFF: Final[Mapping[str, Mapping[str, int]]] = {
    f"{_CORE}.Container": {
        "resizePolicy": 32,  # InPlacePodVerticalScaling
        "restartPolicyRules": 34,  # ContainerRestartRules
    },
    f"{_CORE}.EnvVarSource": {"fileKeyRef": 34},  # EnvFiles
    f"{_CORE}.Lifecycle": {"stopSignal": 35},  # ContainerStopSignals
    f"{_CORE}.PersistentVolumeClaimSpec": {"volumeAttributesClassName": 33},
    f"{_CORE}.PersistentVolumeSpec": {"volumeAttributesClassName": 33},
    f"{_CORE}.PodAffinityTerm": {"matchLabelKeys": 30, "mismatchLabelKeys": 30},
    f"{_CORE}.PodSecurityContext": {
        "seLinuxChangePolicy": 32,
        "supplementalGroupsPolicy": 32,
    },
    f"{_CORE}.PodSpec": {
        "hostUsers": 32,  # UserNamespacesSupport
        "hostnameOverride": 34,
        "resourceClaims": 33,  # DynamicResourceAllocation
        "resources": 33,  # PodLevelResources
    },
    f"{_CORE}.ResourceRequirements": {"claims": 33},  # DynamicResourceAllocation
    f"{_CORE}.SecurityContext": {"procMount": 32},
    f"{_CORE}.ServiceSpec": {"trafficDistribution": 30},
    f"{_CORE}.Volume": {"image": 34},  # ImageVolume
    f"{_CORE}.VolumeMount": {"recursiveReadOnly": 30},
    f"{_CORE}.VolumeProjection": {"clusterTrustBundle": 35, "podCertificate": 35},
    "io.k8s.api.apps.v1.RollingUpdateStatefulSetStrategy": {"maxUnavailable": 34},
    "io.k8s.api.autoscaling.v2.HPAScalingRules": {"tolerance": 34},
    "io.k8s.api.batch.v1.JobSpec": {"managedBy": 31, "successPolicy": 30},
    "io.k8s.api.storage.v1.CSIDriverSpec": {"nodeAllocatableUpdatePeriodSeconds": 34},
    f"{_RESOURCE}.Device": {
        "allNodes": 35,  # DRAPartitionableDevices, as the next three
        "consumesCounters": 35,
        "nodeName": 35,
        "nodeSelector": 35,
        "allowMultipleAllocations": 35,  # DRAConsumableCapacity
        "bindingConditions": 35,  # DRADeviceBindingConditions, as the next two
        "bindingFailureConditions": 35,
        "bindsToNode": 35,
        "taints": 35,  # DRADeviceTaints
    },
    f"{_RESOURCE}.DeviceCapacity": {"requestPolicy": 35},  # DRAConsumableCapacity
    f"{_RESOURCE}.DeviceClassSpec": {"extendedResourceName": 35},
    f"{_RESOURCE}.DeviceConstraint": {"distinctAttribute": 35},
    f"{_RESOURCE}.DeviceSubRequest": {"capacity": 35, "tolerations": 35},
    f"{_RESOURCE}.ExactDeviceRequest": {"capacity": 35, "tolerations": 35},
    f"{_RESOURCE}.ResourceSliceSpec": {"perDeviceNodeSelection": 35, "sharedCounters": 35},
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionVersion": {
        "selectableFields": 30
    },
}


def off(definition: str, minor: int) -> tuple[str, ...]:
    """Returns the fields of a definition that a minor had switched off, whether it knew them or
    not."""
    fields = _LAST_OFF.get(definition, {})
    return tuple(name for name, last in fields.items() if minor <= last)


def gated() -> Mapping[str, Mapping[str, int]]:
    """Returns all of them: definition, field, the last minor in which it was off."""
    return _LAST_OFF
