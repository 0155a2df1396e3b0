"""What the writers of other objects than pods are told though what they wrote is accepted: of
workloads, for the pods that they describe, of Services, volumes, classes and accounts.

Follows WarningsOnCreate and WarningsOnUpdate of pkg/registry/*/strategy.go. What a status or
another subresource says is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from steersman.model.gotext import quote
from steersman.model.kind import Document, Warn
from steersman.model.quantity import parse
from steersman.model.types.address_check import cidr_warnings, ip_warnings
from steersman.model.types.pod_warnings import (
    OLD_VOLUMES,
    SHOWN_VOLUMES,
    claim_warnings,
    name_warnings,
    old_label,
    pod_warnings,
    term_warnings,
)

_POD_NAMES: Final = "Pod names and hostnames"
_OLD_CLASS: Final = "volume.beta.kubernetes.io/storage-class"
_USE_CLASS: Final = 'deprecated since v1.8; use "storageClassName" attribute instead'
_OLD_HINTS: Final = "service.kubernetes.io/topology-aware-hints"
_HINTS: Final = "service.kubernetes.io/topology-mode"
_OLD_INGRESS_CLASS: Final = "kubernetes.io/ingress.class"
_ENDPOINTS_BY: Final = "endpoints.kubernetes.io/managed-by"
_ENDPOINTS_CONTROLLER: Final = "endpoint-controller"
_MOUNTABLE: Final = "kubernetes.io/enforce-mountable-secrets"
_SEPARATE: Final = (
    "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
)
_MANY_COMPLETIONS: Final = 100_000
_MUCH_PARALLELISM: Final = 10_000
_UNTRACKED: Final = (
    "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than "
    "10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
)

# (document, old or None on create) -> what is told
Told = Callable[[Document, Document | None], Iterator[str]]


def warner(told: Told) -> Warn:
    """Makes the `warn` of a kind of what is told about the whole object."""

    def warn(new: Document, old: Document | None, subresource: str) -> Iterator[str]:
        if not subresource:
            yield from told(new, old)

    return warn


def workload(path: str = "spec.template.", *, named: bool = False) -> Warn:
    """Makes the `warn` of a kind that makes pods of a template, and names them after itself where
    it is `named`."""

    def told(new: Document, old: Document | None) -> Iterator[str]:
        if old is None and named:
            yield from name_warnings(_name(new), _POD_NAMES)
        if _is_changed(new, old):
            yield from _of_jobs(new, path)
            yield from pod_warnings(_at(new, path), path)
        yield from _of_sets(new, old)

    return warner(told)


def _name(document: Document) -> str:
    name: str = document["metadata"].get("name") or ""
    return name


def _is_changed(new: Document, old: Document | None) -> bool:
    if old is None:
        return True
    return bool(new["metadata"].get("generation") != old["metadata"].get("generation"))


def _at(document: Document, path: str) -> Document:
    for name in path.rstrip(".").split("."):
        document = document.get(name) or {}
    return document


def _of_jobs(new: Document, path: str) -> Iterator[str]:
    """Yields what is told about Jobs, and those of a CronJob."""
    where = path.removesuffix(".template.")
    spec = _at(new, where)
    if spec.get("completionMode") == "Indexed":
        many = (spec.get("completions") or 0) > _MANY_COMPLETIONS
        if many and (spec.get("parallelism") or 0) > _MUCH_PARALLELISM:
            yield f"{where}: {_UNTRACKED}"


def _of_sets(new: Document, old: Document | None) -> Iterator[str]:
    """Yields what is told about StatefulSets, each time; upstream's paths differ."""
    spec = new.get("spec") or {}
    templates = spec.get("volumeClaimTemplates")
    for index, claim in enumerate(templates or ()):
        where = f"spec.volumeClaimTemplates[{index}]"
        inside = where if old is None else f"{where}.Spec"
        yield from claim_warnings(claim.get("spec") or {}, inside)
    if "podManagementPolicy" in spec and (spec.get("revisionHistoryLimit") or 0) < 0:
        what = "a negative value retains all historical revisions; a value >= 0 is recommended"
        yield f"spec.revisionHistoryLimit: {what}"


