"""Values that fields may have, and those they get, in OpenAPI documents; and that they are true."""

from __future__ import annotations

import copy
import re
from typing import Any, Literal

import pytest

from steersman.api.published import values
from steersman.api.published.openapi import OpenAPI
from steersman.api.published.schemas import render
from steersman.model import decode, defaults, schema
from steersman.model.builtin import registry

CORE = "io.k8s.api.core.v1"
HEADER = "\n\nPossible enum values:\n"
Dialect = Literal["v2", "v3"]


def shown(definition: str, dialect: Dialect = "v3") -> Any:
    shapes = schema.builtin().shapes
    return render(definition, shapes, schema.descriptions(), dialect)["properties"]


@pytest.mark.parametrize("dialect", ["v2", "v3"])
def test_a_field_of_a_few_values_names_them(dialect: Dialect) -> None:
    policy = shown(f"{CORE}.PodSpec", dialect)["restartPolicy"]
    assert policy["enum"] == ["Always", "Never", "OnFailure"]
    assert policy["type"] == "string"
    about, _, listed = policy["description"].partition(HEADER)
    assert about.startswith("Restart policy for all containers within the pod.")
    assert listed == ' - `"Always"`\n - `"Never"`\n - `"OnFailure"`'


def test_of_a_list_or_map_its_members_name_them() -> None:
    modes = shown(f"{CORE}.PersistentVolumeClaimSpec")["accessModes"]
    assert modes["items"]["enum"][0] == "ReadOnlyMany"
    assert len(modes["items"]["enum"]) == 4
    assert "enum" not in modes
    assert HEADER not in modes["description"]
    statuses = shown(f"{CORE}.PersistentVolumeClaimStatus")["allocatedResourceStatuses"]
    assert "NodeResizePending" in statuses["additionalProperties"]["enum"]
    assert "enum" not in statuses


def test_what_stands_for_a_field_that_is_not_given_is_told() -> None:
    port = shown(f"{CORE}.ContainerPort")
    assert port["protocol"]["default"] == "TCP"
    assert port["protocol"]["enum"] == ["SCTP", "TCP", "UDP"]
    assert "default" not in port["containerPort"]
    assert shown(f"{CORE}.LocalObjectReference")["name"]["default"] == ""
    assert shown(f"{CORE}.ReplicationControllerSpec")["minReadySeconds"]["default"] == 0
    assert shown(f"{CORE}.AzureDiskVolumeSource")["readOnly"]["default"] is False
    assert "default" not in shown(f"{CORE}.PodSpec")["restartPolicy"]  # upstream's says it in prose


def test_signals_are_those_of_linux() -> None:
    signals = values.enum(f"{CORE}.Lifecycle", "stopSignal")
    assert len(signals) == 65
    assert {"SIGTERM", "SIGRTMIN", "SIGRTMIN+15", "SIGRTMAX-14", "SIGRTMAX"} <= set(signals)
    assert list(signals) == sorted(signals)


def test_each_belongs_to_a_field_that_there_is_and_is_sorted() -> None:
    for definition, field in values.published():
        node = schema.builtin().definition(definition).fields[field]
        found = values.enum(definition, field)
        assert list(found) == sorted(set(found)), (definition, field)
        told = values.default(definition, field)
        assert found or told is not None, (definition, field)
        if told is not None:
            assert node.type == {str: "string", int: "integer", bool: "boolean"}[type(told)]


def test_defaults_that_are_published_are_those_that_are_set() -> None:
    for definition, field in values.published():
        told = values.default(definition, field)
        own = defaults.of(definition)
        is_set = own is not None and field in {**own.zero, **own.unset}
        if told is None or (told in ("", 0) and not is_set):
            continue  # what is zero is not written
        document = decode.admit(definition, {}, "Kind", "v1").document
        assert document[field] == told, (definition, field)


