"""What documents say of a field's values beside the packed schema: which ones there are, and what
stands for one that is not given.

Which fields say so is upstream's fact: those of types that are marked as enumerations (the
markers +enum of k8s.io/api), gates aside, and those with a marker +default. The values that stand
for others are those that the server sets (`model.defaults`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from steersman.model import defaults
from steersman.model.kind import Document
from steersman.model.types.certificate_check import USAGES
from steersman.model.types.volume_check import HOST_PATH_TYPES

_HEADER: Final = "Possible enum values:"
_PULL: Final = ("Always", "IfNotPresent", "Never")
_PROTOCOL: Final = ("SCTP", "TCP", "UDP")
_FAILURE: Final = ("Fail", "Ignore")
_MATCH: Final = ("Equivalent", "Exact")
_SIDE_EFFECTS: Final = ("None", "NoneOnDryRun", "Some", "Unknown")
_REINVOCATION: Final = ("IfNeeded", "Never")
_OPERATIONS: Final = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_SCOPE: Final = ("*", "Cluster", "Namespaced")
_TERMINATION: Final = ("FallbackToLogsOnError", "File")
_ACCESS: Final = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_VOLUME_MODE: Final = ("Block", "Filesystem")
_RECLAIM: Final = ("Delete", "Recycle", "Retain")
_PROFILE: Final = ("Localhost", "RuntimeDefault", "Unconfined")
_TAINT: Final = ("NoExecute", "NoSchedule", "PreferNoSchedule")
_DEVICE_TAINT: Final = ("NoExecute", "NoSchedule", "None")
_ALLOCATION: Final = ("All", "ExactCount")
_SKIPPED: Final = ("*", "NodePrepareResources", "NodeUnprepareResources")
_INCLUSION: Final = ("Honor", "Ignore")
_TRAFFIC: Final = ("Cluster", "Local")
_QUOTA_SCOPE: Final = (
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
)
_NAMED: Final = (
    "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT "
    "STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ"
)
_SIGNAL: Final = tuple(
    sorted(
        f"SIG{name}"
        for name in (
            *_NAMED.split(),
            *("RTMIN", *(f"RTMIN+{number}" for number in range(1, 16))),
            *("RTMAX", *(f"RTMAX-{number}" for number in range(1, 15))),
        )
    )
)
_ENUMS: Final[Mapping[str, Mapping[str, Mapping[str, tuple[str, ...]]]]] = {
    "io.k8s.api.admissionregistration.v1": {
        "MatchResources": {"matchPolicy": _MATCH},
        "MutatingAdmissionPolicySpec": {
            "failurePolicy": _FAILURE,
            "reinvocationPolicy": _REINVOCATION,
        },
        "MutatingWebhook": {
            "failurePolicy": _FAILURE,
            "matchPolicy": _MATCH,
            "reinvocationPolicy": _REINVOCATION,
            "sideEffects": _SIDE_EFFECTS,
        },
        "Mutation": {"patchType": ("ApplyConfiguration", "JSONPatch")},
        "NamedRuleWithOperations": {"operations": _OPERATIONS, "scope": _SCOPE},
        "RuleWithOperations": {"operations": _OPERATIONS, "scope": _SCOPE},
        "ValidatingAdmissionPolicyBindingSpec": {"validationActions": ("Audit", "Deny", "Warn")},
        "ValidatingAdmissionPolicySpec": {"failurePolicy": _FAILURE},
        "ValidatingWebhook": {
            "failurePolicy": _FAILURE,
            "matchPolicy": _MATCH,
            "sideEffects": _SIDE_EFFECTS,
        },
    },
    "io.k8s.api.apps.v1": {
        "DaemonSetUpdateStrategy": {"type": ("OnDelete", "RollingUpdate")},
        "DeploymentStrategy": {"type": ("Recreate", "RollingUpdate")},
        "StatefulSetSpec": {"podManagementPolicy": ("OrderedReady", "Parallel")},
        "StatefulSetUpdateStrategy": {"type": ("OnDelete", "Recreate", "RollingUpdate")},
    },
    "io.k8s.api.batch.v1": {
        "CronJobSpec": {"concurrencyPolicy": ("Allow", "Forbid", "Replace")},
        "JobSpec": {
            "completionMode": ("Indexed", "NonIndexed"),
            "podReplacementPolicy": ("Failed", "TerminatingOrFailed"),
        },
        "PodFailurePolicyOnExitCodesRequirement": {"operator": ("In", "NotIn")},
        "PodFailurePolicyRule": {"action": ("Count", "FailIndex", "FailJob", "Ignore")},
    },
    "io.k8s.api.certificates.v1": {
        "CertificateSigningRequestSpec": {"usages": USAGES},
    },
    "io.k8s.api.core.v1": {
        "AppArmorProfile": {"type": _PROFILE},
        "AzureDiskVolumeSource": {
            "cachingMode": ("None", "ReadOnly", "ReadWrite"),
            "kind": ("Dedicated", "Managed", "Shared"),
        },
        "Container": {"imagePullPolicy": _PULL, "terminationMessagePolicy": _TERMINATION},
        "ContainerPort": {"protocol": _PROTOCOL},
        "ContainerStatus": {"stopSignal": _SIGNAL},
        "EndpointPort": {"protocol": _PROTOCOL},
        "EphemeralContainer": {"imagePullPolicy": _PULL, "terminationMessagePolicy": _TERMINATION},
        "GRPCAction": {"mode": ("Plaintext", "TLS")},
        "HTTPGetAction": {"protocol": ("HTTP1", "HTTP2"), "scheme": ("HTTP", "HTTPS")},
        "HostPathVolumeSource": {"type": HOST_PATH_TYPES},
        "ImageVolumeSource": {"pullPolicy": _PULL},
        "Lifecycle": {"stopSignal": _SIGNAL},
        "ModifyVolumeStatus": {"status": ("InProgress", "Infeasible", "Pending")},
        "NamespaceStatus": {"phase": ("Active", "Terminating")},
        "NodeSelectorRequirement": {
            "operator": ("DoesNotExist", "Exists", "Gt", "In", "Lt", "NotIn")
        },
        "NodeStatus": {"phase": ("Pending", "Running", "Terminated")},
        "PersistentVolumeClaimSpec": {"accessModes": _ACCESS, "volumeMode": _VOLUME_MODE},
        "PersistentVolumeClaimStatus": {
            "accessModes": _ACCESS,
            "allocatedResourceStatuses": (
                "ControllerResizeInProgress",
                "ControllerResizeInfeasible",
                "NodeResizeInProgress",
                "NodeResizeInfeasible",
                "NodeResizePending",
            ),
            "phase": ("Bound", "Lost", "Pending"),
        },
        "PersistentVolumeSpec": {
            "accessModes": _ACCESS,
            "persistentVolumeReclaimPolicy": _RECLAIM,
            "volumeMode": _VOLUME_MODE,
        },
        "PersistentVolumeStatus": {
            "phase": ("Available", "Bound", "Failed", "Pending", "Released")
        },
        "PodSecurityContext": {
            "fsGroupChangePolicy": ("Always", "OnRootMismatch"),
            "supplementalGroupsPolicy": ("Merge", "Strict"),
        },
        "PodSpec": {
            "dnsPolicy": ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"),
            "preemptionPolicy": ("Never", "PreemptLowerPriority"),
            "restartPolicy": ("Always", "Never", "OnFailure"),
        },
        "PodStatus": {
            "phase": ("Failed", "Pending", "Running", "Succeeded", "Unknown"),
            "qosClass": ("BestEffort", "Burstable", "Guaranteed"),
        },
        "PortStatus": {"protocol": _PROTOCOL},
        "ResourceQuotaSpec": {"scopes": _QUOTA_SCOPE},
        "ScopedResourceSelectorRequirement": {
            "operator": ("DoesNotExist", "Exists", "In", "NotIn"),
            "scopeName": _QUOTA_SCOPE,
        },
        "SeccompProfile": {"type": _PROFILE},
        "SecurityContext": {"procMount": ("Default", "Unmasked")},
        "ServicePort": {"protocol": _PROTOCOL},
        "ServiceSpec": {
            "externalTrafficPolicy": _TRAFFIC,
            "internalTrafficPolicy": _TRAFFIC,
            "ipFamilies": ("", "IPv4", "IPv6"),
            "ipFamilyPolicy": ("PreferDualStack", "RequireDualStack", "SingleStack"),
            "sessionAffinity": ("ClientIP", "None"),
            "type": ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort"),
        },
        "Taint": {"effect": _TAINT},
        "Toleration": {"effect": _TAINT, "operator": ("Equal", "Exists", "Gt", "Lt")},
        "TopologySpreadConstraint": {
            "nodeAffinityPolicy": _INCLUSION,
            "nodeTaintsPolicy": _INCLUSION,
            "whenUnsatisfiable": ("DoNotSchedule", "ScheduleAnyway"),
        },
        "VolumeHealthCondition": {"status": ("DataLoss", "Degraded", "Inaccessible")},
        "VolumeMount": {"mountPropagation": ("Bidirectional", "HostToContainer", "None")},
    },
    "io.k8s.api.discovery.v1": {
        "EndpointPort": {"protocol": _PROTOCOL},
        "EndpointSlice": {"addressType": ("FQDN", "IPv4", "IPv6")},
    },
    "io.k8s.api.networking.v1": {
        "HTTPIngressPath": {"pathType": ("Exact", "ImplementationSpecific", "Prefix")},
        "IngressPortStatus": {"protocol": _PROTOCOL},
        "NetworkPolicyPort": {"protocol": _PROTOCOL},
        "NetworkPolicySpec": {"policyTypes": ("Egress", "Ingress")},
    },
    "io.k8s.api.policy.v1": {
        "PodDisruptionBudgetSpec": {
            "unhealthyPodEvictionPolicy": ("AlwaysAllow", "IfHealthyBudget")
        },
    },
    "io.k8s.api.resource.v1": {
        "DeviceAllocationConfiguration": {"source": ("FromClaim", "FromClass")},
        "DeviceRequestAllocationResult": {"skipNodeOperations": _SKIPPED},
        "DeviceSubRequest": {"allocationMode": _ALLOCATION},
        "DeviceTaint": {"effect": _DEVICE_TAINT},
        "DeviceToleration": {"effect": _DEVICE_TAINT, "operator": ("Equal", "Exists")},
        "ExactDeviceRequest": {"allocationMode": _ALLOCATION},
        "ResourceSliceSpec": {"skipNodeOperations": _SKIPPED},
    },
    "io.k8s.api.storage.v1": {
        "StorageClass": {
            "reclaimPolicy": _RECLAIM,
            "volumeBindingMode": ("Immediate", "WaitForFirstConsumer"),
        },
        "StorageHealthCondition": {
            "accessMode": _ACCESS,
            "status": ("StorageDegraded", "StorageUnreachable"),
            "volumeMode": _VOLUME_MODE,
        },
    },
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1": {
        "ValidationRule": {
            "reason": (
                "FieldValueDuplicate",
                "FieldValueForbidden",
                "FieldValueInvalid",
                "FieldValueRequired",
            )
        },
    },
}
_CORE: Final = "io.k8s.api.core.v1"
_DEFAULTED: Final[Mapping[str, tuple[str, ...]]] = {
    f"{_CORE}.AzureDiskVolumeSource": ("cachingMode", "fsType", "kind", "readOnly"),
    f"{_CORE}.ContainerPort": ("protocol",),
    f"{_CORE}.FileKeySelector": ("optional",),
    f"{_CORE}.GRPCAction": ("service",),
    f"{_CORE}.ISCSIPersistentVolumeSource": ("iscsiInterface",),
    f"{_CORE}.ISCSIVolumeSource": ("iscsiInterface",),
    f"{_CORE}.RBDPersistentVolumeSource": ("keyring", "pool", "user"),
    f"{_CORE}.RBDVolumeSource": ("keyring", "pool", "user"),
    f"{_CORE}.ReplicationControllerSpec": ("replicas",),
    f"{_CORE}.ScaleIOPersistentVolumeSource": ("fsType", "storageMode"),
    f"{_CORE}.ScaleIOVolumeSource": ("fsType", "storageMode"),
    f"{_CORE}.ServicePort": ("protocol",),
    "io.k8s.api.certificates.v1.PodCertificateRequestSpec": ("maxExpirationSeconds",),
    "io.k8s.api.resource.v1.DeviceToleration": ("operator",),
}
# What an object in Go has without being told, which is not written but is published
_ZERO: Final[Mapping[tuple[str, str], Any]] = {
    (f"{_CORE}.LocalObjectReference", "name"): "",
    (f"{_CORE}.ReplicationControllerSpec", "minReadySeconds"): 0,
    ("io.k8s.api.autoscaling.v1.ScaleSpec", "replicas"): 0,
}


def enum(definition: str, field: str) -> tuple[str, ...]:
    """Returns the values that a field (or each of a list's or map's) may have, sorted; none where
    it is not said."""
    package, _, name = definition.rpartition(".")
    return _ENUMS.get(package, {}).get(name, {}).get(field, ())


def default(definition: str, field: str) -> Any:
    """Returns what is published as the value of a field that is not given, None where nothing."""
    if field not in _DEFAULTED.get(definition, ()):
        return _ZERO.get((definition, field))
    found = defaults.of(definition)
    assert found is not None
    return {**found.zero, **found.unset}[field]


def published() -> Iterator[tuple[str, str]]:
    """Yields all definitions and fields of which something is said here."""
    for package, definitions in _ENUMS.items():
        for name, fields in definitions.items():
            yield from ((f"{package}.{name}", field) for field in fields)
    for definition, names in _DEFAULTED.items():
        yield from ((definition, field) for field in names)
    yield from _ZERO


def tell(shown: Document, definition: str, field: str) -> None:
    """Adds what there is to say to a field of a document, as kube-openapi's generator does."""
    if values := list(enum(definition, field)):
        many = shown.get("items") or shown.get("additionalProperties")
        (many or shown)["enum"] = values
        if many is None:
            lines = "\n".join(f' - `"{value}"`' for value in values)
            shown["description"] = f"{shown.get('description', '')}\n\n{_HEADER}\n{lines}"
    if (value := default(definition, field)) is not None:
        shown["default"] = value
