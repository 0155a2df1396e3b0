"""What discovery tells, in the old form and the aggregated one."""

from __future__ import annotations

from typing import Any, cast

import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as some
from msgspec.structs import replace

from steersman.api.published.discovery import Discovery
from steersman.api.published.foreign import Foreign, Nobody
from steersman.api.published.negotiate import Form, choose, publish, respond
from steersman.api.published.order import sorted_groups, sorted_versions
from steersman.api.published.resources import Body, body_of
from steersman.model.errors import NotAcceptable
from steersman.model.kind import Kind, Subresource, Version
from steersman.model.pack import NUMBER
from steersman.wire.message import Request, Response, User
from steersman.wire.protobuf.fields import fields
from steersman.wire.protobuf.objects import decode, unwrap

USER = User("jane")
V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
V2BETA1 = V2.replace("v2", "v2beta1")
BOTH = 32  # the last minor with both versions
KUBECTL = f"{V2},{V2BETA1},application/json"


def kind(group: str, name: str, *versions: str, **others: Any) -> Kind:
    return Kind(
        group=group,
        name=name,
        plural=f"{name.lower()}s",
        versions=tuple(Version(one, f"d.{one}.{name}") for one in versions),
        storage=versions[0],
        **{"namespaced": True, **others},
    )


STATUS = Subresource("status", ("update", "get", "patch"))
SCALE = Subresource("scale", ("get", "patch", "update"), (), "autoscaling/v1 Scale")
POD = kind(
    "",
    "Pod",
    "v1",
    short_names=("po",),
    categories=("all",),
    subresources=(
        STATUS,
        Subresource("exec", ("get", "create")),
        Subresource("binding", ("create",), (), "v1 Binding"),
        Subresource("eviction", ("create",), (), "policy/v1 Eviction"),
    ),
)
NODE = kind("", "Node", "v1", namespaced=False)
DEPLOYMENT = kind("apps", "Deployment", "v1", subresources=(STATUS, SCALE))
SCALER = kind("autoscaling", "HorizontalPodAutoscaler", "v1", "v2")
REVIEW = kind("authentication.k8s.io", "TokenReview", "v1", verbs=("create",), stored=False)
WIDGET = kind("example.com", "Widget", "v1beta1", "v1")
GADGET = kind("example.com", "Gadget", "v1")
KINDS = [WIDGET, GADGET, POD, NODE, DEPLOYMENT, SCALER, REVIEW]


def answer(
    path: str, accept: str = "", discovery: Discovery | None = None, **headers: str
) -> Response | None:
    minor = BOTH if "v2beta1" in accept else NUMBER
    found = discovery or Discovery(lambda: KINDS, "10.0.0.1:6443", minor=minor)
    sent = {"accept": accept, **{name.replace("_", "-"): text for name, text in headers.items()}}
    return found.handle(Request("GET", path, headers=sent), USER)


def document(path: str, accept: str = "") -> Any:
    response = answer(path, accept)
    assert response is not None
    assert isinstance(response.body, bytes)
    return orjson.loads(response.body)


def test_the_core_group_has_versions_and_an_address() -> None:
    assert document("/api") == {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [
            {"clientCIDR": "0.0.0.0/0", "serverAddress": "10.0.0.1:6443"}
        ],
    }


def test_groups_are_listed_in_upstreams_order_with_the_best_version_first() -> None:
    found = document("/apis/")
    assert (found["kind"], found["apiVersion"]) == ("APIGroupList", "v1")
    assert [group["name"] for group in found["groups"]] == [
        "apps",
        "authentication.k8s.io",
        "autoscaling",
        "example.com",
    ]
    assert found["groups"][2] == {
        "name": "autoscaling",
        "versions": [
            {"groupVersion": "autoscaling/v2", "version": "v2"},
            {"groupVersion": "autoscaling/v1", "version": "v1"},
        ],
        "preferredVersion": {"groupVersion": "autoscaling/v2", "version": "v2"},
    }
    assert document("/apis/autoscaling") == {
        "kind": "APIGroup",
        "apiVersion": "v1",
        **found["groups"][2],
    }


