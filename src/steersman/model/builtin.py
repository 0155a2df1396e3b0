"""The registry of kinds: all built-in ones, and in a server the custom ones that come and go.

An index says which module holds a kind, so that a server pays for the kinds it serves when it
first serves them. `Registry(unstable=True)` also holds what upstream switches off by default, and
`Registry(removed=True)` what it no longer serves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module

from msgspec import structs

from steersman.model.kind import Kind, Version
from steersman.model.kinds import table

_PACKAGE = "steersman.model.kinds"

# module -> (constant, group, kind, plural) of each kind in it
_MODULES: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "pod": (("POD", "", "Pod", "pods"),),
    "node": (("NODE", "", "Node", "nodes"),),
    "service": (("SERVICE", "", "Service", "services"),),
    "endpoints": (("ENDPOINTS", "", "Endpoints", "endpoints"),),
    "namespace": (("NAMESPACE", "", "Namespace", "namespaces"),),
    "serviceaccount": (("SERVICEACCOUNT", "", "ServiceAccount", "serviceaccounts"),),
    "configmap": (("CONFIGMAP", "", "ConfigMap", "configmaps"),),
    "secret": (("SECRET", "", "Secret", "secrets"),),
    "event": (
        ("EVENT", "", "Event", "events"),
        ("EVENTS_EVENT", "events.k8s.io", "Event", "events"),
    ),
    "deployment": (("DEPLOYMENT", "apps", "Deployment", "deployments"),),
    "replicaset": (("REPLICASET", "apps", "ReplicaSet", "replicasets"),),
    "daemonset": (("DAEMONSET", "apps", "DaemonSet", "daemonsets"),),
    "statefulset": (("STATEFULSET", "apps", "StatefulSet", "statefulsets"),),
    "controllerrevision": (
        ("CONTROLLERREVISION", "apps", "ControllerRevision", "controllerrevisions"),
    ),
    "job": (("JOB", "batch", "Job", "jobs"),),
    "cronjob": (("CRONJOB", "batch", "CronJob", "cronjobs"),),
    "horizontalpodautoscaler": (
        (
            "HORIZONTALPODAUTOSCALER",
            "autoscaling",
            "HorizontalPodAutoscaler",
            "horizontalpodautoscalers",
        ),
    ),
    "certificatesigningrequest": (
        (
            "CERTIFICATESIGNINGREQUEST",
            "certificates.k8s.io",
            "CertificateSigningRequest",
            "certificatesigningrequests",
        ),
    ),
    "limitrange": (("LIMITRANGE", "", "LimitRange", "limitranges"),),
    "resourcequota": (("RESOURCEQUOTA", "", "ResourceQuota", "resourcequotas"),),
    "podtemplate": (("PODTEMPLATE", "", "PodTemplate", "podtemplates"),),
    "replicationcontroller": (
        ("REPLICATIONCONTROLLER", "", "ReplicationController", "replicationcontrollers"),
    ),
    "priorityclass": (("PRIORITYCLASS", "scheduling.k8s.io", "PriorityClass", "priorityclasses"),),
    "poddisruptionbudget": (
        ("PODDISRUPTIONBUDGET", "policy", "PodDisruptionBudget", "poddisruptionbudgets"),
    ),
    "persistentvolume": (("PERSISTENTVOLUME", "", "PersistentVolume", "persistentvolumes"),),
    "persistentvolumeclaim": (
        ("PERSISTENTVOLUMECLAIM", "", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ),
    "storageclass": (("STORAGECLASS", "storage.k8s.io", "StorageClass", "storageclasses"),),
    "volumeattributesclass": (
        (
            "VOLUMEATTRIBUTESCLASS",
            "storage.k8s.io",
            "VolumeAttributesClass",
            "volumeattributesclasses",
        ),
    ),
    "volumeattachment": (
        ("VOLUMEATTACHMENT", "storage.k8s.io", "VolumeAttachment", "volumeattachments"),
    ),
    "csidriver": (("CSIDRIVER", "storage.k8s.io", "CSIDriver", "csidrivers"),),
    "csinode": (("CSINODE", "storage.k8s.io", "CSINode", "csinodes"),),
    "csistoragecapacity": (
        ("CSISTORAGECAPACITY", "storage.k8s.io", "CSIStorageCapacity", "csistoragecapacities"),
    ),
    "ingress": (("INGRESS", "networking.k8s.io", "Ingress", "ingresses"),),
    "ingressclass": (("INGRESSCLASS", "networking.k8s.io", "IngressClass", "ingressclasses"),),
    "networkpolicy": (("NETWORKPOLICY", "networking.k8s.io", "NetworkPolicy", "networkpolicies"),),
    "servicecidr": (("SERVICECIDR", "networking.k8s.io", "ServiceCIDR", "servicecidrs"),),
    "ipaddress": (("IPADDRESS", "networking.k8s.io", "IPAddress", "ipaddresses"),),
    "runtimeclass": (("RUNTIMECLASS", "node.k8s.io", "RuntimeClass", "runtimeclasses"),),
    "validatingwebhookconfiguration": (
        (
            "VALIDATINGWEBHOOKCONFIGURATION",
            "admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration",
            "validatingwebhookconfigurations",
        ),
    ),
    "mutatingwebhookconfiguration": (
        (
            "MUTATINGWEBHOOKCONFIGURATION",
            "admissionregistration.k8s.io",
            "MutatingWebhookConfiguration",
            "mutatingwebhookconfigurations",
        ),
    ),
    "validatingadmissionpolicy": (
        (
            "VALIDATINGADMISSIONPOLICY",
            "admissionregistration.k8s.io",
            "ValidatingAdmissionPolicy",
            "validatingadmissionpolicies",
        ),
        (
            "VALIDATINGADMISSIONPOLICYBINDING",
            "admissionregistration.k8s.io",
            "ValidatingAdmissionPolicyBinding",
            "validatingadmissionpolicybindings",
        ),
    ),
    "mutatingadmissionpolicy": (
        (
            "MUTATINGADMISSIONPOLICY",
            "admissionregistration.k8s.io",
            "MutatingAdmissionPolicy",
            "mutatingadmissionpolicies",
        ),
        (
            "MUTATINGADMISSIONPOLICYBINDING",
            "admissionregistration.k8s.io",
            "MutatingAdmissionPolicyBinding",
            "mutatingadmissionpolicybindings",
        ),
    ),
    "flowschema": (("FLOWSCHEMA", "flowcontrol.apiserver.k8s.io", "FlowSchema", "flowschemas"),),
    "prioritylevelconfiguration": (
        (
            "PRIORITYLEVELCONFIGURATION",
            "flowcontrol.apiserver.k8s.io",
            "PriorityLevelConfiguration",
            "prioritylevelconfigurations",
        ),
    ),
    "apiservice": (("APISERVICE", "apiregistration.k8s.io", "APIService", "apiservices"),),
    "podcertificaterequest": (
        (
            "PODCERTIFICATEREQUEST",
            "certificates.k8s.io",
            "PodCertificateRequest",
            "podcertificaterequests",
        ),
    ),
    "clustertrustbundle": (
        ("CLUSTERTRUSTBUNDLE", "certificates.k8s.io", "ClusterTrustBundle", "clustertrustbundles"),
    ),
    "storageversionmigration": (
        (
            "STORAGEVERSIONMIGRATION",
            "storagemigration.k8s.io",
            "StorageVersionMigration",
            "storageversionmigrations",
        ),
    ),
    "deviceclass": (("DEVICECLASS", "resource.k8s.io", "DeviceClass", "deviceclasses"),),
    "devicetaintrule": (
        ("DEVICETAINTRULE", "resource.k8s.io", "DeviceTaintRule", "devicetaintrules"),
    ),
    "resourceclaim": (("RESOURCECLAIM", "resource.k8s.io", "ResourceClaim", "resourceclaims"),),
    "resourceclaimtemplate": (
        (
            "RESOURCECLAIMTEMPLATE",
            "resource.k8s.io",
            "ResourceClaimTemplate",
            "resourceclaimtemplates",
        ),
    ),
    "resourceslice": (("RESOURCESLICE", "resource.k8s.io", "ResourceSlice", "resourceslices"),),
    "lease": (("LEASE", "coordination.k8s.io", "Lease", "leases"),),
    "customresourcedefinition": (
        (
            "CUSTOMRESOURCEDEFINITION",
            "apiextensions.k8s.io",
            "CustomResourceDefinition",
            "customresourcedefinitions",
        ),
    ),
    "endpointslice": (("ENDPOINTSLICE", "discovery.k8s.io", "EndpointSlice", "endpointslices"),),
    "rbac": (
        ("ROLE", "rbac.authorization.k8s.io", "Role", "roles"),
        ("CLUSTERROLE", "rbac.authorization.k8s.io", "ClusterRole", "clusterroles"),
        ("ROLEBINDING", "rbac.authorization.k8s.io", "RoleBinding", "rolebindings"),
        (
            "CLUSTERROLEBINDING",
            "rbac.authorization.k8s.io",
            "ClusterRoleBinding",
            "clusterrolebindings",
        ),
    ),
    "review": (
        ("BINDING", "", "Binding", "bindings"),
        ("COMPONENTSTATUS", "", "ComponentStatus", "componentstatuses"),
        ("TOKENREVIEW", "authentication.k8s.io", "TokenReview", "tokenreviews"),
        (
            "SELFSUBJECTREVIEW",
            "authentication.k8s.io",
            "SelfSubjectReview",
            "selfsubjectreviews",
        ),
        (
            "SUBJECTACCESSREVIEW",
            "authorization.k8s.io",
            "SubjectAccessReview",
            "subjectaccessreviews",
        ),
        (
            "SELFSUBJECTACCESSREVIEW",
            "authorization.k8s.io",
            "SelfSubjectAccessReview",
            "selfsubjectaccessreviews",
        ),
        (
            "SELFSUBJECTRULESREVIEW",
            "authorization.k8s.io",
            "SelfSubjectRulesReview",
            "selfsubjectrulesreviews",
        ),
        (
            "LOCALSUBJECTACCESSREVIEW",
            "authorization.k8s.io",
            "LocalSubjectAccessReview",
            "localsubjectaccessreviews",
        ),
    ),
}

# What groups held that are no more
_REMOVED: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "daemonset": (("EXTENSIONS_DAEMONSET", "extensions", "DaemonSet", "daemonsets"),),
    "deployment": (("EXTENSIONS_DEPLOYMENT", "extensions", "Deployment", "deployments"),),
    "ingress": (("EXTENSIONS_INGRESS", "extensions", "Ingress", "ingresses"),),
    "networkpolicy": (
        ("EXTENSIONS_NETWORKPOLICY", "extensions", "NetworkPolicy", "networkpolicies"),
    ),
    "replicaset": (("EXTENSIONS_REPLICASET", "extensions", "ReplicaSet", "replicasets"),),
}


class Registry:
    """Kinds by group and plural, and by group and kind; modules load on first use."""

    def __init__(self, *, unstable: bool = False, removed: bool = False) -> None:
        self._removed = removed
        self._kinds: dict[tuple[str, str], Kind] = {}
        self._names: dict[tuple[str, str], tuple[str, str]] = {}
        self._where: dict[tuple[str, str], tuple[str, str]] = {}
        self._custom: dict[tuple[str, str], tuple[Kind, ...]] = {}
        self._hear: list[Callable[[], None]] = []
        for modules in (_MODULES, _REMOVED) if removed else (_MODULES,):
            self._index(modules)
        for kind in table.unstable() if unstable else ():
            self._names[kind.group, kind.name] = kind.resource
            self._kinds[kind.resource] = kind

    def _index(self, modules: Mapping[str, tuple[tuple[str, str, str, str], ...]]) -> None:
        for module, entries in modules.items():
            for constant, group, name, plural in entries:
                self._names[group, name] = (group, plural)
                self._where[group, plural] = (module, constant)

    def by_resource(self, group: str, version: str, plural: str) -> Kind | None:
        """Returns the kind of a served resource, None where there is none."""
        kind = self._kinds.get((group, plural)) or self._load((group, plural))
        if kind is None:
            found = self._custom.get((group, plural), ())
            return next((one for one in found if one.version(version) is not None), None)
        return kind if kind.version(version) is not None else None

    def of(self, resource: tuple[str, str]) -> Kind | None:
        """Returns the kind of a group and plural name in whatever version, None for none."""
        found = self._kinds.get(resource) or self._load(resource)
        return found or next(iter(self._custom.get(resource, ())), None)

    def served(self, resource: tuple[str, str]) -> tuple[tuple[Kind, Version], ...]:
        """Returns each version in which a resource is served, the preferred one first."""
        kind = self._kinds.get(resource) or self._load(resource)
        kinds = (kind,) if kind is not None else self._custom.get(resource, ())
        return tuple((kind, version) for kind in kinds for version in kind.versions)

    def alike(self, resource: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        """Returns the resources of all groups that show the same objects: those of one module and
        plural name."""
        if (where := self._where.get(resource)) is None:
            return (resource,)
        known = self._where.items()
        return tuple(
            found for found, (module, _) in known if (module, found[1]) == (where[0], resource[1])
        )

    def serve(self, resource: tuple[str, str], kinds: tuple[Kind, ...]) -> None:
        """Registers a custom resource: a kind for each of its versions, the preferred one first;
        none ends it. A built-in resource of that name hides it."""
        built_in = resource in self._where or resource in self._kinds
        for kind in self._custom.pop(resource, ()):
            if not built_in and self._names.get((kind.group, kind.name)) == resource:
                del self._names[kind.group, kind.name]
        if kinds:
            self._custom[resource] = kinds
            self._names.setdefault((kinds[0].group, kinds[0].name), resource)
        for hear in self._hear:
            hear()

    def on_change(self, hear: Callable[[], None]) -> None:
        """Calls `hear` after every change of the custom kinds."""
        self._hear.append(hear)

    def by_kind(self, group: str, version: str, name: str) -> Kind | None:
        """Returns the kind of a group, version and name, None where there is none."""
        resource = self._names.get((group, name))
        return None if resource is None else self.by_resource(group, version, resource[1])

    def all(self) -> tuple[Kind, ...]:
        """Returns all kinds, sorted by group and plural; a custom one for each of its versions."""
        for resource in self._where:
            self._load(resource)
        found: dict[tuple[str, str], tuple[Kind, ...]] = dict(self._custom)
        found |= {resource: (kind,) for resource, kind in self._kinds.items()}
        return tuple(kind for resource in sorted(found) for kind in found[resource])

    def _load(self, resource: tuple[str, str]) -> Kind | None:
        if (where := self._where.get(resource)) is None:
            return None
        kind: Kind = getattr(import_module(f"{_PACKAGE}.{where[0]}"), where[1])
        if self._removed and kind.former:
            kind = structs.replace(kind, versions=(*kind.versions, *kind.former))
        self._kinds[resource] = kind
        return kind


@cache
def registry() -> Registry:
    """Returns the registry of what is served by default."""
    return Registry()


def storage_of(kind: Kind) -> Version:
    """Returns the version in which the objects of a built-in kind are stored; one that is kept as
    another kind has the fields of that."""
    if kind.stored_with is not None:
        kind = registry().of(kind.stored_with) or kind
    found = kind.version(kind.storage)
    assert found is not None
    return found


def definition_of(kind: Kind, version: Version) -> str:
    """Returns the definition by which documents of a built-in version are taken, merged and owned:
    its own, or that of the stored version where it is that one under an old name, so that no field
    is lost that came after."""
    if version.gone and version.to_storage is None:
        return storage_of(kind).definition
    return version.definition


@cache
def groups() -> frozenset[str]:
    """Returns the groups of all built-in kinds."""
    return frozenset(group for rows in _MODULES.values() for _, group, _, _ in rows)


def by_resource(group: str, version: str, plural: str) -> Kind | None:
    """Returns the kind of a resource served by default, None where there is none."""
    return registry().by_resource(group, version, plural)


def by_kind(group: str, version: str, name: str) -> Kind | None:
    """Returns the kind served by default under a group, version and name."""
    return registry().by_kind(group, version, name)


def all() -> tuple[Kind, ...]:
    """Returns all kinds served by default, sorted by group and plural."""
    return registry().all()
