"""What is checked of Ingresses and their classes (pkg/apis/networking/validation)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from steersman.model import names
from steersman.model.causes import each, forbidden, invalid, not_supported, required, too_long
from steersman.model.errors import Cause
from steersman.model.kind import Document
from steersman.model.types.address_check import check_ip, packed
from steersman.model.types.metadata import check_domain_prefixed

_PATH_TYPES: Final = ("Exact", "ImplementationSpecific", "Prefix")
_NOT_IN_PATHS: Final = ("//", "/./", "/../", "%2f", "%2F")
_NOT_AT_END: Final = ("/..", "/.")
_MOST_CONTROLLER_BYTES: Final = 250
_SCOPES: Final = ("Cluster", "Namespace")
_NAMED: Final = ("kind", "name")
_NOT_ADDRESS: Final = "must be a DNS name, not an IP address"


def check_spec(spec: Document, old: Document | None) -> Iterator[Cause]:
    """Yields what is wrong with the spec of an Ingress; `old` is the spec before an update."""
    rules, backend = spec.get("rules") or [], spec.get("defaultBackend")
    if not rules and backend is None:
        detail = "either `defaultBackend` or `rules` must be specified"
        yield invalid("spec", spec.get("rules"), detail)
    if backend is not None:
        yield from _check_backend(backend, "spec.defaultBackend")
    yield from _check_rules(rules, "spec.rules", _has_bad_wildcard(old or {}))
    secrets_are_free = any(_secret_problems(one) for one in (old or {}).get("tls") or ())
    for index, one in enumerate(spec.get("tls") or ()):
        path = f"spec.tls[{index}]"
        for position, host in enumerate(one.get("hosts") or ()):
            yield from each(f"{path}.hosts[{position}]", host, _host_problems(host))
        if not secrets_are_free:
            yield from each(f"{path}.secretName", one.get("secretName"), _secret_problems(one))
    class_name = spec.get("ingressClassName")
    if class_name is not None:
        yield from each("spec.ingressClassName", class_name, names.dns1123_subdomain(class_name))


def check_balancer(balancer: Document, old: Document, path: str) -> Iterator[Cause]:
    """Yields what is wrong with the addresses at which an Ingress is served; those it had before
    may stay."""
    known = [one.get("ip") for one in old.get("ingress") or ()]
    for index, one in enumerate(balancer.get("ingress") or ()):
        where, host = f"{path}.ingress[{index}]", one.get("hostname")
        if address := one.get("ip"):
            yield from check_ip(f"{where}.ip", address, known)
        if host:
            yield from each(f"{where}.hostname", host, names.dns1123_subdomain(host))
            if packed(host) is not None:
                yield invalid(f"{where}.hostname", host, _NOT_ADDRESS)


def _host_problems(host: str) -> list[str]:
    if "*" in host:
        return names.wildcard_dns1123_subdomain(host)
    return names.dns1123_subdomain(host)


def _secret_problems(one: Document) -> list[str]:
    name = one.get("secretName")
    return names.dns1123_subdomain(name) if name else []


def _has_bad_wildcard(spec: Document) -> bool:
    wild = (rule for rule in spec.get("rules") or () if "*" in rule.get("host", ""))
    return any(True for rule in wild for _cause in _check_http(rule.get("http"), ""))


def _check_rules(rules: Sequence[Document], path: str, wild_are_free: bool) -> Iterator[Cause]:
    for index, rule in enumerate(rules):
        where, host = f"{path}[{index}]", rule.get("host", "")
        if host:
            if packed(host) is not None:
                yield invalid(f"{where}.host", host, _NOT_ADDRESS)
            yield from each(f"{where}.host", host, _host_problems(host))
        if not (wild_are_free and "*" in host):
            yield from _check_http(rule.get("http"), f"{where}.http")


def _check_http(http: Document | None, path: str) -> Iterator[Cause]:
    if http is None:
        return
    if not http.get("paths"):
        yield required(f"{path}.paths")
    for index, one in enumerate(http.get("paths") or ()):
        yield from _check_path(one, f"{path}.paths[{index}]")


def _check_path(one: Document, path: str) -> Iterator[Cause]:
    kind, value = one.get("pathType"), one.get("path", "")
    if kind is None:
        yield required(f"{path}.pathType", "pathType must be specified")
        return
    if kind not in _PATH_TYPES:
        yield not_supported(f"{path}.pathType", kind, _PATH_TYPES)
    elif (kind != "ImplementationSpecific" or value) and not value.startswith("/"):
        yield invalid(f"{path}.path", value, "must be an absolute path")
    if kind in ("Exact", "Prefix"):
        problems = [f"must not contain '{part}'" for part in _NOT_IN_PATHS if part in value]
        problems += [f"cannot end with '{part}'" for part in _NOT_AT_END if value.endswith(part)]
        yield from each(f"{path}.path", value, problems)
    yield from _check_backend(one.get("backend") or {}, f"{path}.backend")


def _check_backend(backend: Document, path: str) -> Iterator[Cause]:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        yield invalid(path, "", "cannot set both resource and service backends")
    elif resource is not None:
        yield from _check_reference(resource, f"{path}.resource")
    elif service is None:
        yield invalid(path, "", "resource or service backend is required")
    else:
        name = service.get("name", "")
        if not name:
            yield required(f"{path}.service.name")
        else:
            yield from each(f"{path}.service.name", name, names.dns1035_label(name))
        yield from _check_port(service.get("port") or {}, path)


def _check_port(port: Document, path: str) -> Iterator[Cause]:
    name, number = port.get("name", ""), port.get("number", 0)
    if name and number:
        yield invalid(path, "", "cannot set both port name & port number")
    elif name:
        yield from each(f"{path}.service.port.name", name, names.port_name(name))
    elif number:
        yield from each(f"{path}.service.port.number", number, names.port_number(number))
    else:
        yield required(path, "port name or number is required")


def _check_reference(
    reference: Document, path: str, *, is_declared: bool = False
) -> Iterator[Cause]:
    """Yields what is wrong with a reference; what the type declares of it is told elsewhere."""
    group = reference.get("apiGroup")
    if group is not None:
        yield from each(f"{path}.apiGroup", group, names.dns1123_subdomain(group))
    for name in _NAMED:
        if value := reference.get(name, ""):
            yield from each(f"{path}.{name}", value, names.path_segment(value))
        elif not is_declared:
            yield required(f"{path}.{name}")


def check_class(spec: Document) -> Iterator[Cause]:
    """Yields what is wrong with the spec of an IngressClass."""
    path, controller = "spec.controller", spec.get("controller", "")
    if len(controller.encode()) > _MOST_CONTROLLER_BYTES:
        yield too_long(path, _MOST_CONTROLLER_BYTES)
    yield from check_domain_prefixed(controller, path)
    if (parameters := spec.get("parameters")) is not None:
        yield from _check_parameters(parameters, "spec.parameters")
        for name in _NAMED:
            if not parameters.get(name):  # declared by upstream's type: told last
                yield required(f"spec.parameters.{name}")


def _check_parameters(parameters: Document, path: str) -> Iterator[Cause]:
    yield from _check_reference(parameters, path, is_declared=True)
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    where = f"{path}.namespace"
    if scope is None:
        yield required(f"{path}.scope")
    elif scope not in _SCOPES:
        yield not_supported(f"{path}.scope", scope, _SCOPES)
    elif scope == "Cluster":
        if namespace is not None:
            yield forbidden(where, "`parameters.scope` is set to 'Cluster'")
    elif namespace is None:
        yield required(where, "`parameters.scope` is set to 'Namespace'")
    else:
        yield from each(where, namespace, names.dns1123_label(namespace))
