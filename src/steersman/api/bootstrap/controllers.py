"""The ClusterRoles of the built-in controllers, each bound to its own ServiceAccount, and the
Roles of components in kube-system and kube-public.

A table of facts from upstream's bootstrappolicy/controller_policy.go and namespace_policy.go.
"""

from __future__ import annotations

from collections.abc import Iterable

from steersman.api.bootstrap.grammar import EVENTS, READ, READ_UPDATE, Binding, Role, rule
from steersman.model.kind import Document

PREFIX = "system:controller:"
_SYSTEM = "kube-system"
_PUBLIC = "kube-public"

_APPS = "apps extensions"
_STORAGE = "storage.k8s.io"
_DYNAMIC = "resource.k8s.io"
_NETWORK = "networking.k8s.io"
_SIGNERS = "certificates.k8s.io"
_POLICIES = "admissionregistration.k8s.io"
_MIGRATION = "storagemigration.k8s.io"

_ENDS = "create delete get list update watch"
_ALL = "create delete get list patch update watch"
_POD_OWNER = "create delete list patch watch"

_KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
_SIGNED = (
    f"kubernetes.io/kube-apiserver-client {_KUBELET_CLIENT} kubernetes.io/kubelet-serving "
    "kubernetes.io/legacy-unknown"
)