class Others(Nobody):
    """Other servers: group, version and the priorities of both."""

    def __init__(self, *known: tuple[str, str, tuple[int, int]]) -> None:
        self._told = [Foreign(group, version, [], True, both) for group, version, both in known]

    def told(self) -> list[Foreign]:
        return self._told


def test_groups_and_versions_of_other_servers_stand_where_their_priorities_put_them() -> None:
    others = Others(
        ("a.example.org", "v1", (100, 10)),
        ("b.example.org", "v2", (50, 10)),
        ("b.example.org", "v1beta1", (2000, 100)),
        ("b.example.org", "v1beta2", (50, 100)),
        ("b.example.org", "v1", (50, 20)),
    )
    discovery = Discovery(lambda: KINDS, foreigners=others)
    response = answer("/apis", discovery=discovery)
    assert response is not None and isinstance(response.body, bytes)
    groups = orjson.loads(response.body)["groups"]
    told = [(group["name"], [one["version"] for one in group["versions"]]) for group in groups]
    assert told[3:] == [
        ("b.example.org", ["v1beta2", "v1beta1", "v1", "v2"]),
        ("example.com", ["v1", "v1beta1"]),
        ("a.example.org", ["v1"]),
    ]
    assert groups[3]["preferredVersion"]["version"] == "v1beta2"


def test_resources_of_the_core_group_say_all_that_clients_need() -> None:
    found = document("/api/v1")
    assert (found["kind"], found["groupVersion"]) == ("APIResourceList", "v1")
    assert "apiVersion" not in found
    by_name = {one["name"]: one for one in found["resources"]}
    assert list(by_name) == [
        "nodes",
        "pods",
        "pods/binding",
        "pods/eviction",
        "pods/exec",
        "pods/status",
    ]
    assert by_name["pods"] == {
        "name": "pods",
        "singularName": "pod",
        "namespaced": True,
        "kind": "Pod",
        "verbs": [
            "create",
            "delete",
            "deletecollection",
            "get",
            "list",
            "patch",
            "update",
            "watch",
        ],
        "shortNames": ["po"],
        "categories": ["all"],
        "storageVersionHash": "xPOwRZ+Yhw8=",  # as a real server tells it
    }
    assert by_name["nodes"]["namespaced"] is False
    assert "shortNames" not in by_name["nodes"]
    assert by_name["pods/status"] == {
        "name": "pods/status",
        "singularName": "",
        "namespaced": True,
        "kind": "Pod",
        "verbs": ["get", "patch", "update"],
    }
    assert by_name["pods/exec"]["kind"] == "PodExecOptions"
    binding, eviction = by_name["pods/binding"], by_name["pods/eviction"]
    assert (binding["kind"], binding.get("group")) == ("Binding", None)
    assert (eviction["kind"], eviction["group"], eviction["version"]) == (
        "Eviction",
        "policy",
        "v1",
    )


def test_resources_of_a_group_are_those_of_the_version() -> None:
    found = document("/apis/apps/v1")
    assert found["apiVersion"] == "v1"
    assert found["groupVersion"] == "apps/v1"
    scale = found["resources"][1]
    assert (scale["name"], scale["group"], scale["version"], scale["kind"]) == (
        "deployments/scale",
        "autoscaling",
        "v1",
        "Scale",
    )
    names = [one["name"] for one in document("/apis/example.com/v1beta1")["resources"]]
    assert names == ["widgets"]
    names = [one["name"] for one in document("/apis/example.com/v1")["resources"]]
    assert names == ["gadgets", "widgets"]