def pod_warn(new: Document, old: Document | None, subresource: str) -> Iterator[str]:
    """Yields what is told about a pod, only when it is new, since people seldom change them; and
    about the addresses in its status."""
    if subresource == "status":
        status = new.get("status") or {}
        for name in ("podIPs", "hostIPs"):
            for index, one in enumerate(status.get(name) or ()):
                yield from ip_warnings(f"status.{name}[{index}].ip", one.get("ip", ""))
    elif old is None and not subresource:
        yield from name_warnings(_name(new), "the Pod's hostname")
        yield from pod_warnings(new)


def _service_told(new: Document) -> Iterator[str]:
    """Yields what is told about a Service."""
    spec, kind = new.get("spec") or {}, (new.get("spec") or {}).get("type", "ClusterIP")
    if _OLD_HINTS in (new["metadata"].get("annotations") or {}):
        yield f"annotation {_OLD_HINTS} is deprecated, please use {_HINTS} instead"
    if spec.get("clusterIP") not in (None, "", "None") and kind != "ExternalName":
        for index, address in enumerate(spec.get("clusterIPs") or ()):
            yield from ip_warnings(f"spec.clusterIPs[{index}]", address)
    headless = spec.get("clusterIP") == "None" and kind == "ClusterIP"
    if headless:
        for name in ("loadBalancerIP", "externalIPs"):
            if spec.get(name):
                yield f"spec.{name} is ignored for headless services"
        if spec.get("sessionAffinity", "None") != "None":
            yield "spec.SessionAffinity is ignored for headless services"
    for index, address in enumerate(spec.get("externalIPs") or ()):
        yield from ip_warnings(f"spec.externalIPs[{index}]", address)
    if spec.get("externalIPs") and not headless and kind != "ExternalName":
        yield "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
    if address := spec.get("loadBalancerIP"):
        yield from ip_warnings("spec.loadBalancerIP", address)
    for index, value in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        yield from cidr_warnings(f"spec.loadBalancerSourceRanges[{index}]", value)
    yield from _of_names(spec, kind)


def _of_names(spec: Document, kind: str) -> Iterator[str]:
    if kind == "ExternalName" and spec.get("externalIPs"):
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if kind != "ExternalName" and spec.get("externalName"):
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if spec.get("trafficDistribution") == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'


def service_warn(new: Document, _old: Document | None, subresource: str) -> Iterator[str]:
    """Yields what is told about a Service, and about the addresses in its status."""
    if not subresource:
        yield from _service_told(new)
    elif subresource == "status":
        balancer = (new.get("status") or {}).get("loadBalancer") or {}
        for index, ingress in enumerate(balancer.get("ingress") or ()):
            yield from ip_warnings(f"status.loadBalancer.ingress[{index}]", ingress.get("ip", ""))


def quota_told(new: Document, old: Document | None) -> Iterator[str]:
    """Yields what is told about a new ResourceQuota that lets more be asked for than be used."""
    hard = (new.get("spec") or {}).get("hard") or {}
    for name in () if old is not None else ("cpu", "memory", "storage", "ephemeral-storage"):
        asked, limit = f"requests.{name}", f"limits.{name}"
        if asked not in hard and name in ("cpu", "memory"):
            asked = name
        if asked in hard and limit in hard:
            request, most = parse(hard[asked]), parse(hard[limit])
            if request > most:
                yield f"ResourceQuota {asked} ({request}) should be less than {limit} ({most})"


def endpoints_told(new: Document, _old: Document | None) -> Iterator[str]:
    """Yields what is told about Endpoints that somebody made."""
    if (new["metadata"].get("labels") or {}).get(_ENDPOINTS_BY) == _ENDPOINTS_CONTROLLER:
        return
    for index, subset in enumerate(new.get("subsets") or ()):
        for side in ("addresses", "notReadyAddresses"):
            for position, one in enumerate(subset.get(side) or ()):
                where = f"subsets[{index}].{side}[{position}].ip"
                yield from ip_warnings(where, one.get("ip", ""))


