"""APIService: its view and its life in the API."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import field as renamed

from steersman.model import names
from steersman.model.causes import each, invalid, not_supported, required
from steersman.model.errors import Cause
from steersman.model.gotext import quote
from steersman.model.kind import Column, Document, Kind, Version
from steersman.model.kinds.configmap import decoded_bytes
from steersman.model.kinds.customresourcedefinition import with_condition
from steersman.model.kinds.prepare import preparer
from steersman.model.kinds.printing import AGE, NAME, at
from steersman.model.kinds.subresources import STATUS_ALONE
from steersman.model.removed import Life, removed
from steersman.model.types.condition import Condition
from steersman.model.types.metadata import check_metadata
from steersman.model.view import Object, View


class ServiceReference(View, frozen=True):
    """The Service that serves a group and version."""

    namespace: str = ""
    name: str = ""
    port: int = 443


class APIServiceSpec(View, frozen=True):
    """Who serves a group and version; no service: this server. `ca_bundle` is the decoded PEM."""

    service: ServiceReference | None = None
    group: str = ""
    version: str = ""
    insecure_skip_tls_verify: bool = renamed(default=False, name="insecureSkipTLSVerify")
    ca_bundle: bytes = b""
    group_priority_minimum: int = 0
    version_priority: int = 0


class APIServiceStatus(View, frozen=True):
    """What is known of it."""

    conditions: tuple[Condition, ...] = ()


class APIService(Object, frozen=True):
    """apiregistration.k8s.io/v1 APIService."""

    spec: APIServiceSpec = APIServiceSpec()
    status: APIServiceStatus = APIServiceStatus()


_MOST_GROUP_PRIORITY = 20_000
_MOST_VERSION_PRIORITY = 1_000
_STATUSES = ("True", "False", "Unknown")
_SKIP = "insecureSkipTLSVerify"


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    spec = new.get("spec") or {}
    wanted = f"{spec.get('version', '')}.{spec.get('group', '')}"

    def check_name(name: str) -> list[str]:
        if problems := names.path_segment(name):
            return problems
        must = f'must be `spec.version+"."+spec.group`: {quote(wanted)}'
        return [] if name == wanted else [must]

    yield from check_metadata(new, old, namespaced=False, name=check_name, any_finalizer=True)
    if subresource == "status":
        for index, one in enumerate((new.get("status") or {}).get("conditions") or ()):
            if one.get("status", "") not in _STATUSES:
                path = f"status.conditions[{index}].status"
                yield not_supported(path, one.get("status", ""), _STATUSES)
        return
    if old is not None:  # a name stays, so the version and group do
        name = (new.get("metadata") or {}).get("name", "")
        yield from each("metadata.name", name, check_name(name))
    yield from _check_spec(spec)


def _check_spec(spec: Document) -> Iterator[Cause]:
    group, version = spec.get("group", ""), spec.get("version", "")
    if not group and version != "v1":
        detail = "only v1 may have an empty group and it better be legacy kube"
        yield required("spec.group", detail)
    if group:
        yield from each("spec.group", group, names.dns1123_subdomain(group))
    yield from each("spec.version", version, names.dns1035_label(version))
    for name, most in (
        ("groupPriorityMinimum", _MOST_GROUP_PRIORITY),
        ("versionPriority", _MOST_VERSION_PRIORITY),
    ):
        if not 0 < spec.get(name, 0) <= most:
            detail = f"must be positive and less than {most}"
            yield invalid(f"spec.{name}", spec.get(name, 0), detail)
    skips, bundle = bool(spec.get(_SKIP)), decoded_bytes(spec.get("caBundle") or "")
    if (service := spec.get("service")) is None:
        if bundle:
            detail = "local APIServices may not have a caBundle"
            yield invalid("spec.caBundle", f"{bundle} bytes", detail)
        if skips:
            yield invalid(f"spec.{_SKIP}", True, f"local APIServices may not have {_SKIP}")
        return
    for name in ("namespace", "name"):
        if not service.get(name):
            yield required(f"spec.service.{name}")
    port = service.get("port", 0)
    if problems := names.port_number(port):
        yield invalid("spec.service.port", port, f"port is not valid: {', '.join(problems)}")
    if skips and bundle:
        yield invalid(f"spec.{_SKIP}", True, "may not be true if caBundle is present")


def _prepare_new(new: Document, old: Document | None) -> Document:
    """Says of a new APIService of this server that it is available, which needs no check."""
    if old is not None or new["spec"].get("service") is not None:
        return new
    time = new["metadata"].get("creationTimestamp")
    message = "Local APIServices are always available"
    return with_condition(new, "Available", "True", "Local", message, time)


def _available(service: Document, _now: float) -> str:
    for one in at(service, "status", "conditions") or ():
        if one.get("type") == "Available":
            if one.get("status") == "True":
                return "True"
            return f"{one.get('status', '')} ({one.get('reason', '')})"
    return "Unknown"


def _service(service: Document, _now: float) -> str:
    target = at(service, "spec", "service")
    return f"{target.get('namespace', '')}/{target.get('name', '')}" if target else "Local"


APISERVICE = Kind(
    group="apiregistration.k8s.io",
    name="APIService",
    plural="apiservices",
    namespaced=False,
    versions=(Version("v1", "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService"),),
    storage="v1",
    former=(
        removed(
            "apiregistration.k8s.io/v1beta1",
            "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1beta1.APIService",
            Life(19, 22, "apiregistration.k8s.io/v1"),
        ),
    ),
    categories=("api-extensions",),
    columns=(NAME, Column("Service", _service), Column("Available", _available), AGE),
    check=_check,
    view=APIService,
    prepare=preparer(_prepare_new, status={}),
    subresources=(STATUS_ALONE,),
    conditional=True,
    complete=True,
)
