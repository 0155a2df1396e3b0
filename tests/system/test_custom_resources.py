"""Custom resources driven by kubectl: from a definition to objects, scale and status, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from clusters import Cluster
from customs import definition, version, widget
from ports import free_port

pytestmark = pytest.mark.system

WIDGETS = "widgets.example.com"
COLUMNS = [
    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
    {"name": "Colour", "type": "string", "jsonPath": ".spec.colour", "priority": 1},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]


@pytest.fixture
def widgets(cluster: Cluster) -> Iterator[str]:
    """The widgets' definition, established; gone afterwards with all of its objects."""
    described = version(additionalPrinterColumns=COLUMNS)
    properties = described["schema"]["openAPIV3Schema"]["properties"]
    described["schema"]["openAPIV3Schema"]["properties"] = {
        **properties,
        "spec": {**properties["spec"], "description": "What a widget is to be."},
    }
    made = definition(described, shortNames=["wd"], categories=["all"])
    cluster.ok("apply", "-f", "-", stdin=json.dumps(made))
    cluster.ok("wait", "--for=condition=Established", f"crd/{WIDGETS}", "--timeout=30s")
    yield WIDGETS
    cluster.ok("delete", "crd", WIDGETS, "--timeout=30s", "--ignore-not-found")
    cluster.forget()


def apply(cluster: Cluster, namespace: str, name: str, **spec: object) -> str:
    stdin = json.dumps(widget(name, **spec))
    return cluster.ok("apply", "-n", namespace, "-f", "-", stdin=stdin)


def test_a_custom_resource_lives_as_a_built_in_one_does(
    cluster: Cluster, namespace: str, widgets: str
) -> None:
    assert apply(cluster, namespace, "one", size=3) == "widget.example.com/one created\n"
    assert apply(cluster, namespace, "one", size=3) == "widget.example.com/one unchanged\n"
    assert apply(cluster, namespace, "one", size=4) == "widget.example.com/one configured\n"
    head, row = cluster.ok("get", "-n", namespace, "wd").splitlines()
    assert head.split() == ["NAME", "SIZE", "AGE"]
    assert row.split()[:2] == ["one", "4"]
    assert "red" in cluster.ok("get", "-n", namespace, "widget", "one", "-o", "wide")
    assert "widget.example.com/one" in cluster.ok("get", "-n", namespace, "all", "-o", "name")
    patch = ("patch", "-n", namespace, "widget", "one", "--type=merge", "-p")
    cluster.ok(*patch, '{"spec":{"size":5}}')
    scaled = cluster.ok("scale", "-n", namespace, "widget/one", "--replicas=2")
    assert scaled == "widget.example.com/one scaled\n"
    cluster.ok(*patch, '{"status":{"phase":"Up"}}', "--subresource=status")
    found = json.loads(cluster.ok("get", "-n", namespace, "widget", "one", "-o", "json"))
    assert (found["spec"]["size"], found["status"]) == (2, {"phase": "Up"})
    server_side = ("apply", "-n", namespace, "--server-side", "-f", "-")
    said = cluster.refused(*server_side, stdin=json.dumps(widget("one", size=9)))
    assert ".spec.size" in said and "conflict" in said
    assert cluster.ok("delete", "-n", namespace, "widget", "one").startswith("widget.example.com")


def test_what_is_wrong_with_an_object_is_said_as_upstream_says_it(
    cluster: Cluster, namespace: str, widgets: str
) -> None:
    bad = json.dumps(widget("two", size=11, colour="blue"))
    said = cluster.refused("create", "-n", namespace, "-f", "-", stdin=bad)
    assert said.splitlines() == [
        'The Widget "two" is invalid: ',
        '* spec.colour: Unsupported value: "blue": supported values: "red", "green"',
        "* spec.size: Invalid value: 11: spec.size in body should be less than or equal to 10",
    ]
    odd = json.dumps(widget("two", odd=1))
    said = cluster.refused("create", "-n", namespace, "-f", "-", stdin=odd)
    assert 'strict decoding error: unknown field "spec.odd"' in said


def test_kubectl_explains_custom_resources(cluster: Cluster, widgets: str) -> None:
    said = cluster.ok("explain", "widgets.spec")
    assert "What a widget is to be." in said
    assert "size\t<integer> -required-" in said
    assert "colour\t<string>" in said and "enum: red, green" in said
    assert "GROUP:      example.com" in cluster.ok("explain", "widgets")
    old = cluster.ok("explain", "widgets", "--output=plaintext-openapiv2")
    assert "VERSION:  example.com/v1" in old and "What a widget is to be." in old
    assert WIDGETS.partition(".")[0] in cluster.ok("api-resources", "--api-group=example.com")


def test_a_definition_takes_its_objects_with_it(cluster: Cluster, namespace: str) -> None:
    made = json.dumps(definition(version(), kind="Gadget"))
    cluster.ok("create", "-f", "-", stdin=made)
    cluster.ok("wait", "--for=condition=Established", "crd/gadgets.example.com", "--timeout=30s")
    gadget = json.dumps({**widget("one"), "kind": "Gadget"})
    cluster.ok("create", "-n", namespace, "-f", "-", stdin=gadget)
    cluster.ok("delete", "crd", "gadgets.example.com", "--timeout=30s")
    said = cluster.refused("get", "--raw", "/apis/example.com/v1/gadgets")
    assert said == "Error from server (NotFound): the server could not find the requested resource"


def test_a_namespace_is_emptied_of_custom_resources(cluster: Cluster, widgets: str) -> None:
    cluster.ok("create", "namespace", "emptied")
    apply(cluster, "emptied", "one")
    cluster.ok("delete", "namespace", "emptied", "--timeout=30s")
    assert "not found" in cluster.refused("get", "-n", "emptied", "widget", "one")


def test_custom_resources_are_served_again_after_a_restart(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "data", tmp_path / "kubeconfig", free_port())
    assert cluster.up().code == 0
    try:
        cluster.ok("create", "-f", "-", stdin=json.dumps(definition(version())))
        cluster.ok("wait", "--for=condition=Established", f"crd/{WIDGETS}", "--timeout=30s")
        apply(cluster, "default", "one", size=7)
        assert cluster.down().code == 0
        assert cluster.up().code == 0
        path = ("get", "widget", "one", "-o", "jsonpath={.spec.size}{.spec.colour}")
        assert cluster.ok(*path) == "7red"
        assert apply(cluster, "default", "two").endswith(" created\n")
    finally:
        assert cluster.down().code == 0
