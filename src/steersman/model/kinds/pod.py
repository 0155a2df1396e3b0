"""Pod: its view, its life in the API, and its subresources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from msgspec import field

from steersman.model.causes import forbidden
from steersman.model.errors import Cause
from steersman.model.kind import Document, Kind, Subresource, Version
from steersman.model.kinds.pod_columns import COLUMNS
from steersman.model.kinds.subresources import PROXY
from steersman.model.types import pod_annotation_check, pod_status_check, pod_update
from steersman.model.types.condition import Condition
from steersman.model.types.container import ResourceRequirements
from steersman.model.types.container_check import check_image_spaces
from steersman.model.types.label_keys import with_label_keys
from steersman.model.types.metadata import check_metadata
from steersman.model.types.podspec import PodSpec
from steersman.model.types.podspec_check import check_pod_spec
from steersman.model.types.resources import qos_class
from steersman.model.types.warnings import pod_warn
from steersman.model.view import Object, View


class Waiting(View, frozen=True):
    """A container that does not run yet."""

    reason: str = ""
    message: str = ""


class Running(View, frozen=True):
    """A container that runs."""

    started_at: datetime | None = None


class Terminated(View, frozen=True):
    """A container that has ended."""

    exit_code: int = 0
    signal: int = 0
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    container_id: str = field(default="", name="containerID")


class ContainerState(View, frozen=True):
    """The state of a container; at most one field is set, none means waiting."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(View, frozen=True):
    """What the node says of a container."""

    name: str = ""
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()
    ready: bool = False
    restart_count: int = 0
    image: str = ""
    image_id: str = field(default="", name="imageID")
    container_id: str = field(default="", name="containerID")
    started: bool | None = None
    resources: ResourceRequirements | None = None
    allocated_resources: Mapping[str, str] = {}


class Address(View, frozen=True):
    """One address."""

    ip: str = ""


class PodResourceClaimStatus(View, frozen=True):
    """Which claim was made for a claim of the pod; None: none is needed."""

    name: str = ""
    resource_claim_name: str | None = None


class ExtendedResourceRequest(View, frozen=True):
    """By which request of a claim a container gets an extended resource."""

    container_name: str = ""
    resource_name: str = ""
    request_name: str = ""


class ExtendedResourceClaimStatus(View, frozen=True):
    """The claim that was made for extended resources that devices meet."""

    request_mappings: tuple[ExtendedResourceRequest, ...] = ()
    resource_claim_name: str = ""


class PodStatus(View, frozen=True):
    """What is known of a pod."""

    phase: str = ""
    conditions: tuple[Condition, ...] = ()
    message: str = ""
    reason: str = ""
    nominated_node_name: str = ""
    host_ip: str = field(default="", name="hostIP")
    host_ips: tuple[Address, ...] = field(default=(), name="hostIPs")
    pod_ip: str = field(default="", name="podIP")
    pod_ips: tuple[Address, ...] = field(default=(), name="podIPs")
    start_time: datetime | None = None
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    ephemeral_container_statuses: tuple[ContainerStatus, ...] = ()
    qos_class: str = ""
    observed_generation: int = 0
    resource_claim_statuses: tuple[PodResourceClaimStatus, ...] = ()
    extended_resource_claim_status: ExtendedResourceClaimStatus | None = None


class Pod(Object, frozen=True):
    """core/v1 Pod."""

    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def has_claims(self) -> bool:
        """Whether there are claims that it names, or one for its extended resources."""
        extended = self.status.extended_resource_claim_status
        return bool(self.spec.resource_claims) or extended is not None


def _selectable_pod_ip(pod: Document) -> str:
    addresses = pod.get("status", {}).get("podIPs") or [{}]
    return str(addresses[0].get("ip") or pod.get("status", {}).get("podIP") or "")


_GET_AND_CHANGE = ("get", "patch", "update")
_CONNECT = ("create", "get")
# all but whose it is, which kubelets of old took away
_STATUS = Subresource(
    "status",
    _GET_AND_CHANGE,
    (("status",), *(("metadata", name) for name in ("labels", "annotations", "finalizers"))),
)

_GATED = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
}


def _begin(new: Document, old: Document | None) -> Document:
    if old is not None:
        return new
    spec = new.get("spec") or {}
    status: Document = {"phase": "Pending", "qosClass": qos_class(spec)}
    if spec.get("schedulingGates"):
        status["conditions"] = [dict(_GATED)]
    if spec.get("affinity") or spec.get("topologySpreadConstraints"):
        labels = (new.get("metadata") or {}).get("labels") or {}
        new = {**new, "spec": with_label_keys(spec, labels)}
    return {**new, "status": status}