@pytest.mark.parametrize(
    ("plural", "subresource", "expected"),
    [
        ("pods", "attach", "PodAttachOptions"),
        ("pods", "exec", "PodExecOptions"),
        ("pods", "portforward", "PodPortForwardOptions"),
        ("pods", "proxy", "PodProxyOptions"),
        ("services", "proxy", "ServiceProxyOptions"),
        ("nodes", "proxy", "NodeProxyOptions"),
        ("pods", "log", "Thing"),
    ],
)
def test_what_is_opened_takes_options(plural: str, subresource: str, expected: str) -> None:
    opened = Subresource(subresource, ("get",))
    thing = kind("", "Thing", "v1", subresources=(opened,))
    assert body_of(replace(thing, plural=plural), "v1", opened) == Body("", "v1", expected)


def test_what_is_not_stored_has_no_storage_version() -> None:
    (review,) = document("/apis/authentication.k8s.io/v1")["resources"]
    assert review["verbs"] == ["create"]
    assert "storageVersionHash" not in review


@pytest.mark.parametrize(
    "path",
    ["/api/v2", "/apis/none", "/apis/apps/v2", "/apis/none/v1", "/apis/apps/v1/x", "/api/v1/x"],
)
def test_an_unknown_path_is_nobodys_and_not_remembered(path: str) -> None:
    discovery = Discovery(lambda: KINDS)
    assert answer(path, discovery=discovery) is None
    assert not discovery._published


@pytest.mark.parametrize(("accept", "version"), [(KUBECTL, "v2"), (V2BETA1, "v2beta1")])
def test_the_aggregated_form_tells_all_groups_at_once(accept: str, version: str) -> None:
    response = answer("/apis", accept)
    assert response is not None
    assert response.content_type == V2.replace("v2", version)
    assert response.headers is not None
    assert response.headers["vary"] == "Accept"
    found = document("/apis", accept)
    assert found["kind"] == "APIGroupDiscoveryList"
    assert found["apiVersion"] == f"apidiscovery.k8s.io/{version}"
    names = [item["metadata"]["name"] for item in found["items"]]
    assert names == ["apps", "authentication.k8s.io", "autoscaling", "example.com"]
    (apps,) = found["items"][0]["versions"]
    assert apps["freshness"] == "Current"
    assert apps["resources"] == [
        {
            "resource": "deployments",
            "responseKind": {"group": "apps", "version": "v1", "kind": "Deployment"},
            "scope": "Namespaced",
            "singularResource": "deployment",
            "verbs": sorted(DEPLOYMENT.verbs),
            "subresources": [
                {
                    "subresource": "scale",
                    "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
                    "verbs": ["get", "patch", "update"],
                },
                {
                    "subresource": "status",
                    "responseKind": {"group": "apps", "version": "v1", "kind": "Deployment"},
                    "verbs": ["get", "patch", "update"],
                },
            ],
        }
    ]


def test_the_beta_of_the_aggregated_form_went_with_1_33() -> None:
    discovery = Discovery(lambda: KINDS, minor=BOTH + 1)
    newest = answer("/apis", f"{V2BETA1},{V2}", discovery)
    assert newest is not None and newest.content_type == V2
    old = answer("/apis", f"{V2BETA1},application/json", discovery)
    assert old is not None and old.content_type == "application/json"
    with pytest.raises(NotAcceptable) as raised:
        answer("/apis", V2BETA1, discovery)
    media = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    assert raised.value.message == f"only the following media types are accepted: {media}"


def test_who_wants_no_peers_is_told_the_same() -> None:
    found = answer("/apis", f"{V2};profile=nopeer")
    assert found is not None and found.content_type == V2


def test_the_aggregated_form_of_the_core_group_has_no_name() -> None:
    (item,) = document("/api", KUBECTL)["items"]
    assert "name" not in item["metadata"]
    scopes = [one["scope"] for one in item["versions"][0]["resources"]]
    assert scopes == ["Cluster", "Namespaced"]


