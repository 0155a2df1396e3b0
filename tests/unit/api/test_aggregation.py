"""Groups that another server serves: registered, checked, asked, told of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from customs import definition, establish
from extension import NAME, RESOURCES, ROOT, SERVICES_PATH, Extension, condition, extended
from ports import free_port
from served import ADMIN, Served, served
from steersman.api.aggregation import said, verdict
from steersman.api.aggregation.registration import LABEL, PRIORITIES, built_in, local, plan
from steersman.api.aggregation.remote import named
from steersman.model import builtin
from steersman.model.errors import ServiceUnavailable
from steersman.wire.message import Channel, Request, Response, Upgrade, User

LOCAL = {
    "type": "Available",
    "status": "True",
    "reason": "Local",
    "message": "Local APIServices are always available",
}
WANTED = {"namespace": "ci", "name": "m", "port": 443}
SERVICE = {"spec": {"ports": [{"port": 443, "name": "https"}]}}


def piece(ready: Any = None, port: str = "https", number: int | None = 1) -> dict[str, Any]:
    conditions = {} if ready is None else {"ready": ready}
    return {
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": conditions}],
        "ports": [{"name": port, "port": number}],
    }


def test_every_group_and_version_is_registered_but_the_registry_itself() -> None:
    served = {(kind.group, one.name) for kind in builtin.all() for one in kind.versions}
    assert set(PRIORITIES) == served - {("apiregistration.k8s.io", "v1")}
    assert set(built_in()) >= {"v1.", "v1.apps", "v2.autoscaling"}


@served
async def test_what_the_server_serves_itself_is_registered_as_local(api: Served) -> None:
    items = (await api.get(SERVICES_PATH)).ok()["items"]
    metrics = "v1beta1.metrics.k8s.io"  # which others may take over
    assert {one["metadata"]["name"] for one in items} == {*built_in(), metrics}
    core = await condition(api, "Local", "v1.")
    assert core == LOCAL
    table = await api.get(SERVICES_PATH, accept="application/json;as=Table;g=meta.k8s.io;v=v1")
    cells = table.ok()["rows"][0]["cells"]
    assert cells[:3] == ["v1.", "Local", "True"]


@served
async def test_the_versions_of_a_definition_are_registered_while_they_are_served(
    api: Served,
) -> None:
    made = await establish(api, definition())
    group, version = made["spec"]["group"], made["spec"]["versions"][0]["name"]
    name = f"{version}.{group}"
    await condition(api, "Local", name)
    found = (await api.get(f"{SERVICES_PATH}/{name}")).ok()
    assert found["metadata"]["labels"] == {LABEL: "true"}
    assert found["spec"] == {
        "group": group,
        "version": version,
        "groupPriorityMinimum": 1000,
        "versionPriority": 100,
    }
    (await api.delete(f"{SERVICES_PATH}/{name}")).ok()
    await condition(api, "Local", name)  # it comes back
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    (await api.delete(f"{path}/{made['metadata']['name']}")).ok()
    while (await api.get(f"{SERVICES_PATH}/{name}")).code != 404:
        await api.world.sleep(0.01)


def test_only_what_is_labelled_is_kept_as_it_must_be() -> None:
    wanted = local("a", "v1", (1, 2), "true")
    live = {**wanted, "metadata": {**wanted["metadata"], "uid": "u"}}
    own = {**live, "metadata": {"name": "v1.a", "uid": "u"}}
    other = {**live, "spec": {**live["spec"], "versionPriority": 3}}
    assert plan(None, None) is None
    assert plan(None, wanted) == ("POST", wanted)
    assert plan(live, wanted) is None
    assert plan(live, None) == ("DELETE", {"preconditions": {"uid": "u"}})
    assert plan(own, None) is None
    assert plan({**own, "spec": other["spec"]}, wanted) is None
    assert plan(other, wanted) == ("PUT", live)


WHERE = 'service/m in "ci"'


@pytest.mark.parametrize(
    ("service", "slices", "reason", "message"),
    [
        (None, [piece()], "ServiceNotFound", f"{WHERE} is not present"),
        (
            {"spec": {"ports": [{"port": 80}]}},
            [piece()],
            "ServicePortError",
            f"{WHERE} is not listening on port 443",
        ),
        (SERVICE, [], "EndpointsNotFound", f"cannot find endpointslices for {WHERE}"),
        *(
            (
                SERVICE,
                [unfit],
                "MissingEndpoints",
                f'endpointslices for {WHERE} have no addresses with port name "https"',
            )
            for unfit in (
                piece(ready=False),
                piece(port="http"),
                piece(number=None),
                {**piece(), "endpoints": []},
            )
        ),
    ],
)
def test_what_cannot_be_reached_is_not_available(
    service: Any, slices: Any, reason: str, message: str
) -> None:
    assert verdict.decide(WANTED, service, slices) == ("False", reason, message)


def test_a_service_with_a_ready_endpoint_or_out_of_the_cluster_is_asked() -> None:
    assert verdict.decide(WANTED, SERVICE, [piece(ready=False), piece()]) is None
    assert verdict.decide(WANTED, SERVICE, [piece(ready=True)]) is None
    unsaid = {"namespace": "ci", "name": "m"}
    assert verdict.decide(unsaid, SERVICE, [piece(ready=True)]) is None, "443 is meant"
    outside = {"spec": {"type": "ExternalName", "externalName": "x"}}
    assert verdict.decide(WANTED, outside, []) is None


def test_what_is_said_already_is_not_written_again() -> None:
    first = verdict.told({"metadata": {}, "spec": {}}, verdict.PASSED, "t1")
    assert first is not None
    assert verdict.is_available(first)
    assert verdict.told(first, verdict.PASSED, "t2") is None
    second = verdict.told(first, verdict.Verdict("False", "R", "m"), "t2")
    assert second is not None
    assert not verdict.is_available(second)
    assert second["status"]["conditions"][0]["lastTransitionTime"] == "t2"


def test_what_is_no_list_of_resources_is_refused() -> None:
    for body in (b"[]", b"x", b"{}", b'{"resources": [{}]}', b'{"resources": [1]}'):
        with pytest.raises(ValueError, match=r"."):
            said.resources(body, "g", "v1")


def test_fields_of_another_type_count_as_empty() -> None:
    listed = [{"name": "a", "verbs": 1, "kind": [], "namespaced": "yes", "shortNames": [2]}]
    (found,) = said.resources(orjson.dumps({"resources": listed}), "g", "v1")
    assert found == {
        "resource": "a",
        "responseKind": {"group": "g", "version": "v1", "kind": ""},
        "scope": "Cluster",
        "singularResource": "",
        "verbs": [],
        "shortNames": [""],
    }


def test_the_address_of_a_document_leads_to_that_document() -> None:
    def index(url: Any) -> bytes:
        return orjson.dumps({"paths": {"apis/g/v1": {"serverRelativeURL": url}}})

    good = "/openapi/v3/apis/g/v1?hash=x"
    assert said.document_url(index(good), "apis/g/v1") == good
    assert said.document_url(index(good), "apis/g/v2") == ""
    for bad in ("https://elsewhere/openapi/v3/apis/g/v1", "/openapi/v3/api/v1", 1, None):
        assert said.document_url(index(bad), "apis/g/v1") == ""


def test_a_user_is_named_in_headers_and_what_no_header_holds_is_refused() -> None:
    user = User("jane", ("a", "b"), "u-1", {"example.com/Scope": ("x", "y")})
    assert named(user) == {
        "x-remote-user": "jane",
        "x-remote-group": "a\nb",
        "x-remote-uid": "u-1",
        "x-remote-extra-example.com%2fscope": "x\ny",
    }
    assert named(User("jane")) == {"x-remote-user": "jane"}
    for wrong in (User("a\nx-remote-group: b"), User("a", ("b\r",)), User("a", (), "\0")):
        with pytest.raises(ServiceUnavailable):
            named(wrong)


def test_an_available_server_is_asked_as_the_user_who_asks(tmp_path: Path) -> None:
    async def case(api: Served, extension: Extension) -> None:
        await extension.expose(api)
        (await api.post(SERVICES_PATH, extension.apiservice())).ok()
        found = await condition(api, "Passed")
        assert found["status"] == "True"
        assert found["message"] == "all checks passed"
        (check,) = extension.heard(ROOT)
        assert check.headers["x-remote-user"] == "system:kube-aggregator"
        assert check.headers["x-remote-group"] == "system:masters"
        path = f"{ROOT}/namespaces/default/gauges"
        extension.answers[path] = lambda request: Response(request.body, 201)
        user = User("jane", ("system:masters", "b"))
        answer = await api.post(path, {"a": 1}, user=user, dryRun="All")
        assert (answer.code, answer.document) == (201, {"a": 1})
        (asked,) = extension.heard(path)
        assert asked.query == "dryRun=All"
        assert asked.headers["x-remote-user"] == "jane"
        assert asked.headers["x-remote-group"] == "system:masters\nb"
        assert "authorization" not in asked.headers

    extended(tmp_path, case)


def test_headers_that_name_a_user_are_not_passed_on(tmp_path: Path) -> None:
    async def case(api: Served, extension: Extension) -> None:
        await extension.expose(api)
        (await api.post(SERVICES_PATH, extension.apiservice())).ok()
        await condition(api, "Passed")
        path = f"{ROOT}/gauges"
        forged = {"x-remote-user": "x", "x-remote-extra-a": "b", "authorization": "Bearer s"}
        given = Request("GET", path, "", forged, user=User("jane", ("system:masters",)))
        answer = api.assembly.api.handle(given)
        assert not isinstance(answer, Response)
        assert (await answer).status == 404
        (asked,) = extension.heard(path)
        assert asked.headers["x-remote-user"] == "jane"
        assert "x-remote-extra-a" not in asked.headers
        assert "authorization" not in asked.headers

    extended(tmp_path, case)


def test_who_may_not_does_not_reach_the_server(tmp_path: Path) -> None:
    async def case(api: Served, extension: Extension) -> None:
        await extension.expose(api)
        (await api.post(SERVICES_PATH, extension.apiservice())).ok()
        await condition(api, "Passed")
        answer = await api.get(f"{ROOT}/gauges", user=User("jane"))
        assert answer.code == 403
        assert extension.heard(f"{ROOT}/gauges") == []

    extended(tmp_path, case)


def test_a_server_is_told_of_in_discovery_and_documents(tmp_path: Path) -> None:
    async def case(api: Served, extension: Extension) -> None:
        await extension.expose(api)
        (await api.post(SERVICES_PATH, extension.apiservice())).ok()
        await condition(api, "Passed")
        form = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        aggregated = orjson.loads((await api.get("/apis", accept=form)).document)
        item = aggregated["items"][-1]
        assert item["metadata"]["name"] == "metrics.example.com"
        (version,) = item["versions"]
        assert version["freshness"] == "Current"
        kind = {"group": "metrics.example.com", "version": "v1", "kind": "Gauge"}
        assert version["resources"] == [
            {
                "resource": "gauges",
                "responseKind": kind,
                "scope": "Namespaced",
                "singularResource": "gauge",
                "verbs": ["get", "list"],
                "shortNames": ["gg"],
                "subresources": [{"subresource": "status", "responseKind": kind, "verbs": ["get"]}],
            }
        ]
        groups = (await api.get("/apis")).ok()["groups"]
        told = {"groupVersion": "metrics.example.com/v1", "version": "v1"}
        group = {"name": "metrics.example.com", "versions": [told], "preferredVersion": told}
        assert groups[-1] == group
        one = (await api.get("/apis/metrics.example.com")).ok()
        assert one == {"kind": "APIGroup", "apiVersion": "v1", **group}
        assert (await api.get(ROOT)).ok()["resources"] == RESOURCES
        index = (await api.get("/openapi/v3")).ok()["paths"]
        assert index[ROOT[1:]] == {"serverRelativeURL": f"/openapi/v3{ROOT}?hash=1"}
        document = f"/openapi/v3{ROOT}"
        extension.answers[document] = lambda _request: Response(b'{"openapi":"3.0.0"}')
        assert (await api.get(document, hash="1")).document == {"openapi": "3.0.0"}
        extension.status = 500
        (await api.patch(f"{SERVICES_PATH}/{NAME}", {"metadata": {"labels": {"a": "b"}}})).ok()
        await condition(api, "FailedDiscoveryCheck")
        aggregated = orjson.loads((await api.get("/apis", accept=form)).document)
        assert aggregated["items"][-1]["versions"][0]["freshness"] == "Stale"
        assert ROOT[1:] not in (await api.get("/openapi/v3")).ok()["paths"]

    extended(tmp_path, case)


OLD_KUBECTL = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"


def swagger(path: str = f"{ROOT}/gauges", **definitions: Any) -> dict[str, Any]:
    """Returns a document of version 2 with one path that lists gauges."""
    schema = {"$ref": "#/definitions/com.example.v1.GaugeList"}
    answers = {"200": {"description": "OK", "schema": schema}}
    operation = {"operationId": "listGauge", "responses": answers}
    return {
        "swagger": "2.0",
        "info": {"title": "e", "version": "1"},
        "paths": {path: {"get": operation}, "/apis/other/v1/things": {"get": operation}},
        "definitions": {
            "com.example.v1.GaugeList": {"type": "object", "description": "gauges"},
            **definitions,
        },
    }


def test_documents_of_version_2_hold_what_other_servers_say(tmp_path: Path) -> None:
    async def case(api: Served, extension: Extension) -> None:
        told, tag = swagger(), '"first"'

        def answer(request: Request) -> Response:
            if request.headers.get("if-none-match") == tag:
                return Response(b"", 304)
            return Response(orjson.dumps(told), 200, "application/json", {"Etag": tag})

        extension.answers["/openapi/v2"] = answer
        await extension.expose(api)
        (await api.post(SERVICES_PATH, extension.apiservice())).ok()
        await condition(api, "Passed")
        assert extension.heard("/openapi/v2") == []  # nobody wants to know yet
        first = await api.get("/openapi/v2")
        document = first.ok()
        assert document["info"] == {"title": "Kubernetes", "version": "v1.37.0"}
        assert document["paths"][f"{ROOT}/gauges"]["get"]["operationId"] == "listGauge"
        assert "/apis/other/v1/things" not in document["paths"]
        assert document["definitions"]["com.example.v1.GaugeList"]["description"] == "gauges"
        assert "io.k8s.api.core.v1.Pod" in document["definitions"]
        binary = await api.get("/openapi/v2", accept=OLD_KUBECTL)
        assert b"com.example.v1.GaugeList" in binary.document
        (asked,) = extension.heard("/openapi/v2")
        assert asked.headers["x-remote-user"] == "system:aggregator"
        assert asked.headers["accept"] == "application/json"
        remote = api.assembly._remotes.get(NAME)
        assert remote is not None

        async def again() -> Any:
            remote.swagger_asked = api.world.monotonic() - 61.0
            return await api.get("/openapi/v2")

        same = await again()
        assert [one.headers.get("if-none-match") for one in extension.heard("/openapi/v2")] == [
            None,
            tag,
        ]
        assert same.headers["etag"] == first.headers["etag"]
        told, tag = swagger(f"{ROOT}/dials"), '"second"'
        changed = await again()
        assert f"{ROOT}/dials" in changed.ok()["paths"]
        assert changed.headers["etag"] != first.headers["etag"]
        extension.answers["/openapi/v2"] = lambda _request: Response(b"[]")
        assert f"{ROOT}/dials" in (await again()).ok()["paths"]  # as it last said
        (await api.delete(f"{SERVICES_PATH}/{NAME}")).ok()
        assert f"{ROOT}/dials" not in (await api.get("/openapi/v2")).ok()["paths"]

    extended(tmp_path, case)


def test_a_server_without_such_a_document_is_left_out(tmp_path: Path) -> None:
    async def case(api: Served, extension: Extension) -> None:
        await extension.expose(api)
        (await api.post(SERVICES_PATH, extension.apiservice())).ok()
        await condition(api, "Passed")
        found = (await api.get("/openapi/v2")).ok()
        assert len(extension.heard("/openapi/v2")) == 1
        assert not [path for path in found["paths"] if path.startswith(ROOT)]
        assert "io.k8s.api.core.v1.Pod" in found["definitions"]

    extended(tmp_path, case)


def test_a_server_that_is_not_available_is_not_asked(tmp_path: Path) -> None:
    async def case(api: Served, extension: Extension) -> None:
        (await api.post(SERVICES_PATH, extension.apiservice())).ok()
        await condition(api, "ServiceNotFound")
        answer = await api.get(f"{ROOT}/gauges")
        assert (answer.code, answer.document) == (503, b"service unavailable\n")
        extension.status = 500
        await extension.expose(api)
        found = await condition(api, "FailedDiscoveryCheck")
        url = f"https://127.0.0.1:{extension.port}{ROOT}"
        wanted = f"failing or missing response from {url}: bad status from {url}: 500"
        assert found["message"] == wanted
        assert (await api.get(f"{ROOT}/gauges")).code == 503
        assert extension.heard(f"{ROOT}/gauges") == []
        extension.status = 200  # no event tells of it: it is asked again
        await condition(api, "Passed")
        (await api.delete("/api/v1/namespaces/default/services/metrics")).ok()
        await condition(api, "ServiceNotFound")
        (await api.delete(f"{SERVICES_PATH}/{NAME}")).ok()
        assert (await api.get(f"{ROOT}/gauges")).code == 404

    extended(tmp_path, case)


def test_a_server_must_prove_itself_where_it_is_not_excused(tmp_path: Path) -> None:
    async def case(api: Served, extension: Extension) -> None:
        await extension.expose(api)
        proven = extension.apiservice(caBundle=extension.bundle, insecureSkipTLSVerify=False)
        (await api.post(SERVICES_PATH, proven)).ok()
        await condition(api, "Passed")
        answer = await api.get(f"{ROOT}/gauges")
        assert answer.code == 503  # its certificate is for localhost, not for metrics.default.svc
        text = answer.document.decode()
        assert text.startswith("error trying to reach service: tls: failed to verify certificate")
        assert extension.heard(f"{ROOT}/gauges") == []

    extended(tmp_path, case)


def test_a_stream_comes_piece_by_piece(tmp_path: Path) -> None:
    async def case(api: Served, extension: Extension) -> None:
        await extension.expose(api)
        (await api.post(SERVICES_PATH, extension.apiservice())).ok()
        await condition(api, "Passed")
        more = asyncio.Event()

        async def pieces() -> AsyncIterator[bytes]:
            yield b"one"
            await more.wait()
            yield b"two"

        extension.answers[f"{ROOT}/gauges"] = lambda _request: Response(pieces())
        given = Request("GET", f"{ROOT}/gauges", "watch=1", user=ADMIN)
        answer = api.assembly.api.handle(given)
        assert not isinstance(answer, Response)
        body = (await answer).body
        assert isinstance(body, AsyncIterator)
        assert await anext(body) == b"one"
        more.set()
        assert [piece async for piece in body] == [b"two"]

    extended(tmp_path, case)


def test_a_failed_request_has_the_server_checked(tmp_path: Path) -> None:
    async def case(api: Served, extension: Extension) -> None:
        await extension.expose(api)
        (await api.post(SERVICES_PATH, extension.apiservice())).ok()
        await condition(api, "Passed")
        doubted: list[str] = []
        remotes = api.assembly._remotes
        remotes.doubt = doubted.append
        extension.port = free_port()
        await extension.endpoints(api)
        doubted.clear()
        answer = await api.get(f"{ROOT}/gauges")
        refused = f"dial tcp 127.0.0.1:{extension.port}: connect: connection refused"
        text = f"error trying to reach service: {refused}\n"
        assert (answer.code, answer.document) == (503, text.encode())
        assert doubted == [NAME]

    extended(tmp_path, case)


class Client:
    """The client's end of an upgraded connection: says one thing and hears until the end."""

    def __init__(self) -> None:
        self.heard = b""
        self._said = False
        self._closed = asyncio.Event()

    async def read(self) -> bytes:
        if self._said:
            await self._closed.wait()
            return b""
        self._said = True
        return b"ping"

    async def write(self, data: bytes) -> None:
        self.heard += data

    def close(self) -> None:
        self._closed.set()


def test_an_upgraded_connection_is_joined(tmp_path: Path) -> None:
    async def case(api: Served, extension: Extension) -> None:
        await extension.expose(api)
        (await api.post(SERVICES_PATH, extension.apiservice())).ok()
        await condition(api, "Passed")

        async def take(channel: Channel) -> None:
            await channel.write((await channel.read()).upper())
            channel.close()

        headers = {"Connection": "Upgrade", "Upgrade": "echo"}
        path = f"{ROOT}/gauges/a/listen"
        extension.answers[path] = lambda _request: Response(Upgrade(take), 101, headers=headers)
        asked = {"connection": "Upgrade", "upgrade": "echo"}
        answer = api.assembly.api.handle(Request("GET", path, "", asked, user=ADMIN))
        assert not isinstance(answer, Response)
        body = (await answer).body
        assert isinstance(body, Upgrade)
        client = Client()
        await body.take(client)
        assert client.heard == b"PING"
        (heard,) = extension.heard(path)
        assert heard.headers["x-remote-user"] == ADMIN.name
        assert heard.headers["upgrade"] == "echo"

    extended(tmp_path, case)
