"""The environment of a container: pure, from its spec, the objects it names and the services.

Order and precedence are the kubelet's (makeEnvironmentVariables). A reference that cannot be
resolved raises BadConfiguration, whose text is the message of the waiting state.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from steersman.model.kinds.configmap import ConfigMap
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.secret import Secret
from steersman.model.kinds.service import Service
from steersman.model.types.container import Container, EnvVar
from steersman.node.objects import BadConfiguration, Objects
from steersman.node.render import downward
from steersman.node.render.downward import Machine
from steersman.node.render.expand import expand

__all__ = ["render_environment", "service_variables"]


def render_environment(
    pod: Pod,
    container: Container,
    objects: Objects,
    services: Mapping[str, str],
    facts: downward.Facts,
    machine: Machine,
    files: Mapping[str, str],
) -> dict[str, str]:
    """Returns all variables that the spec gives; those of `services` come first. `files` are the
    values of those that come from files, by name."""
    found: dict[str, str] = dict(services)
    for source in container.env_from:
        if source.config_map_ref is not None:
            name, optional = source.config_map_ref.name, source.config_map_ref.optional
            data = _strings(objects.config_map(name, optional))
        elif source.secret_ref is not None:
            name, optional = source.secret_ref.name, source.secret_ref.optional
            data = _secret_strings(objects.secret(name, optional))
        else:
            continue
        found |= {source.prefix + key: value for key, value in data.items()}
    for variable in container.env:
        if variable.value_from is not None and variable.value_from.file_key_ref is not None:
            if variable.name in files:
                found[variable.name] = files[variable.name]
            continue
        value = _value(pod, container, variable, objects, found, facts, machine)
        if value is not None:
            found[variable.name] = value
    return found


def _strings(found: ConfigMap | None) -> Mapping[str, str]:
    return {} if found is None else found.data


def _secret_strings(found: Secret | None) -> dict[str, str]:
    data = {} if found is None else found.data
    return {key: value.decode("utf-8", "surrogateescape") for key, value in data.items()}


def _value(
    pod: Pod,
    container: Container,
    variable: EnvVar,
    objects: Objects,
    found: Mapping[str, str],
    facts: downward.Facts,
    machine: Machine,
) -> str | None:
    source = variable.value_from
    if source is None:
        return expand(variable.value, found)
    if source.field_ref is not None:
        return downward.field(pod, source.field_ref.field_path, facts)
    if source.resource_field_ref is not None:
        return downward.resource(pod, container, source.resource_field_ref, machine)
    if (key := source.config_map_key_ref) is not None:
        config_map = objects.config_map(key.name, key.optional)
        if config_map is not None and key.key in config_map.data:
            return config_map.data[key.key]
        _check_optional(key.optional, f"couldn't find key {key.key} in ConfigMap", pod, key.name)
        return None
    if (key := source.secret_key_ref) is not None:
        secret = objects.secret(key.name, key.optional)
        if secret is not None and key.key in secret.data:
            return secret.data[key.key].decode("utf-8", "surrogateescape")
        _check_optional(key.optional, f"couldn't find key {key.key} in Secret", pod, key.name)
        return None
    raise BadConfiguration(f"env {variable.name}: this kind of source is not supported")


def _check_optional(optional: bool, text: str, pod: Pod, name: str) -> None:
    if not optional:
        raise BadConfiguration(f"{text} {pod.metadata.namespace}/{name}")


def service_variables(services: Iterable[Service], pod: Pod) -> dict[str, str]:
    """Returns the variables that tell a pod of services (envvars.FromServices).

    Without enableServiceLinks only those of the `kubernetes` service.
    """
    found: dict[str, str] = {}
    for service in sorted(services, key=lambda it: it.metadata.name):
        is_master = service.key == ("default", "kubernetes")
        linked = pod.spec.enable_service_links and service.metadata.namespace == (
            pod.metadata.namespace
        )
        address = service.spec.cluster_ip
        if (is_master or linked) and address not in ("", "None") and service.spec.ports:
            found |= _of_service(service, address)
    return found


def _of_service(service: Service, address: str) -> dict[str, str]:
    prefix = service.metadata.name.upper().replace("-", "_")
    first = service.spec.ports[0]
    found = {f"{prefix}_SERVICE_HOST": address, f"{prefix}_SERVICE_PORT": str(first.port)}
    for port in service.spec.ports:
        if port.name:
            name = port.name.upper().replace("-", "_")
            found[f"{prefix}_SERVICE_PORT_{name}"] = str(port.port)
    for number, port in enumerate(service.spec.ports):
        protocol = port.protocol.lower()
        url = f"{protocol}://{address}:{port.port}"
        if number == 0:
            found[f"{prefix}_PORT"] = url
        base = f"{prefix}_PORT_{port.port}_{port.protocol.upper()}"
        found |= {
            base: url,
            f"{base}_PROTO": protocol,
            f"{base}_PORT": str(port.port),
            f"{base}_ADDR": address,
        }
    return found