def test_a_group_alone_has_no_aggregated_form() -> None:
    assert document("/apis/apps", KUBECTL)["kind"] == "APIGroup"
    with pytest.raises(NotAcceptable):
        answer("/apis/apps", V2)


PROTOBUF = "application/vnd.kubernetes.protobuf"
META = "io.k8s.apimachinery.pkg.apis.meta.v1."


def unpacked(path: str, accept: str) -> tuple[str, str, str, bytes]:
    """Returns the media type, and the envelope, of a document in Protocol Buffers."""
    response = answer(path, accept)
    assert response is not None
    assert isinstance(response.body, bytes)
    return (response.content_type, *unwrap(response.body))


@pytest.mark.parametrize(
    ("path", "api_version", "kind"),
    [
        ("/api", "", "APIVersions"),
        ("/apis", "v1", "APIGroupList"),
        ("/apis/autoscaling", "v1", "APIGroup"),
        ("/api/v1", "", "APIResourceList"),
        ("/apis/apps/v1", "v1", "APIResourceList"),
    ],
)
def test_every_document_has_a_form_in_protocol_buffers(
    path: str, api_version: str, kind: str
) -> None:
    found = unpacked(path, f"{PROTOBUF},application/json")
    assert found[:3] == (PROTOBUF, api_version, kind)
    plain = document(path)
    read = decode(META + kind, found[3])
    assert read == {key: plain[key] for key in plain if key not in ("kind", "apiVersion")} or (
        kind == "APIResourceList"  # texts that are empty are left out there
        and [one["name"] for one in read["resources"]]
        == [one["name"] for one in plain["resources"]]
    )
    yaml_form = answer(path, "application/yaml")
    assert yaml_form is not None and yaml_form.content_type == "application/yaml"
    assert yaml.safe_load(bytes(cast(bytes, yaml_form.body))) == plain


def read(raw: bytes, shape: Any) -> Any:
    """Reads a message by numbers: a name for a text, a list for what comes again, a mapping for a
    message."""
    found: dict[str, Any] = {}
    for number, value in fields(raw):
        name, inner = shape[number]
        data = bytes(value)
        told: Any = read(data, inner[-1]) if inner and inner[-1] is not None else data.decode()
        if inner and inner[0] is list:
            found.setdefault(name, []).append(told)
        else:
            found[name] = told
    return found


KIND = {1: ("group", ()), 2: ("version", ()), 3: ("kind", ())}
BELOW = {
    1: ("subresource", ()),
    2: ("responseKind", (KIND,)),
    3: ("acceptedTypes", (list, KIND)),
    4: ("verbs", (list, None)),
}
RESOURCE = {
    1: ("resource", ()),
    2: ("responseKind", (KIND,)),
    3: ("scope", ()),
    4: ("singularResource", ()),
    5: ("verbs", (list, None)),
    6: ("shortNames", (list, None)),
    7: ("categories", (list, None)),
    8: ("subresources", (list, BELOW)),
}
VERSION = {1: ("version", ()), 2: ("resources", (list, RESOURCE)), 3: ("freshness", ())}
GROUP = {1: ("metadata", ({1: ("name", ())},)), 2: ("versions", (list, VERSION))}
LIST = {1: ("metadata", ({},)), 2: ("items", (list, GROUP))}


def without_nothing(found: Any) -> Any:
    """Returns a document without what a message leaves out."""
    if isinstance(found, list):
        return [without_nothing(one) for one in found]
    if not isinstance(found, dict):
        return found
    return {key: without_nothing(one) for key, one in found.items() if one not in ("", None, [])}


@pytest.mark.parametrize("path", ["/api", "/apis"])
@pytest.mark.parametrize("version", ["v2", "v2beta1"])
def test_aggregated_documents_have_one_too(path: str, version: str) -> None:
    accept = V2.replace("application/json", PROTOBUF).replace("v2", version)
    media, api_version, name, raw = unpacked(path, accept)
    assert media == accept
    assert (api_version, name) == (f"apidiscovery.k8s.io/{version}", "APIGroupDiscoveryList")
    plain = document(path, accept.replace(PROTOBUF, "application/json"))
    assert read(raw, LIST) == {
        "metadata": {},
        "items": without_nothing(plain["items"]),
    }
    assert read(raw, LIST)["items"][0]["versions"][0]["freshness"] == "Current"


