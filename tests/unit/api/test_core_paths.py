"""What a request asks for, by its method and path; what of metadata is the server's."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from steersman.api import metadata, route
from steersman.api.paths import Checks, Paths
from steersman.api.published.negotiate import Form, choose, publish, respond
from steersman.api.published.order import sorted_groups, sorted_versions
from steersman.model.errors import NotAcceptable
from steersman.model.kind import EVERY_FIELD, Kind
from steersman.model.kinds.deployment import DEPLOYMENT
from steersman.model.kinds.endpointslice import ENDPOINTSLICE
from steersman.model.kinds.pod import POD
from steersman.wire.message import Request, User


def asked(method: str, path: str, query: str = "") -> tuple[str, ...]:
    found = route.parse(Request(method, path, query))
    return (found.verb, found.group, found.version, found.resource, found.subresource,
            found.namespace, found.name)  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/api/v1/pods", "", ("list", "", "v1", "pods", "", "", "")),
        ("HEAD", "/api/v1/pods", "", ("list", "", "v1", "pods", "", "", "")),
        ("GET", "/api/v1/pods", "watch=true", ("watch", "", "v1", "pods", "", "", "")),
        ("GET", "/api/v1/pods", "watch=false", ("list", "", "v1", "pods", "", "", "")),
        ("GET", "/api/v1/namespaces/n/pods/p", "watch=1", ("get", "", "v1", "pods", "", "n", "p")),
        ("GET", "/api/v1/watch/pods", "", ("watch", "", "v1", "pods", "", "", "")),
        ("GET", "/api/v1/watch/namespaces/n/pods/p", "",
         ("watch", "", "v1", "pods", "", "n", "p")),
        ("GET", "/api/v1/watch", "", ("list", "", "v1", "watch", "", "", "")),
        ("POST", "/api/v1/namespaces/n/pods", "", ("create", "", "v1", "pods", "", "n", "")),
        ("POST", "/api/v1/namespaces/n/pods/p/binding", "",
         ("create", "", "v1", "pods", "binding", "n", "p")),
        ("PUT", "/apis/apps/v1/namespaces/n/deployments/d/scale", "",
         ("update", "apps", "v1", "deployments", "scale", "n", "d")),
        ("PATCH", "/apis/apps/v1/namespaces/n/deployments/d", "",
         ("patch", "apps", "v1", "deployments", "", "n", "d")),
        ("DELETE", "/api/v1/namespaces/n/pods/p", "", ("delete", "", "v1", "pods", "", "n", "p")),
        ("DELETE", "/api/v1/namespaces/n/pods", "",
         ("deletecollection", "", "v1", "pods", "", "n", "")),
        ("OPTIONS", "/api/v1/pods", "", ("", "", "v1", "pods", "", "", "")),
        ("GET", "/api/v1/namespaces", "", ("list", "", "v1", "namespaces", "", "", "")),
        ("GET", "/api/v1/namespaces/n", "", ("get", "", "v1", "namespaces", "", "n", "n")),
        ("PUT", "/api/v1/namespaces/n/finalize", "",
         ("update", "", "v1", "namespaces", "finalize", "n", "n")),
        ("PUT", "/api/v1/namespaces/n/status", "",
         ("update", "", "v1", "namespaces", "status", "n", "n")),
        ("GET", "/api/v1/namespaces/n/services/s/proxy/a/b", "",
         ("get", "", "v1", "services", "proxy", "n", "s")),
        ("GET", "/api/v1/pods/", "", ("list", "", "v1", "pods", "", "", "")),
    ],
)  # fmt: skip
def test_a_path_below_api_is_about_a_resource(
    method: str, path: str, query: str, expected: tuple[str, ...]
) -> None:
    assert asked(method, path, query) == expected
    assert route.parse(Request(method, path, query)).is_resource


@pytest.mark.parametrize("path", ["/", "/api", "/api/v1", "/apis", "/apis/apps/v1", "/healthz"])
def test_other_paths_are_no_resource(path: str) -> None:
    found = route.parse(Request("GET", path))
    assert (found.verb, found.path, found.is_resource) == ("get", path, False)


def test_selectors_belong_to_what_is_about_many_objects() -> None:
    query = "labelSelector=a&fieldSelector=b"
    for method, path, given in (
        ("GET", "/api/v1/pods", True),
        ("DELETE", "/api/v1/namespaces/n/pods", True),
        ("GET", "/api/v1/namespaces/n/pods/p", False),
        ("POST", "/api/v1/namespaces/n/pods", False),
    ):
        found = route.parse(Request(method, path, query))
        assert bool(found.labels) is bool(found.fields) is given
    only = route.parse(Request("GET", "/api/v1/pods", "labelSelector=a"))
    assert only.labels == "a" and not only.fields


def test_new_metadata_is_what_the_server_sets() -> None:
    given = {
        "metadata": {
            "name": "n", "uid": "mine", "generation": 9, "selfLink": "/x", "namespace": "other",
            "resourceVersion": "0", "deletionTimestamp": "t", "deletionGracePeriodSeconds": 1,
        }
    }  # fmt: skip
    made = metadata.begin(given, DEPLOYMENT, "ns", "u", 0)
    time = "1970-01-01T00:00:00Z"
    assert made == {
        "name": "n", "namespace": "ns", "uid": "u", "creationTimestamp": time, "generation": 1,
    }  # fmt: skip
    assert "namespace" not in metadata.begin(given, DEPLOYMENT, "", "u", 0)
    assert metadata.begin({}, DEPLOYMENT, "ns", "u", 0)["uid"] == "u"


def test_an_update_keeps_what_it_cannot_change() -> None:
    old = {"namespace": "ns", "uid": "u", "generation": 2}
    made = metadata.carry(
        {"namespace": "x", "uid": "y", "selfLink": "z", "deletionTimestamp": "t", "labels": {}}, old
    )
    assert made == {"namespace": "ns", "uid": "u", "generation": 2, "labels": {}}
    assert metadata.carry({"namespace": "x"}, {}) == {}


@pytest.mark.parametrize(
    ("kind", "changed", "more"),
    [
        (DEPLOYMENT, {"annotations": {"a": "b"}}, 1),
        (DEPLOYMENT, {"labels": {"a": "b"}}, 0),
        (ENDPOINTSLICE, {"labels": {"a": "b"}}, 1),
        (ENDPOINTSLICE, {"annotations": {"a": "b"}}, 0),
    ],
)
def test_some_metadata_counts_for_the_generation(
    kind: Kind, changed: dict[str, Any], more: int
) -> None:
    before = {"metadata": {"generation": 5}}
    assert metadata.generation(kind, before, {"metadata": {"generation": 5, **changed}}) == 5 + more


def test_a_field_whose_name_has_a_dot_counts_for_the_generation_of_a_custom_resource() -> None:
    kind = replace(POD, spec_fields=EVERY_FIELD)
    before = {"metadata": {"generation": 5}, "a.b": 1}
    assert metadata.generation(kind, before, before) == 5
    assert metadata.generation(kind, before, {**before, "a.b": 2}) == 6


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"spec": 1}, {"spec": 1}, 5),
        ({"spec": 1}, {"spec": 2}, 6),
        ({"spec": 1}, {"spec": 1, "status": 2}, 5),
        ({}, {"spec": 2}, 6),
    ],
)
def test_the_generation_is_one_more_where_the_spec_changed(
    old: Any, new: Any, expected: int
) -> None:
    before = {"metadata": {"generation": 5}, **old}
    assert metadata.generation(DEPLOYMENT, before, {"metadata": {}, **new}) == expected
    none = {"metadata": {}, **old}
    assert metadata.generation(DEPLOYMENT, none, {"metadata": {}, **new}) == expected - 4
    assert POD.spec_fields


@pytest.mark.parametrize(
    ("base", "changed", "result"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": {"b": 1, "c": 2}}, {}, {"a": {"c": 2}}),
        ({}, {"a": {"b": 3, "d": 4}}, {"a": {"b": 3}}),
        ({}, {}, {}),
        ({"a": {"b": 1}}, {}, {"a": {}}),
        ({}, {"a": 5}, {}),
    ],
)
def test_a_path_is_laid_over_or_taken_away(base: Any, changed: Any, result: Any) -> None:
    assert metadata.overlay(base, changed, [("a", "b")]) == result


def told(path: str, query: str = "", **wrong: str) -> tuple[int, str]:
    checks = Checks({"ping": lambda: "", "store": lambda: wrong.get("store", "")})
    answer = checks.answer(Request("GET", path, query))
    return (answer.status, answer.body.decode()) if answer is not None else (404, "")


def test_health_checks_tell_what_fails_and_not_why() -> None:
    assert told("/readyz") == (200, "ok")
    assert told("/readyz", "verbose") == (200, "[+]ping ok\n[+]store ok\nreadyz check passed\n")
    failed = "[+]ping ok\n[-]store failed: reason withheld\nlivez check failed\n"
    assert told("/livez", store="disk") == (500, failed)
    assert told("/readyz", "exclude=store", store="disk") == (200, "ok")
    assert told("/readyz", "exclude=store&exclude=odd&verbose", store="disk") == (
        200,
        "[+]ping ok\n[+]store excluded: ok\nwarn: some health checks cannot be excluded: no "
        'matches for "odd"\nreadyz check passed\n',
    )
    assert told("/readyz/ping", store="disk") == (200, "ok")
    assert told("/readyz/store", store="disk") == (500, "internal server error: disk\n")
    assert told("/readyz/store", "exclude=store", store="disk")[0] == 500
    assert told("/readyz/odd") == (404, "")


def test_the_longest_prefix_answers_a_path_that_nobody_has_alone() -> None:
    def answer(text: str) -> Any:
        return lambda _request, _user: text

    ours = Paths(
        Checks({"ping": lambda: ""}),
        {name: answer(name) for name in ("/apis", "/apis/", "/apis/x/", "/version")},
    )

    def found(path: str) -> Any:
        return ours.handle(Request("GET", path), User("u"))

    for path, text in (
        ("/apis", "/apis"), ("/apis/", "/apis"), ("/apis/y", "/apis/"), ("/apis/x/z", "/apis/x/"),
        ("/version", "/version"), ("/version/x", None), ("/", None),
    ):  # fmt: skip
        assert found(path) == text
    assert found("/readyz").body == found("/healthz/").body == b"ok"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", "a/json"),
        ("a/json", "a/json"),
        ("a/yaml", "a/yaml"),
        ("*/*", "a/json"),
        ("application/*", "a/json"),
        ("a/json;as=X;v=v2", "a/json;as=X;v=v2"),
        ("a/json;v=v2;as=X, a/yaml", "a/json;as=X;v=v2"),
        ("a/json;as=Y, a/yaml", "a/yaml"),
        ("a/yaml;q=0, a/json", "a/json"),
        ("a/yaml;q=0.0, a/json", "a/json"),
        ("a/yaml;q=0.1, a/json", "a/yaml"),
        ("a/yaml;charset=utf-8;profile=nopeer", "a/yaml"),
        ("text/html, a/yaml", "a/yaml"),
    ],
)
def test_the_first_form_that_a_client_takes_is_chosen(accept: str, chosen: str) -> None:
    forms = [Form("a/json", {}), Form("a/json", {"as": "X", "v": "v2"}), Form("a/yaml", {})]
    assert str(choose(accept, forms)) == chosen
    with pytest.raises(NotAcceptable, match="are accepted: a/json, a/yaml"):
        choose("text/html", forms)


def test_what_a_client_has_already_is_not_sent_again() -> None:
    document = publish(b"{}")
    for known, status in (
        ("", 200),
        (document.tag, 304),
        (f'"x", {document.tag}', 304),
        ('"x"', 200),
    ):
        answer = respond(Request("GET", "/", "", {"if-none-match": known}), document, {"a": "b"})
        assert (answer.status, answer.headers) == (status, {"etag": document.tag, "a": "b"})
        assert answer.body == (b"" if status == 304 else b"{}")
    assert publish(b"{ }").tag != document.tag


def test_groups_and_versions_are_told_in_upstreams_order() -> None:
    versions = [
        "v1alpha1",
        "v1",
        "foo",
        "v2",
        "v1beta2",
        "v10",
        "v1beta10",
        "v2alpha1",
        "bar",
        "v1",
    ]
    assert sorted_versions(versions) == [
        "v10", "v2", "v1", "v1beta10", "v1beta2", "v2alpha1", "v1alpha1", "bar", "foo",
    ]  # fmt: skip
    groups = ["z.example", "batch", "", "a.example", "apps", "m.example"]
    known = {"m.example": 2000, "a.example": 999}
    assert sorted_groups(groups, known) == [
        "", "apps", "batch", "m.example", "z.example", "a.example",
    ]  # fmt: skip