_RULES: dict[str, tuple[Document, ...]] = {
    "attachdetach-controller": (
        rule("list watch", "core", "persistentvolumeclaims persistentvolumes"),
        rule(READ, "core", "nodes"),
        rule("patch update", "core", "nodes/status"),
        rule("list watch", "core", "pods"),
        EVENTS,
        rule("create delete get list watch", _STORAGE, "volumeattachments"),
        rule(READ, _STORAGE, "csidrivers"),
        rule(READ, _STORAGE, "csinodes"),
    ),
    "clusterrole-aggregation-controller": (
        rule("escalate get list patch update watch", "rbac.authorization.k8s.io", "clusterroles"),
    ),
    "cronjob-controller": (
        rule("get list update watch", "batch", "cronjobs"),
        rule(_ALL, "batch", "jobs"),
        rule("update", "batch", "cronjobs/status"),
        rule("update", "batch", "cronjobs/finalizers"),
        rule("delete list watch", "core", "pods"),
        EVENTS,
    ),
    # Ours: what the community's sidecars do, for CSI drivers that opt in
    "csi-attacher": (
        rule("get patch", _STORAGE, "volumeattachments volumeattachments/status"),
        rule("get", "core", "secrets"),
        EVENTS,
    ),
    "csi-provisioner": (
        rule("create delete get patch", "core", "persistentvolumes"),
        rule("get", "core", "secrets"),
        rule("get", "snapshot.storage.k8s.io", "volumesnapshotcontents volumesnapshots"),
        EVENTS,
    ),
    "csi-resizer": (
        rule("get patch", "core", "persistentvolumes"),
        rule("patch", "core", "persistentvolumeclaims/status"),
        rule("get", "core", "secrets"),
        EVENTS,
    ),
    "csi-snapshotter": (
        rule("get patch", "snapshot.storage.k8s.io", "volumesnapshotclasses volumesnapshots"),
        rule("create delete get patch", "snapshot.storage.k8s.io", "volumesnapshotcontents"),
        rule(
            "patch",
            "snapshot.storage.k8s.io",
            "volumesnapshotcontents/status volumesnapshots/status",
        ),
        EVENTS,
    ),
    "daemon-set-controller": (
        rule(READ, _APPS, "daemonsets"),
        rule("update", _APPS, "daemonsets/status"),
        rule("update", _APPS, "daemonsets/finalizers"),
        rule("list watch", "core", "nodes"),
        rule(_POD_OWNER, "core", "pods"),
        rule("create", "core", "pods/binding"),
        rule(_ALL, "apps", "controllerrevisions"),
        EVENTS,
    ),
    "deployment-controller": (
        rule("get list update watch", _APPS, "deployments"),
        rule("update", _APPS, "deployments/status"),
        rule("update", _APPS, "deployments/finalizers"),
        rule(_ALL, _APPS, "replicasets"),
        rule("get list update watch", "core", "pods"),
        EVENTS,
    ),
    "disruption-controller": (
        rule(READ, _APPS, "deployments"),
        rule(READ, _APPS, "replicasets"),
        rule(READ, "core", "replicationcontrollers"),
        rule(READ, "policy", "poddisruptionbudgets"),
        rule(READ, "apps", "statefulsets"),
        rule("update", "policy", "poddisruptionbudgets/status"),
        rule("patch update", "core", "pods/status"),
        rule("get", "*", "*/scale"),
        EVENTS,
    ),
    "endpoint-controller": (
        rule(READ, "core", "pods services"),
        rule(_ENDS, "core", "endpoints"),
        rule("create", "core", "endpoints/restricted"),
        EVENTS,
    ),
    "endpointslice-controller": (
        rule(READ, "core", "nodes pods services"),
        rule("update", "core", "services/finalizers"),
        rule(_ENDS, "discovery.k8s.io", "endpointslices"),
        EVENTS,
    ),
    "endpointslicemirroring-controller": (
        rule(READ, "core", "endpoints services"),
        rule("update", "core", "services/finalizers"),
        rule("update", "core", "endpoints/finalizers"),
        rule(_ENDS, "discovery.k8s.io", "endpointslices"),
        EVENTS,
    ),
    "expand-controller": (
        rule(READ_UPDATE, "core", "persistentvolumes"),
        rule("patch update", "core", "persistentvolumeclaims/status"),
        rule(READ, "core", "persistentvolumeclaims"),
        EVENTS,
    ),
    "ephemeral-volume-controller": (
        rule(READ, "core", "pods"),
        rule("update", "core", "pods/finalizers"),
        rule("create get list watch", "core", "persistentvolumeclaims"),
        EVENTS,
    ),
    "resource-claim-controller": (
        rule(READ, "core", "pods"),
        rule("update", "core", "pods/finalizers"),
        rule("create delete get list watch", _DYNAMIC, "resourceclaims"),
        rule("patch update", _DYNAMIC, "resourceclaims resourceclaims/status"),
        rule("patch update", "core", "pods/status"),
        EVENTS,
        rule("patch update", _DYNAMIC, "resourceclaims/binding"),
    ),
    "device-taint-eviction-controller": (
        rule("delete get list watch", "core", "pods"),
        rule("patch update", "core", "pods/status"),
        rule(READ, _DYNAMIC, "resourceclaims"),
        rule(READ, _DYNAMIC, "resourceslices"),
        rule(READ, _DYNAMIC, "deviceclasses"),
        rule(READ, _DYNAMIC, "devicetaintrules"),
        rule("get patch update", _DYNAMIC, "devicetaintrules/status"),
        EVENTS,
    ),
    "generic-garbage-collector": (
        rule("delete get list patch update watch", "*", "*"),
        EVENTS,
    ),
    "horizontal-pod-autoscaler": (
        rule(READ, "autoscaling", "horizontalpodautoscalers"),
        rule("patch update", "autoscaling", "horizontalpodautoscalers/status"),
        rule("get update", "*", "*/scale"),
        rule("list watch", "core", "pods"),
        rule("list watch", "metrics.k8s.io", "pods"),
        rule(READ, "custom.metrics.k8s.io", "*"),
        rule(READ, "external.metrics.k8s.io", "*"),
        EVENTS,
    ),
    "job-controller": (
        rule(READ_UPDATE, "batch", "jobs"),
        rule("update", "batch", "jobs/status"),
        rule("update", "batch", "jobs/finalizers"),
        rule(_POD_OWNER, "core", "pods"),
        EVENTS,
    ),
    "namespace-controller": (
        rule("delete get list watch", "core", "namespaces"),
        rule("update", "core", "namespaces/finalize namespaces/status"),
        rule("delete deletecollection get list watch", "*", "*"),
    ),
    "node-controller": (
        rule("delete get list patch update watch", "core", "nodes"),
        rule("patch update", "core", "nodes/status"),
        rule("patch update", "core", "pods/status"),
        rule("delete get list watch", "core", "pods"),
        EVENTS,
    ),
    "persistent-volume-binder": (
        rule(_ENDS, "core", "persistentvolumes"),
        rule("update", "core", "persistentvolumes/status"),
        rule("get list update watch", "core", "persistentvolumeclaims"),
        rule("update", "core", "persistentvolumeclaims/status"),
        rule("create delete get list watch", "core", "pods"),
        rule(READ, _STORAGE, "storageclasses"),
        rule("list watch", "core", "nodes"),
        EVENTS,
        rule("watch", "core", "events"),
    ),
    "pod-garbage-collector": (
        rule("delete list watch", "core", "pods"),
        rule(READ, "core", "nodes"),
        rule("patch", "core", "pods/status"),
    ),
    "replicaset-controller": (
        rule("get list update watch", _APPS, "replicasets"),
        rule("update", _APPS, "replicasets/status"),
        rule("update", _APPS, "replicasets/finalizers"),
        rule(_POD_OWNER, "core", "pods"),
        EVENTS,
    ),
    "replication-controller": (
        rule("get list update watch", "core", "replicationcontrollers"),
        rule("update", "core", "replicationcontrollers/status"),
        rule("update", "core", "replicationcontrollers/finalizers"),
        rule(_POD_OWNER, "core", "pods"),
        EVENTS,
    ),
    "resourcequota-controller": (
        rule("list watch", "*", "*"),
        rule("patch update", "core", "resourcequotas/status"),
        EVENTS,
    ),
    "route-controller": (
        rule("list watch", "core", "nodes"),
        rule("patch", "core", "nodes/status"),
        EVENTS,
    ),
    "service-account-controller": (
        rule("create", "core", "serviceaccounts"),
        EVENTS,
    ),
    "service-controller": (
        rule(READ, "core", "services"),
        rule("patch update", "core", "services/status"),
        rule("list watch", "core", "nodes"),
        EVENTS,
    ),
    "service-cidrs-controller": (
        rule(READ_UPDATE, _NETWORK, "servicecidrs"),
        rule("patch update", _NETWORK, "servicecidrs/finalizers"),
        rule("patch update", _NETWORK, "servicecidrs/status"),
        rule(READ, _NETWORK, "ipaddresses"),
        EVENTS,
    ),
    "selinux-warning-controller": (
        EVENTS,
        rule(READ, "core", "persistentvolumes"),
        rule(READ, "core", "persistentvolumeclaims"),
        rule(READ, "core", "pods"),
        rule(READ, _STORAGE, "csidrivers"),
    ),
    "statefulset-controller": (
        rule("list watch", "core", "pods"),
        rule(READ, "apps", "statefulsets"),
        rule("update", "apps", "statefulsets/status"),
        rule("update", "apps", "statefulsets/finalizers"),
        rule("create delete get patch update", "core", "pods"),
        rule(_ALL, "apps", "controllerrevisions"),
        rule("create get list watch", "core", "persistentvolumeclaims"),
        rule("delete update", "core", "persistentvolumeclaims"),
        rule("update", "core", "pods/finalizers"),
        EVENTS,
    ),
    "ttl-controller": (
        rule("list patch update watch", "core", "nodes"),
        EVENTS,
    ),
    "certificate-controller": (
        rule("delete get list watch", _SIGNERS, "certificatesigningrequests"),
        rule(
            "update",
            _SIGNERS,
            "certificatesigningrequests/approval certificatesigningrequests/status",
        ),
        rule("approve", _SIGNERS, "signers", _KUBELET_CLIENT),
        rule("sign", _SIGNERS, "signers", _SIGNED),
        rule("create", "authorization.k8s.io", "subjectaccessreviews"),
        EVENTS,
    ),
    "podcertificaterequestcleaner-controller": (
        rule("delete get list watch", _SIGNERS, "podcertificaterequests"),
    ),
    "pvc-protection-controller": (
        rule("get list update watch", "core", "persistentvolumeclaims"),
        rule("update", "core", "persistentvolumeclaims/status"),
        rule(READ, "core", "pods"),
        EVENTS,
    ),
    "pv-protection-controller": (
        rule("get list update watch", "core", "persistentvolumes"),
        EVENTS,
    ),
    "volumeattributesclass-protection-controller": (
        rule(READ, "core", "persistentvolumeclaims"),
        rule(READ, "core", "persistentvolumes"),
        rule("get list update watch", _STORAGE, "volumeattributesclasses"),
        EVENTS,
    ),
    "ttl-after-finished-controller": (
        rule("delete get list watch", "batch", "jobs"),
        EVENTS,
    ),
    "root-ca-cert-publisher": (
        rule("create update", "core", "configmaps"),
        EVENTS,
    ),
    "kube-apiserver-serving-clustertrustbundle-publisher": (
        rule("attest", _SIGNERS, "signers", "kubernetes.io/kube-apiserver-serving"),
        rule("create delete get list patch update watch", _SIGNERS, "clustertrustbundles"),
        EVENTS,
    ),
    # not upstream's: that of scheduler-plugins (docs/adr/0024)
    "podgroup-controller": (
        rule("get list patch update watch", "scheduling.x-k8s.io", "podgroups podgroups/status"),
        rule(READ, "core", "pods"),
        EVENTS,
    ),
    "validatingadmissionpolicy-status-controller": (
        rule(READ, _POLICIES, "validatingadmissionpolicies"),
        rule("get patch update", _POLICIES, "validatingadmissionpolicies/status"),
        EVENTS,
    ),
    "storage-version-migrator-controller": (
        rule("list patch", "*", "*"),
        rule("update", _MIGRATION, "storageversionmigrations/status"),
    ),
    "legacy-service-account-token-cleaner": (
        rule("get", "core", "configmaps", "kube-apiserver-legacy-service-account-token-tracking"),
        rule("delete patch", "core", "secrets"),
    ),
}