def test_the_version_is_told_in_json_whatever_is_asked_for() -> None:
    response = answer("/version", "application/vnd.kubernetes.protobuf")
    assert response is not None
    assert response.content_type == "application/json"


def test_an_unchanged_document_is_not_sent_again() -> None:
    discovery = Discovery(lambda: KINDS)
    first = answer("/apis", KUBECTL, discovery)
    assert first is not None
    assert first.headers is not None
    tag = first.headers["etag"]
    again = answer("/apis", KUBECTL, discovery, if_none_match=f'"x", {tag}')
    assert again is not None
    assert (again.status, again.body) == (304, b"")
    assert again.headers is not None
    assert again.headers["etag"] == tag
    other = answer("/apis", "", discovery, if_none_match=tag)
    assert other is not None
    assert other.status == 200


def test_documents_are_kept_until_the_kinds_change() -> None:
    kinds = [POD]
    discovery = Discovery(lambda: kinds)

    def body(path: str) -> Any:
        found = answer(path, discovery=discovery)
        return found and found.body

    first = body("/api/v1")
    kinds.append(NODE)
    assert body("/api/v1") is first
    discovery.changed()
    assert body("/api/v1") != first


def test_the_version_is_that_of_the_packed_schema() -> None:
    found = document("/version")
    assert (found["major"], found["minor"], found["gitVersion"]) == ("1", "37", "v1.37.0")
    assert found["platform"].startswith(("linux/", "darwin/"))


JSON, YAML = Form("application/json", {}), Form("application/yaml", {})


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/json; charset=utf-8", JSON),
        ("application/yaml, application/json", YAML),
        ("application/vnd.kubernetes.protobuf, */*", JSON),
        ("application/json;q=0, application/yaml", YAML),
        ("application/json;q=0.5, application/yaml", JSON),
    ],
)
def test_the_first_form_that_a_client_takes_is_chosen(accept: str, expected: Form) -> None:
    assert choose(accept, (JSON, YAML)) == expected


@pytest.mark.parametrize("accept", ["text/html", "application/json;as=Table", "x"])
def test_a_form_that_nobody_has_is_refused(accept: str) -> None:
    with pytest.raises(NotAcceptable) as raised:
        choose(accept, (JSON, YAML))
    assert raised.value.message == (
        "only the following media types are accepted: application/json, application/yaml"
    )


@given(some.text(max_size=200))
def test_any_accept_header_is_answered_or_refused(accept: str) -> None:
    try:
        assert choose(accept, (JSON, YAML)) in (JSON, YAML)
    except NotAcceptable as error:
        assert error.code == 406


def test_a_tag_is_the_hash_in_quotes() -> None:
    published = publish(b"x")
    assert published.tag.startswith('"')
    assert len(published.tag) == 130
    assert publish(b"y").tag != published.tag
    assert respond(Request("GET", "/"), published, {}).status == 200


def test_versions_are_ordered_by_stability_then_age() -> None:
    given = ["v1alpha1", "foo", "v1", "v10", "v2beta1", "v1beta2", "v2", "v1beta10", "bar", "v1"]
    assert sorted_versions(given) == [
        "v10",
        "v2",
        "v1",
        "v2beta1",
        "v1beta10",
        "v1beta2",
        "v1alpha1",
        "bar",
        "foo",
    ]


def test_unknown_groups_come_last_by_name() -> None:
    assert sorted_groups(["z.io", "a.io", "batch", "apps", "apps"]) == [
        "apps",
        "batch",
        "a.io",
        "z.io",
    ]