def volume_told(new: Document, _old: Document | None) -> Iterator[str]:
    """Yields what is told about a PersistentVolume."""
    spec = new.get("spec") or {}
    yield from _of_class(new)
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        yield (
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. "
            "Instead, the recommended approach is to use dynamic provisioning."
        )
    required = (spec.get("nodeAffinity") or {}).get("required") or {}
    for index, term in enumerate(required.get("nodeSelectorTerms") or ()):
        where = f"spec.nodeAffinity.required.nodeSelectorTerms[{index}]"
        yield from term_warnings(term, where)
    for source, problem in OLD_VOLUMES.items():
        if spec.get(source) is not None:
            yield f"spec.{SHOWN_VOLUMES.get(source, source)}: {problem}"


def claim_told(new: Document, _old: Document | None) -> Iterator[str]:
    """Yields what is told about a claim on a volume."""
    yield from _of_class(new)
    yield from claim_warnings(new.get("spec") or {}, "spec")


def _of_class(new: Document) -> Iterator[str]:
    if _OLD_CLASS in (new["metadata"].get("annotations") or {}):
        yield f"metadata.annotations[{_OLD_CLASS}]: {_USE_CLASS}"


def storage_class_told(new: Document, _old: Document | None) -> Iterator[str]:
    """Yields what is told about a StorageClass."""
    for index, topology in enumerate(new.get("allowedTopologies") or ()):
        for place, one in enumerate(topology.get("matchLabelExpressions") or ()):
            if problem := old_label(one.get("key", "")):
                yield f"allowedTopologies[{index}].matchLabelExpressions[{place}]: {problem}"


def capacity_told(new: Document, _old: Document | None) -> Iterator[str]:
    """Yields what is told about a CSIStorageCapacity."""
    topology = new.get("nodeTopology") or {}
    for index, one in enumerate(topology.get("matchExpressions") or ()):
        key = one.get("key", "")
        if problem := old_label(key):
            yield f"nodeTopology.matchExpressions[{index}]: {key} is {problem}"
    for key in topology.get("matchLabels") or ():
        if problem := old_label(key):
            yield f"nodeTopology.matchLabels.{key}: {problem}"


def runtime_class_told(new: Document, _old: Document | None) -> Iterator[str]:
    """Yields what is told about a RuntimeClass."""
    for key in (new.get("scheduling") or {}).get("nodeSelector") or ():
        if problem := old_label(key):
            yield f"scheduling.nodeSelector: {problem}"


def ingress_told(new: Document, old: Document | None) -> Iterator[str]:
    """Yields what is told about a new Ingress."""
    annotations = new["metadata"].get("annotations") or {}
    unnamed = (new.get("spec") or {}).get("ingressClassName") is None
    if old is None and unnamed and _OLD_INGRESS_CLASS in annotations:
        what = f"annotation {quote(_OLD_INGRESS_CLASS)} is deprecated"
        yield f"{what}, please use 'spec.ingressClassName' instead"


def account_told(new: Document, old: Document | None) -> Iterator[str]:
    """Yields what is told about a ServiceAccount that is newly restricted to some Secrets."""
    now, then = ((one or {}).get("metadata", {}).get("annotations") or {} for one in (new, old))
    if _MOUNTABLE in now and _MOUNTABLE not in then:
        yield f"metadata.annotations[{_MOUNTABLE}]: {_SEPARATE}"


def node_told(new: Document, _old: Document | None) -> Iterator[str]:
    """Yields what is told about a Node."""
    spec = new.get("spec") or {}
    if spec.get("configSource") is not None:
        yield "spec.configSource: the feature is removed"
    if spec.get("externalID"):
        yield "spec.externalID: this field is deprecated, and is unused by Kubernetes"
    for index, cidr in enumerate(spec.get("podCIDRs") or ()):
        yield from cidr_warnings(f"spec.podCIDRs[{index}]", cidr)
