"""PodSecurity: holds new pods against the standard that their namespace's labels name.

`enforce` refuses, `warn` tells the writer and `audit` the audit log, also of a workload whose pods
would be refused. Follows k8s.io/pod-security-admission/admission.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from typing import Final

from steersman.api.admission.chain import Change, Plugin
from steersman.api.admission.pod_security.configuration import PodSecuritySettings
from steersman.api.admission.pod_security.levels import (
    MODES,
    PREFIX,
    Policy,
    Standard,
    detail,
    is_raised,
    policy_of,
    violations,
)
from steersman.api.cache import Cache
from steersman.api.call import Call
from steersman.model import errors
from steersman.model.kind import Document
from steersman.model.ref import Resource

NAMESPACES: Final = Resource("", "namespaces")
PODS: Final = Resource("", "pods")
NOTES: Final = "pod-security.kubernetes.io/"
MOST_PODS: Final = 3000  # defaultNamespaceMaxPodsToCheck
# What else changes a pod than these is looked at (ignoredPodSubresources)
_HARMLESS: Final = ("exec", "attach", "binding", "eviction", "log", "portforward", "proxy",
                    "status")  # fmt: skip
# kind -> where its pods' template stands
_TEMPLATES: Final = {
    "PodTemplate": ("template",),
    "ReplicationController": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
_GROUPS: Final = ("", "apps", "batch")


class PodSecurity(Plugin):
    """See the module."""

    name = "PodSecurity"
    about = frozenset({"Namespace", "Pod", *_TEMPLATES})

    def __init__(self, cache: Cache, settings: PodSecuritySettings) -> None:
        self._settings = settings
        self._namespaces = cache.table(NAMESPACES)
        self._pods = cache.table(PODS)
        self._policies: dict[str, tuple[int, Policy]] = {}

    def check(self, change: Change) -> None:
        """Refuses a pod that the enforced standard forbids, and wrong labels of a namespace."""
        if change.new is None or change.call.table.resource.group not in _GROUPS:
            return
        kind = change.call.kind.name
        if kind == "Namespace":
            self._check_labels(change, change.new)
        elif kind == "Pod" and change.call.subresource not in _HARMLESS:
            self._check_pod(change, change.new)
        elif kind in _TEMPLATES and not change.call.subresource:
            self._tell_of_template(change, change.new)

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on the policy of the namespace, on who is exempt, and on annotations that name
        profiles."""
        policy = self._policy(call.namespace)
        if call.kind.name == "Namespace" or meta.get("annotations"):
            return None if policy != Policy() else ()
        return policy, self._exempt(call)

    def _policy(self, namespace: str) -> Policy:
        """Returns a namespace's policy, read again when the namespace changed."""
        entry = self._namespaces.get("", namespace)
        if entry is None:
            return self._settings.defaults
        known = self._policies.get(namespace)
        if known is None or known[0] != entry.revision:
            policy, _ = policy_of(entry.labels, self._settings.defaults)
            known = self._policies[namespace] = (entry.revision, policy)
        return known[1]

    def _exempt(self, call: Call) -> str:
        """Returns for whose sake a request is not looked at, empty for nobody's."""
        if call.namespace in self._settings.namespaces:
            return "namespace"
        return "user" if call.user.name in self._settings.users else ""

    def _is_exempt(self, change: Change) -> bool:
        if exempt := self._exempt(change.call):
            change.call.note(f"{NOTES}exempt", exempt)
        return bool(exempt)

    def _runs_exempt(self, change: Change, pod: Document) -> bool:
        """Says whether a pod is not looked at for the sake of its runtime class."""
        name = (pod.get("spec") or {}).get("runtimeClassName")
        if exempt := name in self._settings.runtime_classes:
            change.call.note(f"{NOTES}exempt", "runtimeClass")
        return exempt

    def _check_pod(self, change: Change, pod: Document) -> None:
        if self._is_exempt(change):
            return
        policy = self._policy(change.call.namespace)
        if policy.enforce.level == policy.warn.level == policy.audit.level == "privileged":
            change.call.note(f"{NOTES}enforce-policy", str(policy.enforce))
            return
        if change.old is not None and not _is_significant(pod, change.old):
            return
        if self._runs_exempt(change, pod):
            return
        change.call.note(f"{NOTES}enforce-policy", str(policy.enforce))
        _note(change, policy.audit, pod)
        found = list(violations(policy.enforce, pod))
        if found:
            name = pod["metadata"].get("name", "")
            why = f'violates PodSecurity "{policy.enforce}": {detail(found)}'
            raise errors.forbidden("", "pods", name, why)
        _warn(change, policy.warn, pod)

    def _tell_of_template(self, change: Change, document: Document) -> None:
        if self._is_exempt(change):
            return
        policy = self._policy(change.call.namespace)
        if policy.warn.level == policy.audit.level == "privileged":
            return
        template: Document = document
        for field in _TEMPLATES[change.call.kind.name]:
            template = template.get(field) or {}
        if template and not self._runs_exempt(change, template):
            _note(change, policy.audit, template)
            _warn(change, policy.warn, template)

    def _check_labels(self, change: Change, namespace: Document) -> None:
        if change.call.subresource:
            return
        defaults = self._settings.defaults
        new, wrong = policy_of(_labels(namespace), defaults)
        old, known = policy_of(_labels(change.old or {}), defaults)
        name = namespace["metadata"].get("name", "")
        if wrong and wrong != known:
            raise errors.invalid("", "Namespace", name, wrong)
        raised = is_raised(old.enforce, new.enforce)
        if name in self._settings.namespaces:
            if (change.old is None or raised) and not _is_as_strict(new, defaults):
                change.call.remarks.append(_in_vain(name, new, _labels(namespace)))
        elif change.old is not None and raised:
            change.call.remarks.extend(self._violators(name, new.enforce))

    def _violators(self, namespace: str, standard: Standard) -> Iterator[str]:
        """Yields which pods that exist a new standard would refuse."""
        entries = self._pods.ordered(namespace)
        found: dict[str, list[str]] = {}
        for entry in entries[:MOST_PODS]:
            pod = entry.document()
            if pod["spec"].get("runtimeClassName") in self._settings.runtime_classes:
                continue
            reasons = ", ".join(one.reason for one in violations(standard, pod))
            if reasons:
                found.setdefault(reasons, []).append(entry.name)
        if len(entries) > MOST_PODS:
            yield (
                f"new PodSecurity enforce level only checked against the first {MOST_PODS}"
                f" of {len(entries)} existing pods"
            )
        if found:
            yield (
                f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce'
                f' level "{standard}"'
            )
        yield from sorted(f"{_counted(names)}: {reasons}" for reasons, names in found.items())


