"""What the writer of a pod, or of a template of pods, is told though it is accepted: what no longer
does anything, and what does something else than it seems to.

Follows pkg/api/pod/warnings.go and pkg/api/node/util.go. `path` stands before the fields of the
pod, with its dot; empty for a pod itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from steersman.model import names
from steersman.model.gotext import quote
from steersman.model.kind import Document
from steersman.model.quantity import parse
from steersman.model.types.address_check import ip_warnings

_OLD_LABELS: Final = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": (
        'deprecated since v1.17; use "topology.kubernetes.io/region" instead'
    ),
    "failure-domain.beta.kubernetes.io/zone": (
        'deprecated since v1.17; use "topology.kubernetes.io/zone" instead'
    ),
    "beta.kubernetes.io/instance-type": (
        'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead'
    ),
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": (
        "deprecated since v1.22; use Taints and Tolerations instead"
    ),
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}
_SYSCTLS: Final = 'non-functional in v1.11+; use the "sysctls" field instead'
_OLD_ANNOTATIONS: Final = {
    "scheduler.alpha.kubernetes.io/critical-pod": (
        'non-functional in v1.16+; use the "priorityClassName" field instead'
    ),
    "security.alpha.kubernetes.io/sysctls": _SYSCTLS,
    "security.alpha.kubernetes.io/unsafe-sysctls": _SYSCTLS,
}
# source of a volume -> since when, and since when it does nothing
OLD_VOLUMES: Final = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
SHOWN_VOLUMES: Final = {"storageos": "storageOS"}  # as the messages write it
_SECCOMP: Final = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_SECCOMP_OF_POD: Final = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_OF: Final = "container.seccomp.security.alpha.kubernetes.io/"
_APPARMOR_OF: Final = "container.apparmor.security.beta.kubernetes.io/"
_APPARMOR: Final = 'deprecated since v1.30; use the "appArmorProfile" field instead'
_IN_BYTES: Final = ("memory", "ephemeral-storage")
_NOBODY: Final = "a null labelSelector results in matching no pod"
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"
_CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")


def name_warnings(name: str, use: str) -> Iterator[str]:
    """Yields whether a name that pods have, or begin with, is no label of DNS."""
    if problems := names.dns1123_label(name):
        what = f"this is used in {use}, which can result in surprising behavior"
        yield f"metadata.name: {what}; a DNS label is recommended: [{' '.join(problems)}]"


def pod_warnings(pod: Document, path: str = "") -> Iterator[str]:
    """Yields what is told about a pod or a template."""
    spec, metadata = pod.get("spec") or {}, pod.get("metadata") or {}
    annotations = metadata.get("annotations") or {}
    yield from _of_selecting(spec, f"{path}spec.")
    for key, problem in _OLD_ANNOTATIONS.items():
        if key in annotations:
            yield f"{path}metadata.annotations[{key}]: {problem}"
    yield from _of_volumes(spec.get("volumes") or (), f"{path}spec.volumes")
    yield from _of_doubles(spec, f"{path}spec.")
    yield from _of_bytes(spec.get("overhead") or {}, f"{path}spec.overhead")
    context = spec.get("securityContext") or {}
    if context.get("seccompProfile") is None and _SECCOMP_OF_POD in annotations:
        yield f"{path}metadata.annotations[{_SECCOMP_OF_POD}]: {_SECCOMP}"
    for where, container in _containers(spec, f"{path}spec."):
        marks = _of_annotations(container, annotations, context, is_template=bool(path))
        yield from (f"{path}metadata.{mark}" for mark in marks)
        yield from _of_container(container, where)
    yield from _of_ports(spec, f"{path}spec.")
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        what = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{path}spec.terminationGracePeriodSeconds: {what}"
    yield from _of_neighbours(spec.get("affinity") or {}, f"{path}spec.affinity.")
    yield from _of_addresses(spec, f"{path}spec.")


def _of_addresses(spec: Document, path: str) -> Iterator[str]:
    for index, server in enumerate((spec.get("dnsConfig") or {}).get("nameservers") or ()):
        yield from ip_warnings(f"{path}dnsConfig.nameservers[{index}]", server)
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        yield from ip_warnings(f"{path}hostAliases[{index}].ip", alias.get("ip", ""))


def old_label(key: str) -> str:
    """Returns what is said of a node's label that is no longer set, nothing of any other."""
    return _OLD_LABELS.get(key, "")


def term_warnings(term: Document, path: str, *, check_values: bool = False) -> Iterator[str]:
    """Yields what is told about a term that selects nodes; `check_values`: nobody else checks
    whether it asks for what labels can be."""
    for index, one in enumerate(term.get("matchExpressions") or ()):
        where = f"{path}.matchExpressions[{index}]"
        if problem := old_label(one.get("key", "")):
            yield f"{where}.key: {one['key']} is {problem}"
        for place, value in enumerate(one.get("values") or () if check_values else ()):
            for problem in names.label_value(value):
                yield f"{where}.values[{place}]: {value} is invalid, {problem}"