def _patching(rules: Iterable[Document]) -> tuple[Document, ...]:
    """Returns the rules with patch wherever update is granted: our controllers send the fields
    that they decide, where upstream's send whole objects."""
    return tuple(
        {**one, "verbs": sorted({*one["verbs"], "patch"})} if "update" in one["verbs"] else one
        for one in rules
    )


CONTROLLER_ROLES = tuple(
    Role(f"{PREFIX}{name}", _patching(rules)) for name, rules in _RULES.items()
)
CONTROLLER_BINDINGS = tuple(
    Binding(f"{PREFIX}{name}", (f"ServiceAccount:{_SYSTEM}/{name}",)) for name in _RULES
)

_CLUSTER_INFO = rule("patch update", "core", "configmaps", "cluster-info")


def _locking(component: str) -> Role:
    return Role(
        f"system::leader-locking-{component}",
        (
            rule("watch", "core", "configmaps"),
            rule("get update", "core", "configmaps", component),
        ),
        namespace=_SYSTEM,
    )


NAMESPACE_ROLES = (
    Role(
        "extension-apiserver-authentication-reader",
        (rule(READ, "core", "configmaps", "extension-apiserver-authentication"),),
        namespace=_SYSTEM,
    ),
    Role(f"{PREFIX}bootstrap-signer", (rule(READ, "core", "secrets"),), namespace=_SYSTEM),
    Role(
        f"{PREFIX}cloud-provider",
        (rule("create get list watch", "core", "configmaps"),),
        namespace=_SYSTEM,
    ),
    Role(
        f"{PREFIX}token-cleaner",
        (rule("delete get list watch", "core", "secrets"), EVENTS),
        namespace=_SYSTEM,
    ),
    _locking("kube-controller-manager"),
    _locking("kube-scheduler"),
    Role(
        f"{PREFIX}bootstrap-signer",
        (rule(READ, "core", "configmaps"), _CLUSTER_INFO, EVENTS),
        namespace=_PUBLIC,
    ),
)


def _component(name: str) -> Binding:
    subjects = (f"User:system:{name}", f"ServiceAccount:{_SYSTEM}/{name}")
    return Binding(f"system::leader-locking-{name}", subjects, namespace=_SYSTEM)


def _account(name: str, namespace: str = _SYSTEM) -> Binding:
    return Binding(f"{PREFIX}{name}", (f"ServiceAccount:{_SYSTEM}/{name}",), namespace=namespace)


NAMESPACE_BINDINGS = (
    Binding(
        "extension-apiserver-authentication-reader",
        ("User:system:kube-controller-manager", "User:system:kube-scheduler"),
        name="system::extension-apiserver-authentication-reader",
        namespace=_SYSTEM,
    ),
    _component("kube-controller-manager"),
    _component("kube-scheduler"),
    _account("bootstrap-signer"),
    _account("cloud-provider"),
    _account("token-cleaner"),
    _account("bootstrap-signer", _PUBLIC),
)
