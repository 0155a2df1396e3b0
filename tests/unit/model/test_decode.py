"""Decoding: what upstream's decoder refuses, drops, keeps and rewrites."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.model import decode, schema
from steersman.model.errors import BadRequest

POD = "io.k8s.api.core.v1.Pod"
DEPLOYMENT = "io.k8s.api.apps.v1.Deployment"
SECRET = "io.k8s.api.core.v1.Secret"
LEASE = "io.k8s.api.coordination.v1.Lease"
NODE = "io.k8s.api.core.v1.Node"
SERVICE = "io.k8s.api.core.v1.Service"
DEFINITION = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"
CONFIGMAP = "io.k8s.api.core.v1.ConfigMap"


def admit(definition: str, document: dict[str, Any]) -> decode.Admitted:
    return decode.admit(definition, document, definition.rpartition(".")[2], "v1")


def refusal(definition: str, document: dict[str, Any]) -> str:
    with pytest.raises(BadRequest) as caught:
        admit(definition, document)
    name = definition.rpartition(".")[2]
    prefix = f'{name} in version "v1" cannot be handled as a {name}: '
    assert caught.value.message.startswith(prefix)
    return caught.value.message.removeprefix(prefix)


def pod(**container: Any) -> dict[str, Any]:
    return {"spec": {"containers": [container]}}


WRONG_TYPES = [
    (
        DEPLOYMENT,
        {"spec": {"replicas": "three"}},
        "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas "
        "of type int32",
    ),
    (
        POD,
        pod(image=["nginx"]),
        "json: cannot unmarshal array into Go struct field Container.spec.containers.image "
        "of type string",
    ),
    (
        POD,
        pod(env=[{"name": "A", "value": 1}]),
        "json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value "
        "of type string",
    ),
    (
        POD,
        {"spec": {"containers": {"name": "a"}}},
        "json: cannot unmarshal object into Go struct field PodSpec.spec.containers "
        "of type []v1.Container",
    ),
    (
        POD,
        {"spec": "nothing"},
        "json: cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec",
    ),
    (
        POD,
        {"metadata": {"labels": {"a": 1}}},
        "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels "
        "of type string",
    ),
    (
        POD,
        {"metadata": {"labels": ["a"]}},
        "json: cannot unmarshal array into Go struct field ObjectMeta.metadata.labels "
        "of type map[string]string",
    ),
    (
        POD,
        pod(imagePullPolicy=True),
        "json: cannot unmarshal bool into Go struct field "
        "Container.spec.containers.imagePullPolicy of type v1.PullPolicy",
    ),
    (
        POD,
        pod(ports=[{"containerPort": 2**31}]),
        "json: cannot unmarshal number 2147483648 into Go struct field "
        "ContainerPort.spec.containers.ports.containerPort of type int32",
    ),
    (
        POD,
        {"spec": {"terminationGracePeriodSeconds": 1.5}},
        "json: cannot unmarshal number 1.5 into Go struct field "
        "PodSpec.spec.terminationGracePeriodSeconds of type int64",
    ),
    (
        POD,
        {"spec": {"hostNetwork": "true"}},
        "json: cannot unmarshal string into Go struct field PodSpec.spec.hostNetwork of type bool",
    ),
    (
        POD,
        pod(command="sleep"),
        "json: cannot unmarshal string into Go struct field Container.spec.containers.command "
        "of type []string",
    ),
    (
        POD,
        pod(command=["sleep", 1]),
        "json: cannot unmarshal number into Go struct field Container.spec.containers.command "
        "of type string",
    ),
    (
        POD,
        pod(resources={"limits": []}),
        "json: cannot unmarshal array into Go struct field "
        "ResourceRequirements.spec.containers.resources.limits of type v1.ResourceList",
    ),
    (
        POD,
        pod(resources={"limits": {"cpu": "many"}}),
        "quantities must match the regular expression "
        "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    ),
    (
        POD,
        pod(resources={"limits": {"cpu": True}}),
        "quantities must match the regular expression "
        "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
    ),
    (
        SERVICE,
        {"spec": {"ports": [{"port": 80, "targetPort": True}]}},
        "json: cannot unmarshal bool into Go value of type int32",
    ),
    (
        SERVICE,
        {"spec": {"ports": [{"port": 80, "targetPort": 80.5}]}},
        "json: cannot unmarshal number 80.5 into Go value of type int32",
    ),
    *(
        (
            SERVICE,
            {"spec": {"ports": [{"port": 80, "targetPort": number}]}},
            f"json: cannot unmarshal number {number} into Go value of type int32",
        )
        for number in (2**31, -(2**31) - 1)
    ),
    (SECRET, {"data": {"a": "not base64!"}}, "illegal base64 data at input byte 3"),
    (SECRET, {"data": {"a": "abcde"}}, "illegal base64 data at input byte 4"),
    (
        SECRET,
        {"data": {"a": 1}},
        "json: cannot unmarshal number into Go struct field Secret.data of type []uint8",
    ),
    (
        POD,
        {"metadata": {"creationTimestamp": "yesterday"}},
        'parsing time "yesterday" as "2006-01-02T15:04:05Z07:00": '
        'cannot parse "yesterday" as "2006"',
    ),
    (
        POD,
        {"metadata": {"creationTimestamp": "2020-01-01 00:00:00Z"}},
        'parsing time "2020-01-01 00:00:00Z" as "2006-01-02T15:04:05Z07:00": '
        'cannot parse " 00:00:00Z" as "T"',
    ),
    (
        POD,
        {"metadata": {"creationTimestamp": "2020-02-30T00:00:00Z"}},
        'parsing time "2020-02-30T00:00:00Z": day out of range',
    ),
    (
        POD,
        {"metadata": {"creationTimestamp": "2020-13-01T00:00:00Z"}},
        'parsing time "2020-13-01T00:00:00Z": month out of range',
    ),
    *(
        (
            POD,
            {"metadata": {"creationTimestamp": f"2020-01-01T{clock}Z"}},
            f'parsing time "2020-01-01T{clock}Z": {name} out of range',
        )
        for clock, name in (("24:00:00", "hour"), ("00:60:00", "minute"), ("00:00:60", "second"))
    ),
    (
        POD,
        {"metadata": {"creationTimestamp": "2020-01-01T00:00:00Zx"}},
        'parsing time "2020-01-01T00:00:00Zx": extra text: "x"',
    ),
    (
        POD,
        {"metadata": {"creationTimestamp": 7}},
        "json: cannot unmarshal number into Go value of type string",
    ),
    (
        LEASE,
        {"spec": {"renewTime": "2020-01-01T00:00:00Z"}},
        'parsing time "2020-01-01T00:00:00Z" as "2006-01-02T15:04:05.000000Z07:00": '
        'cannot parse "Z" as ".000000"',
    ),
]


@pytest.mark.parametrize(("definition", "document", "message"), WRONG_TYPES)
def test_a_wrong_type_is_refused_in_the_words_of_gos_decoder(
    definition: str, document: dict[str, Any], message: str
) -> None:
    assert refusal(definition, document) == message


def test_the_first_wrong_type_counts() -> None:
    document = {"spec": {"replicas": "x", "paused": 1}}
    assert "spec.replicas" in refusal(DEPLOYMENT, document)
    document = {"spec": {"paused": 1, "replicas": "x"}}
    assert "spec.paused" in refusal(DEPLOYMENT, document)


def test_a_body_that_is_no_object_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"cannot unmarshal array into Go value of type v1\.Pod"):
        decode.admit(POD, [], "Pod", "v1")


def test_unknown_fields_are_dropped_and_named_by_paths_in_the_order_of_the_document() -> None:
    document = {
        "bogus": 1,
        "metadata": {"name": "a", "colour": {"red": 1}},
        "spec": {
            "containers": [{"name": "a"}, {"name": "b", "imagePolicy": "x", "ports": [{"prt": 1}]}]
        },
    }
    admitted = admit(POD, document)
    assert admitted.unknown == (
        "bogus",
        "metadata.colour",
        "spec.containers[1].imagePolicy",
        "spec.containers[1].ports[0].prt",
    )
    assert admitted.document["metadata"] == {"name": "a"}
    assert "bogus" not in admitted.document
    assert admitted.document["spec"]["containers"][1]["ports"] == [{"protocol": "TCP"}]


def test_names_are_case_sensitive() -> None:
    assert admit(POD, {"Spec": {}}).unknown == ("Spec",)


def test_nulls_are_absent() -> None:
    document = {"metadata": {"name": "a", "creationTimestamp": None}, "status": None}
    admitted = admit(POD, document)
    assert admitted.document["metadata"] == {"name": "a"}
    assert "status" not in admitted.document
    assert admitted.unknown == ()


def test_the_spec_and_its_template_are_there_with_their_defaults_whatever_the_body_says() -> None:
    for given in ({}, {"spec": None}, {"spec": {}}):
        assert admit(POD, given).document["spec"]["restartPolicy"] == "Always"
    found = admit("io.k8s.api.batch.v1.CronJob", {}).document["spec"]["jobTemplate"]
    assert found["spec"]["template"]["spec"]["dnsPolicy"] == "ClusterFirst"
    controller = admit("io.k8s.api.core.v1.ReplicationController", {}).document
    assert controller["spec"] == {"replicas": 1}


def test_a_null_in_a_map_or_list_becomes_the_zero_value() -> None:
    admitted = admit(CONFIGMAP, {"data": {"a": None, "b": "x"}})
    assert admitted.document["data"] == {"a": "", "b": "x"}
    container = admit(POD, pod(command=["a", None], env=[None])).document["spec"]["containers"][0]
    assert container["command"] == ["a", ""]
    assert container["env"] == [{}]
    budget = {"status": {"disruptedPods": {"a": None, "b": "2026-01-01T00:00:00Z"}}}
    admitted = admit("io.k8s.api.policy.v1.PodDisruptionBudget", budget)
    assert admitted.document["status"]["disruptedPods"] == {"b": "2026-01-01T00:00:00Z"}
    props = {"enum": ["a", None], "colour": 1}
    versions = [{"name": "v1", "schema": {"openAPIV3Schema": props}}]
    admitted = admit(DEFINITION, {"spec": {"versions": versions}})
    schema = admitted.document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert schema["enum"] == ["a", None]


@pytest.mark.parametrize(
    ("given", "kept"),
    [("1000m", "1"), ("0.1", "100m"), (1, "1"), (0.5, "500m"), ("1024Ki", "1Mi"), ("100m", "100m")],
)
def test_quantities_are_kept_in_canonical_form(given: Any, kept: str) -> None:
    document = {"status": {"capacity": {"cpu": given}}}
    assert admit(NODE, document).document["status"]["capacity"] == {"cpu": kept}


def test_a_quantity_outside_a_map_is_canonical_too() -> None:
    document = {"spec": {"volumes": [{"name": "a", "emptyDir": {"sizeLimit": "1024Mi"}}]}}
    volume = admit(POD, document).document["spec"]["volumes"][0]
    assert volume == {"name": "a", "emptyDir": {"sizeLimit": "1Gi"}}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"),
        ("2020-01-31T23:30:00+01:30", "2020-01-31T22:00:00Z"),
        ("2020-01-31T23:30:00-01:00", "2020-02-01T00:30:00Z"),
        ("2020-01-01T00:00:00.999Z", "2020-01-01T00:00:00Z"),
        ("2020-02-29T00:00:00Z", "2020-02-29T00:00:00Z"),
        ("2020-12-31T23:59:59Z", "2020-12-31T23:59:59Z"),
        ("2020-12-31T23:59:59+00:00", "2020-12-31T23:59:59Z"),
    ],
)
def test_times_are_kept_in_utc_and_whole_seconds(given: str, kept: str) -> None:
    document = {"metadata": {"creationTimestamp": given}}
    assert admit(POD, document).document["metadata"]["creationTimestamp"] == kept


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2020-01-01T00:00:00.000000Z", "2020-01-01T00:00:00.000000Z"),
        ("2020-01-31T01:00:00.123456+01:00", "2020-01-31T00:00:00.123456Z"),
    ],
)
def test_micro_times_keep_six_places(given: str, kept: str) -> None:
    document = {"spec": {"renewTime": given}}
    assert admit(LEASE, document).document["spec"]["renewTime"] == kept


def test_what_has_no_schema_is_kept_as_it_is() -> None:
    data = {"anything": [1, {"goes": True}]}
    definition = "io.k8s.api.apps.v1.ControllerRevision"
    assert admit(definition, {"data": data, "revision": 1}).document["data"] == data
    fields = {"f:metadata": {"f:labels": {}}}
    document = {"metadata": {"managedFields": [{"manager": "a", "fieldsV1": fields}]}}
    assert admit(POD, document).document["metadata"]["managedFields"][0]["fieldsV1"] == fields


def test_a_definition_that_holds_itself_is_walked_to_its_depth() -> None:
    definition = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
    assert definition in schema.builtin()
    inner = {"properties": {"b": {"type": "string", "typo": 1}}, "not": {"typo": 2}}
    admitted = admit(definition, {"properties": {"a": inner}})
    assert admitted.unknown == ("properties.a.properties.b.typo", "properties.a.not.typo")
    assert "type int64" in refusal(definition, {"properties": {"a": {"maxLength": "x"}}})


@pytest.mark.parametrize(("given", "fits"), [(2**63 - 1, True), (2**63, False), (-(2**63), True)])
def test_whole_numbers_are_those_of_64_bits(given: int, fits: bool) -> None:
    document = {"metadata": {"generation": given}}
    if fits:
        assert admit(POD, document).document["metadata"]["generation"] == given
    else:
        assert "int64" in refusal(POD, document)