def claim_warnings(spec: Document, path: str) -> Iterator[str]:
    """Yields what is told about the spec of a claim on a volume."""
    resources = spec.get("resources") or {}
    for side in ("requests", "limits"):
        amounts = {"storage": (resources.get(side) or {}).get("storage", "0")}
        yield from _of_bytes(amounts, f"{path}.resources.{side}", ("storage",))


def _of_selecting(spec: Document, path: str) -> Iterator[str]:
    for key in spec.get("nodeSelector") or ():
        if problem := old_label(key):
            yield f"{path}nodeSelector[{key}]: {problem}"
    nodes = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    where = f"{path}affinity.nodeAffinity"
    terms = (nodes.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ()
    for index, term in enumerate(terms):
        yield from term_warnings(term, f"{where}.{_REQUIRED}.nodeSelectorTerms[{index}]")
    for index, term in enumerate(nodes.get(_PREFERRED) or ()):
        at = f"{where}.{_PREFERRED}[{index}].preference"
        yield from term_warnings(term.get("preference") or {}, at, check_values=True)
    for index, one in enumerate(spec.get("topologySpreadConstraints") or ()):
        at, key = f"{path}topologySpreadConstraints[{index}]", one.get("topologyKey", "")
        if problem := old_label(key):
            yield f"{at}.topologyKey: {key} is {problem}"
        if one.get("labelSelector") is None:
            yield f"{at}.labelSelector: {_NOBODY}"


def _of_neighbours(affinity: Document, path: str) -> Iterator[str]:
    for side in ("podAffinity", "podAntiAffinity"):
        found, at = affinity.get(side) or {}, f"{path}{side}"
        for index, term in enumerate(found.get(_REQUIRED) or ()):
            if term.get("labelSelector") is None:
                yield f"{at}.{_REQUIRED}[{index}].labelSelector: {_NOBODY}"
        for index, term in enumerate(found.get(_PREFERRED) or ()):
            if (term.get("podAffinityTerm") or {}).get("labelSelector") is None:
                yield f"{at}.{_PREFERRED}[{index}].podAffinityTerm.labelSelector: {_NOBODY}"


def _of_volumes(volumes: Sequence[Document], path: str) -> Iterator[str]:
    for index, volume in enumerate(volumes):
        for source, problem in OLD_VOLUMES.items():
            if volume.get(source) is not None:
                yield f"{path}[{index}].{SHOWN_VOLUMES.get(source, source)}: {problem}"
        template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate") or {}
        where = f"{path}[{index}].ephemeral.volumeClaimTemplate.spec"
        yield from claim_warnings(template.get("spec") or {}, where)
    for volume in volumes:
        yield from _of_paths(volume)


def _of_paths(volume: Document) -> Iterator[str]:
    """Yields the files of a volume that lie in each other's way."""
    name = volume.get("name", "")
    for source, called in _SOURCES.items():
        found = volume.get(source) or {}
        if found.get("items"):
            what = f"volume {quote(name)} ({called(found)}): overlapping paths"
            yield from _overlapping(_paths(source, found), what)
    taken: set[str] = set()
    for one in (volume.get("projected") or {}).get("sources") or ():
        if not one:
            yield f"volume {quote(name)} (Projected) has no sources provided"
            continue
        source, found = next(iter(one.items()))
        if source not in _PROJECTED or not (paths := _paths(source, found)):
            continue
        what = f"volume {quote(name)} (Projected {_PROJECTED[source](found)}): overlapping paths"
        yield from _overlapping(paths, what)
        yield from _overlapping(sorted([*set(paths), *taken]), what)
        taken |= set(paths)


def _paths(source: str, found: Document) -> list[str]:
    if source in ("serviceAccountToken", "clusterTrustBundle"):
        return [found.get("path", "")]
    return [item.get("path", "") for item in found.get("items") or ()]


def _named(kind: str, field: str) -> Any:
    return lambda found: f"{kind} {quote(found.get(field, ''))}"


_SOURCES: Final = {
    "configMap": _named("ConfigMap", "name"),
    "secret": _named("Secret", "secretName"),
    "downwardAPI": lambda _found: "DownwardAPI",
}
_PROJECTED: Final = {
    "configMap": _named("ConfigMap", "name"),
    "secret": _named("Secret", "name"),
    "downwardAPI": lambda _found: "DownwardAPI",
    "serviceAccountToken": lambda _found: "ServiceAccountToken",
    "clusterTrustBundle": lambda found: (
        f"ClusterTrustBundle {quote(found.get('name') or found.get('signerName', ''))}"
    ),
}


def _overlapping(paths: Iterable[str], what: str) -> Iterator[str]:
    seen: list[str] = []
    for given in paths:
        path = given.rstrip("/")
        other = next((one for one in seen if _overlap(one, path)), "")
        if other:
            yield f"{what}: {quote(path)} with {quote(other)}"
        if path not in seen:
            seen.append(path)


def _overlap(one: str, other: str) -> bool:
    if not (one and other):
        return False
    return f"{one}/".startswith(other) or f"{other}/".startswith(one)


def _of_doubles(spec: Document, path: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        if (ip := alias.get("ip", "")) in seen:
            yield f"{path}hostAliases[{index}].ip: duplicate ip {quote(ip)}"
        seen.add(ip)
    secrets = [one.get("name") or "" for one in spec.get("imagePullSecrets") or ()]
    for index, name in enumerate(secrets):
        if name in secrets[:index]:
            yield f"{path}imagePullSecrets[{index}].name: duplicate name {quote(name)}"
    for index, name in enumerate(secrets):
        if not name:
            yield f'{path}imagePullSecrets[{index}].name: invalid empty name ""'


def _of_bytes(
    amounts: Mapping[str, Any], path: str, which: Sequence[str] = _IN_BYTES
) -> Iterator[str]:
    for name in which:
        amount = amounts.get(name)
        if amount is not None and (found := parse(amount)).milli() % 1000:
            what = f"fractional byte value {quote(str(found))} is invalid, must be an integer"
            yield f"{path}[{name}]: {what}"


def _containers(spec: Document, path: str) -> Iterator[tuple[str, Document]]:
    for name in _CONTAINERS:
        for index, container in enumerate(spec.get(name) or ()):
            yield f"{path}{name}[{index}]", container


def _of_annotations(
    container: Document, annotations: Document, pod: Document, *, is_template: bool
) -> Iterator[str]:
    context, name = container.get("securityContext") or {}, container.get("name", "")
    if context.get("seccompProfile") is None and f"{_SECCOMP_OF}{name}" in annotations:
        yield f"annotations[{_SECCOMP_OF}{name}]: {_SECCOMP}"
    confined = pod.get("appArmorProfile") or context.get("appArmorProfile")
    if is_template and not confined and f"{_APPARMOR_OF}{name}" in annotations:
        yield f"annotations[{_APPARMOR_OF}{name}]: {_APPARMOR}"


def _of_container(container: Document, path: str) -> Iterator[str]:
    resources = container.get("resources") or {}
    for name in _IN_BYTES:
        for side in ("limits", "requests"):
            amounts = resources.get(side) or {}
            yield from _of_bytes(amounts, f"{path}.resources.{side}", (name,))
    seen: set[str] = set()
    for index, one in enumerate(container.get("env") or ()):
        name = one.get("name", "")
        if name in seen and _hides(one, f"$({name})"):
            what = f"hides previous definition of {quote(name)}"
            yield f"{path}.env[{index}]: {what}, which may be dropped when using apply"
        seen.add(name)


def _hides(variable: Document, earlier: str) -> bool:
    """Says whether a variable takes nothing of the one of its name before it."""
    value = variable.get("value") or ""
    return variable.get("valueFrom") is not None or value == earlier or earlier not in value


def _of_ports(spec: Document, path: str) -> Iterator[str]:
    known: dict[tuple[Any, Any], list[tuple[str, Document]]] = {}
    for where, container in _containers(spec, path):
        for index, port in enumerate(container.get("ports") or ()):
            at = f"{where}.ports[{index}]"
            if port.get("hostIP") and not port.get("hostPort"):
                yield f"{at}: hostIP set without hostPort: {_printed(port)}"
            others = known.setdefault((port.get("containerPort"), port.get("protocol")), [])
            for other_at, other in others:
                if word := _quarrel(port, other):
                    yield f"{at}: {word} port definition with {other_at}"
            others.append((at, port))


def _quarrel(port: Document, other: Document) -> str:
    """Returns how two ports with one number and protocol get into each other's way."""
    mine, theirs = port.get("hostPort") or 0, other.get("hostPort") or 0
    ip, their_ip = port.get("hostIP") or "", other.get("hostIP") or ""
    if (ip, mine) == (their_ip, theirs):
        return "duplicate"
    if not (mine and theirs):
        return "overlapping"
    return "dangerously ambiguous" if mine == theirs and bool(ip) != bool(their_ip) else ""


def _printed(port: Document) -> str:
    """Returns a port as Go prints the internal type (`%+v`)."""
    fields = {"Name": "", "HostPort": 0, "ContainerPort": 0, "Protocol": "", "HostIP": ""}
    given = {name: port.get(name[0].lower() + name[1:], none) for name, none in fields.items()}
    return f"{{{' '.join(f'{name}:{value}' for name, value in given.items())}}}"