def _prepare(new: Document, old: Document | None, subresource: str) -> Document:
    if old is not None and subresource == "resize":
        return pod_update.resized(new, old)
    if old is not None and subresource == "status":
        return pod_update.reported(new, old)
    return new if subresource else _begin(new, old)


def _check_metadata(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    yield from check_metadata(new, old)
    if subresource != "binding":
        yield from _check_annotations(new, old, subresource)


def _check(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    if (refusal := pod_update.refusal(old, subresource)) is not None:
        yield refusal
        return
    yield from _check_metadata(new, old, subresource)
    if subresource == "status":
        if old is not None:
            yield from pod_status_check.check_status(new, old)
        return
    if subresource == "binding":
        return
    spec = new.get("spec") or {}
    before = None if old is None else old.get("spec")
    yield from check_pod_spec(spec, "spec", of_pod=True, old=before)
    yield from _check_of_pod(spec)
    if old is None:
        yield from _check_new(spec)
    elif subresource == "ephemeralcontainers":
        yield from pod_update.check_ephemeral(new, old)
    elif subresource == "resize":
        yield from pod_update.check_resize(new, old)
    else:
        yield from pod_update.check_update(new, old)


def _check_annotations(new: Document, old: Document | None, subresource: str) -> Iterator[Cause]:
    spec, path = new.get("spec") or {}, "metadata.annotations"
    now, then = ((one or {}).get("metadata", {}).get("annotations") or {} for one in (new, old))
    if not now and not then:
        return
    before = None if old is None else then
    yield from pod_annotation_check.check_annotations(now, spec, path, before)
    if old is None:
        yield from pod_annotation_check.check_matching(now, spec, "spec")
    elif subresource != "resize":
        yield from pod_annotation_check.check_changed(now, then, path)


def _check_of_pod(spec: Document) -> Iterator[Cause]:
    """Checks what holds for pods and not for templates."""
    if not spec.get("serviceAccountName"):
        for index, volume in enumerate(spec.get("volumes") or ()):
            projected = volume.get("projected") or {}
            for position, source in enumerate(projected.get("sources") or ()):
                if "serviceAccountToken" in source:
                    where = f"spec.volumes[{index}].projected.sources[{position}]"
                    detail = "must not be specified when serviceAccountName is not set"
                    yield forbidden(f"{where}.serviceAccountToken", detail)
    for name in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(name) or ()):
            yield from check_image_spaces(container, f"spec.{name}[{index}]")


def _check_new(spec: Document) -> Iterator[Cause]:
    if spec.get("ephemeralContainers"):
        yield forbidden("spec.ephemeralContainers", "cannot be set on create")
    if spec.get("nodeName") and spec.get("schedulingGates"):
        detail = "cannot be set until all schedulingGates have been cleared"
        yield forbidden("spec.nodeName", detail)


POD = Kind(
    group="",
    name="Pod",
    plural="pods",
    namespaced=True,
    versions=(Version("v1", "io.k8s.api.core.v1.Pod"),),
    storage="v1",
    short_names=("po",),
    categories=("all",),
    columns=COLUMNS,
    check=_check,
    warn=pod_warn,
    metadata_check=_check_metadata,
    templated=True,
    settled=lambda pod: pod.status.phase != "Pending",
    view=Pod,
    prepare=_prepare,
    subresources=(
        Subresource("attach", _CONNECT),
        Subresource(
            "binding",
            ("create",),
            (("spec", "nodeName"), ("status",), ("metadata", "annotations")),
            "v1 Binding",
        ),
        Subresource("ephemeralcontainers", _GET_AND_CHANGE, (("spec", "ephemeralContainers"),)),
        Subresource("eviction", ("create",), (), "policy/v1 Eviction"),
        Subresource("exec", _CONNECT),
        Subresource("log", ("get",)),
        Subresource("portforward", _CONNECT),
        PROXY,
        _STATUS,
        Subresource(
            "resize",
            _GET_AND_CHANGE,
            (("spec", "containers"), ("spec", "initContainers"), ("spec", "resources")),
            since=33,
        ),
    ),
    selectable={
        "spec.nodeName": lambda pod: pod["spec"].get("nodeName", ""),
        "spec.restartPolicy": lambda pod: pod["spec"].get("restartPolicy", ""),
        "spec.schedulerName": lambda pod: pod["spec"].get("schedulerName", ""),
        "spec.serviceAccountName": lambda pod: pod["spec"].get("serviceAccountName", ""),
        "spec.hostNetwork": lambda pod: "true" if pod["spec"].get("hostNetwork") else "false",
        "status.phase": lambda pod: pod.get("status", {}).get("phase", ""),
        "status.podIP": _selectable_pod_ip,
        "status.nominatedNodeName": lambda pod: pod.get("status", {}).get("nominatedNodeName", ""),
    },
    spec_fields=("spec",),
    complete=True,
    returns_deleted=True,
)