def _in_vain(name: str, policy: Policy, labels: Mapping[str, str]) -> str:
    """Says which labels of an exempt namespace ask for something."""
    told = [
        f"{mode}={standard}"
        for mode, standard in zip(MODES, policy, strict=True)
        if standard.level != "privileged"
        and (PREFIX + mode in labels or f"{PREFIX}{mode}-version" in labels)
    ]
    return (
        f'namespace "{name}" is exempt from Pod Security, and the policy'
        f" ({', '.join(told)}) will be ignored"
    )


def _is_as_strict(policy: Policy, defaults: Policy) -> bool:
    """Says whether a policy asks for nothing, or for what the defaults ask for."""
    if all(one.level == "privileged" for one in policy):
        return True
    return all(
        one.level == other.level and (one == other or one.level == "privileged")
        for one, other in zip(policy, defaults, strict=True)
    )


def _counted(names: list[str]) -> str:
    first, others = min(names), len(names) - 1
    if not others:
        return first
    return f"{first} (and {others} other pod{'s' if others > 1 else ''})"


def _labels(namespace: Document) -> dict[str, str]:
    return (namespace.get("metadata") or {}).get("labels") or {}


def _note(change: Change, standard: Standard, pod: Document) -> None:
    """Has the audit log keep what the audited standard forbids, where it keeps the request."""
    if change.call.request.notes is not None and (found := list(violations(standard, pod))):
        told = f'would violate PodSecurity "{standard}": {detail(found)}'
        change.call.note(f"{NOTES}audit-violations", told)


def _warn(change: Change, standard: Standard, pod: Document) -> None:
    if found := list(violations(standard, pod)):
        change.call.remarks.append(f'would violate PodSecurity "{standard}": {detail(found)}')


def _is_significant(new: Document, old: Document) -> bool:
    """Says whether an update may change what a pod is allowed: an image, or another container."""
    for field in ("containers", "initContainers", "ephemeralContainers"):
        images = Counter(_images(new, field))
        if images - Counter(_images(old, field)) or (
            field != "ephemeralContainers" and images != Counter(_images(old, field))
        ):
            return True
    return False


def _images(pod: Document, field: str) -> Iterator[tuple[str, str]]:
    for container in (pod.get("spec") or {}).get(field) or ():
        yield container.get("name", ""), container.get("image", "")