# Sound objects; each place in them is then given a value that no enumeration has
POD: Any = {
    "metadata": {"name": "a", "namespace": "n"},
    "spec": {
        "restartPolicy": "Always",
        "dnsPolicy": "Default",
        "securityContext": {
            "fsGroupChangePolicy": "Always",
            "supplementalGroupsPolicy": "Merge",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "a",
                "image": "i",
                "imagePullPolicy": "Always",
                "terminationMessagePolicy": "File",
                "ports": [{"containerPort": 1, "protocol": "TCP"}],
                "livenessProbe": {"httpGet": {"port": 1, "scheme": "HTTP"}},
                "volumeMounts": [
                    {"name": "v", "mountPath": "/v", "mountPropagation": "HostToContainer"}
                ],
            }
        ],
        "volumes": [{"name": "v", "hostPath": {"path": "/v", "type": "Directory"}}],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "z",
                "whenUnsatisfiable": "DoNotSchedule",
                "nodeAffinityPolicy": "Honor",
                "nodeTaintsPolicy": "Honor",
            }
        ],
    },
}
SERVICE: Any = {
    "metadata": {"name": "a", "namespace": "n"},
    "spec": {
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "ports": [{"port": 1, "protocol": "TCP"}],
    },
}
JOB: Any = {
    "metadata": {"name": "a", "namespace": "n"},
    "spec": {
        "completionMode": "NonIndexed",
        "podReplacementPolicy": "Failed",
        "template": {
            "spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "i"}]}
        },
    },
}
PLACES = [
    (POD, ("", "pods"), "PodSpec", "spec.restartPolicy"),
    (POD, ("", "pods"), "PodSpec", "spec.dnsPolicy"),
    (POD, ("", "pods"), "PodSecurityContext", "spec.securityContext.fsGroupChangePolicy"),
    (POD, ("", "pods"), "PodSecurityContext", "spec.securityContext.supplementalGroupsPolicy"),
    (POD, ("", "pods"), "Container", "spec.containers.0.imagePullPolicy"),
    (POD, ("", "pods"), "ContainerPort", "spec.containers.0.ports.0.protocol"),
    (POD, ("", "pods"), "HTTPGetAction", "spec.containers.0.livenessProbe.httpGet.scheme"),
    (POD, ("", "pods"), "TopologySpreadConstraint",
     "spec.topologySpreadConstraints.0.whenUnsatisfiable"),
    (POD, ("", "pods"), "TopologySpreadConstraint",
     "spec.topologySpreadConstraints.0.nodeAffinityPolicy"),
    (SERVICE, ("", "services"), "ServiceSpec", "spec.type"),
    (SERVICE, ("", "services"), "ServiceSpec", "spec.sessionAffinity"),
    (SERVICE, ("", "services"), "ServicePort", "spec.ports.0.protocol"),
    (JOB, ("batch", "jobs"), "batch.v1.JobSpec", "spec.podReplacementPolicy"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("document", "resource", "definition", "path"), PLACES, ids=[place[3] for place in PLACES]
)
def test_what_a_document_says_is_what_a_refusal_says(
    document: Any, resource: tuple[str, str], definition: str, path: str
) -> None:
    changed = copy.deepcopy(document)
    *way, field = path.split(".")
    place = changed
    for step in way:
        place = place[int(step) if step.isdigit() else step]
    place[field] = "Nonsense"
    kind = registry().of(resource)
    assert kind is not None
    full = kind.versions[0].definition
    admitted = decode.admit(full, changed, kind.name, kind.versions[0].name).document
    shown_path = re.sub(r"\.(\d+)", r"[\1]", path)
    (message,) = [
        cause.message
        for cause in kind.check(admitted, None, "")
        if cause.field == shown_path and "supported values" in cause.message
    ]
    listed = re.findall('"([^"]*)"', message.partition("supported values: ")[2])
    package = "io.k8s.api." if "." in definition else f"{CORE}."
    assert sorted(listed) == list(values.enum(package + definition, field))


def test_whole_documents_have_them() -> None:
    kinds = [
        kind for kind in registry().all() if (kind.group, kind.plural) == ("apps", "deployments")
    ]
    document = OpenAPI(lambda: kinds).build("apis/apps/v1", "v3")
    strategy = document["components"]["schemas"]["io.k8s.api.apps.v1.DeploymentStrategy"]
    assert strategy["properties"]["type"]["enum"] == ["Recreate", "RollingUpdate"]
