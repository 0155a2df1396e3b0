"""What is checked of a PodSpec, of a pod or of a template (ValidatePodSpec,
ValidatePodTemplateSpec in pkg/apis/core/validation)."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from steersman.model import names
from steersman.model.causes import (
    duplicate,
    each,
    forbidden,
    invalid,
    not_supported,
    one_of,
    required,
    too_long,
)
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.quantity import parse
from steersman.model.types import pod_annotation_check
from steersman.model.types.address_check import check_ip
from steersman.model.types.container_check import (
    Surroundings,
    check_containers,
    check_ephemeral_containers,
    check_init_containers,
)
from steersman.model.types.metadata import check_annotations, check_labels
from steersman.model.types.resource_check import check_requirements
from steersman.model.types.resources import requested
from steersman.model.types.scheduling_check import (
    SOUND,
    Selected,
    check_affinity,
    check_spread,
    check_tolerations,
    sound_selections,
)
from steersman.model.types.security_check import check_pod_context
from steersman.model.types.system_check import check_host_process, check_system
from steersman.model.types.volume_check import check_volumes, sources

RESTART_POLICIES: Final = ("Always", "OnFailure", "Never")
_DNS_POLICIES: Final = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
PREEMPTION_POLICIES: Final = ("PreemptLowerPriority", "Never")
_MOST_SECONDS: Final = 2**31 - 1
_MOST_NAMESERVERS: Final = 3
_MOST_HOSTNAME_BYTES: Final = 64
_MOST_SEARCHES: Final = 32
_MOST_SEARCH_CHARACTERS: Final = 2048
# 2 MB at most for the specs that were found sound lately
_MOST_REMEMBERED: Final = 256
_MOST_REMEMBERED_BYTES: Final = 8192
_SOUND: set[tuple[bool, bytes]] = set()


def check_pod_spec(
    spec: Document, path: str, *, of_pod: bool, old: Document | None = None
) -> Sequence[Cause]:
    """Returns what is wrong with a pod's spec; `of_pod`: not of a template; `old` is the spec from
    before an update, whose addresses and values of labels may stay.

    The same specs come again and again (replicas, scaling, labels): sound ones are remembered.
    """
    key = (of_pod, msgspec.json.encode(spec))
    if key in _SOUND:
        return ()
    causes = list(_check_spec(spec, path, of_pod, _NOTHING))
    if causes and old:
        known = Known(frozenset(_addresses(old)), sound_selections(old))
        causes = list(_check_spec(spec, path, of_pod, known))
    elif not causes and len(key[1]) <= _MOST_REMEMBERED_BYTES:
        if len(_SOUND) >= _MOST_REMEMBERED:
            _SOUND.clear()
        _SOUND.add(key)
    return causes


class Known(NamedTuple):
    """What is not refused because it was so before: addresses, and what was no sound selection."""

    addresses: Container[str] = ()
    selected: Selected = SOUND


_NOTHING: Final = Known()


def _addresses(spec: Document) -> Iterator[str]:
    yield from (alias.get("ip", "") for alias in spec.get("hostAliases") or ())
    yield from (spec.get("dnsConfig") or {}).get("nameservers") or ()


def _check_spec(spec: Document, path: str, of_pod: bool, known: Known) -> Iterator[Cause]:
    grace_seconds = spec.get("terminationGracePeriodSeconds")
    if grace_seconds is None:
        yield required(f"{path}.terminationGracePeriodSeconds")
    volumes = spec.get("volumes") or ()
    yield from check_volumes(volumes, f"{path}.volumes")
    claims = spec.get("resourceClaims") or ()
    yield from _check_claims(claims, f"{path}.resourceClaims")
    around = Surroundings(
        sources(volumes),
        {claim["name"] for claim in claims if claim.get("name")},
        grace_seconds,
        spec.get("restartPolicy", ""),
        spec.get("hostUsers") is not False,
        (spec.get("os") or {}).get("name", ""),
    )
    yield from _check_all_containers(spec, path, around)
    if (resources := spec.get("resources")) is not None:
        yield from _check_pod_resources(resources, spec, f"{path}.resources")
    if spec.get("hostNetwork"):
        yield from _check_host_ports(spec, f"{path}.containers", of_pod)
    yield from one_of(f"{path}.restartPolicy", spec.get("restartPolicy"), RESTART_POLICIES)
    yield from one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS_POLICIES)
    yield from check_labels(spec.get("nodeSelector"), f"{path}.nodeSelector")
    if context := spec.get("securityContext"):
        yield from check_pod_context(context, spec, f"{path}.securityContext")
    yield from _check_placement(spec, path, known)
    yield from _check_names(spec, path)
    yield from _check_policies(spec, path, known)


def _check_all_containers(spec: Document, path: str, around: Surroundings) -> Iterator[Cause]:
    main, init = spec.get("containers") or (), spec.get("initContainers") or ()
    yield from check_containers(main, f"{path}.containers", around)
    yield from check_init_containers(init, main, f"{path}.initContainers", around)
    if ephemeral := spec.get("ephemeralContainers"):
        where = f"{path}.ephemeralContainers"
        yield from check_ephemeral_containers(ephemeral, (*main, *init), where, around)


def _check_placement(spec: Document, path: str, known: Known) -> Iterator[Cause]:
    if affinity := spec.get("affinity"):
        yield from check_affinity(affinity, f"{path}.affinity", known.selected)
    yield from _check_dns(spec, f"{path}.dnsConfig", known)
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        kind = gate.get("conditionType", "")
        where = f"{path}.readinessGates[{index}].conditionType"
        yield from each(where, kind, names.qualified_name(kind))
    seen: set[str] = set()
    for index, gate in enumerate(spec.get("schedulingGates") or ()):
        name, where = gate.get("name", ""), f"{path}.schedulingGates[{index}]"
        yield from each(where, name, names.qualified_name(name))
        if name in seen:
            yield duplicate(where, name)
        seen.add(name)
    if constraints := spec.get("topologySpreadConstraints"):
        where = f"{path}.topologySpreadConstraints"
        yield from check_spread(constraints, where, selectors=known.selected.spread)
    yield from check_host_process(spec, path)
    if spec.get("hostUsers") is False:
        for name, shown in (("hostNetwork",) * 2, ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
            if spec.get(name):
                yield forbidden(f"{path}.{shown}", "when `pod.Spec.HostUsers` is false")


def _check_names(spec: Document, path: str) -> Iterator[Cause]:
    for name in ("serviceAccountName", "nodeName"):
        if value := spec.get(name):
            yield from each(f"{path}.{name}", value, names.dns1123_subdomain(value))
    seconds = spec.get("activeDeadlineSeconds")
    if seconds is not None:
        problems = names.in_range(seconds, 1, _MOST_SECONDS)
        yield from each(f"{path}.activeDeadlineSeconds", seconds, problems)
    for name in ("hostname", "subdomain"):
        if value := spec.get(name):
            yield from each(f"{path}.{name}", value, names.dns1123_label(value))
    if (override := spec.get("hostnameOverride")) is not None:
        yield from _check_override(override, spec, path)


def _check_override(override: str, spec: Document, path: str) -> Iterator[Cause]:
    """Checks a name of its own for the host that a pod sees (KEP-4762)."""
    where = f"{path}.hostnameOverride"
    yield from each(where, override, names.dns1123_subdomain(override))
    if len(override.encode()) > _MOST_HOSTNAME_BYTES:
        yield too_long(where, _MOST_HOSTNAME_BYTES)
    for name in ("setHostnameAsFQDN", "hostNetwork"):
        if spec.get(name):
            yield forbidden(f"{path}.{name}", "may not be set when hostnameOverride is specified")


def _check_policies(spec: Document, path: str, known: Known) -> Iterator[Cause]:
    if tolerations := spec.get("tolerations"):
        yield from check_tolerations(tolerations, f"{path}.tolerations")
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        where = f"{path}.hostAliases[{index}]"
        yield from check_ip(f"{where}.ip", alias.get("ip", ""), known.addresses)
        for position, name in enumerate(alias.get("hostnames") or ()):
            yield from each(f"{where}.hostnames[{position}]", name, names.dns1123_subdomain(name))
    for name, empty in (("priorityClassName", ""), ("runtimeClassName", None)):
        if (value := spec.get(name)) not in (None, empty):
            yield from each(f"{path}.{name}", value, names.dns1123_subdomain(value))
    policy = spec.get("preemptionPolicy")
    if policy is not None:
        yield from one_of(f"{path}.preemptionPolicy", policy, PREEMPTION_POLICIES)
    if overhead := spec.get("overhead"):
        yield from check_requirements({"limits": overhead}, f"{path}.overhead", ())
    yield from check_system(spec, path)


def _check_claims(claims: Sequence[Document], path: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        where, name = f"{path}[{index}]", claim.get("name", "")
        if not name:
            yield required(f"{where}.name")
        elif name in seen:
            yield duplicate(f"{where}.name", name)
        else:
            yield from each(f"{where}.name", name, names.dns1123_label(name))
        seen.add(name)
        sources = ("resourceClaimName", "resourceClaimTemplateName")
        given = [source for source in sources if claim.get(source) is not None]
        if len(given) > 1:
            listed = "`resourceClaimName` or `resourceClaimTemplateName`"
            yield invalid(where, claim, f"at most one of {listed} may be specified")
        if not given:
            listed = "`resourceClaimName`, `resourceClaimTemplateName`"
            yield invalid(where, claim, f"must specify one of: {listed}")
        for source in given:
            value = claim[source]
            yield from each(f"{where}.{source}", value, names.dns1123_subdomain(value))


def _check_pod_resources(resources: Document, spec: Document, path: str) -> Iterator[Cause]:
    if resources.get("claims"):
        yield forbidden(f"{path}.claims", "claims cannot be set for Resources at pod-level")
    yield from check_requirements(resources, path, (), of_pod=True)
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for name, needed in requested(spec).items():
        given = requests.get(name, "0")
        if needed > parse(given):
            detail = f"must be greater than or equal to aggregate container requests of {needed}"
            yield invalid(f"{path}.requests[{name}]", given, detail)
    for index, container in enumerate(spec.get("containers") or ()):
        own = (container.get("resources") or {}).get("limits") or {}
        for name, limit in own.items():
            if name in limits and parse(limit) > parse(limits[name]):
                where = f"{path}.containers[{index}][{name}].limits"
                detail = f"must be less than or equal to pod limits of {limits[name]}"
                yield invalid(where, limit, detail)


def _check_host_ports(spec: Document, path: str, of_pod: bool) -> Iterator[Cause]:
    detail = "must match `containerPort` when `hostNetwork` is true"
    for index, container in enumerate(spec.get("containers") or ()):
        for position, port in enumerate(container.get("ports") or ()):
            outside = port.get("hostPort", 0)
            if (of_pod or outside) and outside != port.get("containerPort", 0):
                yield invalid(f"{path}[{index}].ports[{position}].hostPort", outside, detail)


def _check_dns(spec: Document, path: str, known: Known) -> Iterator[Cause]:
    config = spec.get("dnsConfig")
    servers = (config or {}).get("nameservers") or []
    if spec.get("dnsPolicy") == "None" and not servers:
        if config is None:
            yield required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
        else:
            detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            yield required(f"{path}.nameservers", detail)
        return
    if config is None:
        return
    if len(servers) > _MOST_NAMESERVERS:
        detail = f"must not have more than {_MOST_NAMESERVERS} nameservers"
        yield invalid(f"{path}.nameservers", servers, detail)
    for index, server in enumerate(servers):
        yield from check_ip(f"{path}.nameservers[{index}]", server, known.addresses)
    yield from _check_searches(config.get("searches") or [], f"{path}.searches")
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            yield required(f"{path}.options[{index}]", "must not be empty")


def _check_searches(searches: list[str], path: str) -> Iterator[Cause]:
    if len(searches) > _MOST_SEARCHES:
        yield invalid(path, searches, f"must not have more than {_MOST_SEARCHES} search paths")
    if len(" ".join(searches)) > _MOST_SEARCH_CHARACTERS:
        most = f"{_MOST_SEARCH_CHARACTERS} characters (including spaces) in the search list"
        yield invalid(path, searches, f"must not have more than {most}")
    for index, search in enumerate(searches):
        if search != ".":
            domain = search.removesuffix(".")
            # underscores are allowed here (RelaxedDNSSearchValidation)
            problems = names.dns1123_subdomain(domain.replace("_", "a"))
            yield from each(f"{path}[{index}]", domain, problems)


def check_template(template: Document, path: str, old: Document | None = None) -> Iterator[Cause]:
    """Yields what is wrong with a pod template; `old` is the one from before an update."""
    yield from check_template_metadata(template, path)
    spec, before = template.get("spec") or {}, (old or {}).get("spec")
    yield from check_pod_spec(spec, f"{path}.spec", of_pod=False, old=before)
    if annotations := (template.get("metadata") or {}).get("annotations"):
        yield from pod_annotation_check.check_matching(annotations, spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        detail = "ephemeral containers not allowed in pod template"
        yield forbidden(f"{path}.spec.ephemeralContainers", detail)


def check_template_metadata(template: Document, path: str) -> Iterator[Cause]:
    """Yields what is wrong with a template's metadata; upstream's paths lack `metadata`."""
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    yield from check_labels(metadata.get("labels"), f"{path}.labels")
    annotations = metadata.get("annotations") or {}
    yield from check_annotations(annotations, f"{path}.annotations")
    if annotations:
        yield from pod_annotation_check.check_annotations(annotations, spec, f"{path}.annotations")


def check_restarting_template(template: Document, path: str, kind: str) -> Iterator[Cause]:
    """Yields what is wrong with the template of a kind whose pods always restart."""
    spec = template.get("spec") or {}
    policy = spec.get("restartPolicy", "")
    if policy != "Always":
        yield not_supported(f"{path}.spec.restartPolicy", policy, ("Always",))
    if spec.get("activeDeadlineSeconds") is not None:
        detail = f"activeDeadlineSeconds in {kind} is not Supported"
        yield forbidden(f"{path}.spec.activeDeadlineSeconds", detail)
