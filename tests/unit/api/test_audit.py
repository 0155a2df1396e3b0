"""The audit log: which requests are noted, at which stages, with what."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from served import ADMIN, Served, serving
from steersman.api.audit.policy import parse
from steersman.api.audit.record import Record
from steersman.api.audit.settings import AuditSettings
from steersman.model.errors import APIError
from steersman.wire.message import Peer, Request, User
from steersman.world.simulated import SimulatedWorld, simulate

JANE = User("jane", ("system:authenticated",), "u-1", {"team": ("a",)})
MAPS = "/api/v1/namespaces/default/configmaps"
MAP = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}, "data": {"k": "v"}}
Document = dict[str, Any]


def settings(path: Path, *rules: Document, **more: Any) -> AuditSettings:
    policy = {"kind": "Policy", "apiVersion": "audit.k8s.io/v1", "rules": list(rules)}
    return AuditSettings(parse({**policy, **more}), str(path))


def events(path: Path, user: str = "admin") -> list[Document]:
    """Returns the events of a user's requests, each in one line."""
    found = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    return [one for one in found if one["user"].get("username", "") == user]


Body = Callable[[Served, Path], Awaitable[None]]


def audited(tmp_path: Path, body: Body, *rules: Document, **more: Any) -> None:
    path = tmp_path / "audit.log"

    async def main(world: SimulatedWorld) -> None:
        async with serving(world, audit=settings(path, *rules, **more)) as api:
            await body(api, path)

    simulate(0, main)


def level(name: str, **more: Any) -> Document:
    return {"level": name, **more}


def test_a_write_is_noted_when_it_comes_and_when_it_is_done(tmp_path: Path) -> None:
    async def body(api: Served, path: Path) -> None:
        (await api.post(MAPS, MAP)).ok()
        came, done = events(path)
        assert list(done) == [
            *("kind", "apiVersion", "level", "auditID", "stage", "requestURI", "verb", "user"),
            *("userAgent", "objectRef", "responseStatus", "requestReceivedTimestamp"),
            *("stageTimestamp", "annotations"),
        ]
        assert came["stage"] == "RequestReceived"
        assert "responseStatus" not in came
        assert "annotations" not in came
        assert came["stageTimestamp"] == came["requestReceivedTimestamp"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", came["stageTimestamp"])
        assert done["stage"] == "ResponseComplete"
        assert done["auditID"] == came["auditID"]
        assert done["user"] == {
            "username": "admin",
            "groups": ["system:masters", "system:authenticated"],
        }
        assert done["objectRef"] == {
            "resource": "configmaps",
            "namespace": "default",
            "name": "a",
            "apiVersion": "v1",
        }
        assert done["responseStatus"] == {"metadata": {}, "code": 201}
        assert done["annotations"] == {
            "authorization.k8s.io/decision": "allow",
            "authorization.k8s.io/reason": "",
        }
        assert "name" not in came["objectRef"]

    audited(tmp_path, body, level("Metadata"))


def test_each_level_keeps_what_it_names_and_no_more(tmp_path: Path) -> None:
    async def body(api: Served, path: Path) -> None:
        for name in ("secrets", "configmaps", "services", "endpoints"):
            await api.post(f"/api/v1/namespaces/default/{name}", {"metadata": {"name": "a"}})
        done = {
            one["objectRef"]["resource"]: one
            for one in events(path)
            if one["stage"] == "ResponseComplete"
        }
        assert sorted(done) == ["configmaps", "endpoints", "secrets"]
        assert "requestObject" not in done["secrets"]
        sent = done["configmaps"]["requestObject"]
        assert sent == {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}}
        assert "responseObject" not in done["configmaps"]
        answered = done["endpoints"]["responseObject"]
        assert answered["metadata"]["uid"]
        assert answered["metadata"]["creationTimestamp"]

    audited(
        tmp_path,
        body,
        level("None", resources=[{"resources": ["services"]}]),
        level("Metadata", resources=[{"resources": ["secrets"]}]),
        level("Request", resources=[{"resources": ["configmaps"]}]),
        level("RequestResponse"),
    )


def test_an_error_is_noted_with_its_status(tmp_path: Path) -> None:
    async def body(api: Served, path: Path) -> None:
        assert (await api.get(f"{MAPS}/none")).code == 404
        assert (await api.get(f"{MAPS}/none", accept="application/yaml")).code == 404
        found = [one for one in events(path) if one["stage"] == "ResponseComplete"]
        assert len(found) == 2
        for one in found:
            assert one["responseStatus"] == {
                "metadata": {},
                "status": "Failure",
                "message": 'configmaps "none" not found',
                "reason": "NotFound",
                "details": {"name": "none", "kind": "configmaps"},
                "code": 404,
            }
            assert one["responseObject"]["kind"] == "Status"

    audited(tmp_path, body, level("RequestResponse"))


def test_who_may_not_is_noted_with_the_reason(tmp_path: Path) -> None:
    async def body(api: Served, path: Path) -> None:
        assert (await api.get(MAPS, user=JANE)).code == 403
        _came, done = events(path, "jane")
        assert done["user"] == {
            "username": "jane",
            "uid": "u-1",
            "groups": ["system:authenticated"],
            "extra": {"team": ["a"]},
        }
        assert done["responseStatus"]["code"] == 403
        assert done["annotations"]["authorization.k8s.io/decision"] == "forbid"

    audited(tmp_path, body, level("Metadata"))


def test_the_reason_of_a_right_is_that_of_rbac(tmp_path: Path) -> None:
    async def body(api: Served, path: Path) -> None:
        (await api.get("/version", user=JANE)).ok()
        done = events(path, "jane")[-1]
        assert done["annotations"]["authorization.k8s.io/decision"] == "allow"
        assert done["annotations"]["authorization.k8s.io/reason"].startswith(
            'RBAC: allowed by ClusterRoleBinding "system:'
        )
        assert "objectRef" not in done
        assert done["requestURI"] == "/version"
        assert done["verb"] == "get"

    audited(tmp_path, body, level("Metadata"))


def sent(method: str, path: str, query: str = "", **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(method, path, query, named, peer=Peer("192.0.2.7"))


async def answer(api: Served, request: Request) -> int:
    try:
        found = api.assembly.api.handle(request)
        return found.status if hasattr(found, "status") else (await found).status
    except APIError as error:
        return error.code


def test_who_sends_no_good_token_is_noted_once_and_is_nobody(tmp_path: Path) -> None:
    async def body(api: Served, path: Path) -> None:
        assert await answer(api, sent("GET", MAPS, authorization="Bearer x")) == 401
        (one,) = events(path, "")
        assert one["stage"] == "ResponseStarted"
        assert one["user"] == {}
        assert one["responseStatus"]["code"] == 401
        assert one["responseStatus"]["reason"] == "Unauthorized"

    audited(tmp_path, body, level("Metadata"))


def test_a_request_is_told_from_where_it_came_and_its_id_is_taken_over(tmp_path: Path) -> None:
    async def body(api: Served, path: Path) -> None:
        request = sent(
            "GET",
            "/version",
            "a=b%20c",
            audit_id="mine",
            user_agent="x" * 1025,
            x_forwarded_for="198.51.100.1, no",
            x_real_ip="198.51.100.2",
        )
        assert await answer(api, request) == 200
        assert isinstance(request.notes, Record)
        assert request.notes.id == "mine"
        one = events(path, "system:anonymous")[-1]
        assert one["auditID"] == "mine"
        assert one["sourceIPs"] == ["198.51.100.1", "198.51.100.2", "192.0.2.7"]
        assert one["userAgent"] == "x" * 1024 + "...TRUNCATED"
        assert one["requestURI"] == "/version?a=b%20c"
        assert "impersonatedUser" not in one
        for value in ("first", "second"):
            request.notes.annotate("key", value)
        assert request.notes.annotations["key"] == "first"
        again = sent("GET", "/version", x_forwarded_for="192.0.2.7")
        await answer(api, again)
        assert events(path, "system:anonymous")[-1]["sourceIPs"] == ["192.0.2.7"]
        back = sent("GET", "/version", x_forwarded_for="192.0.2.7,192.0.2.9", x_real_ip="192.0.2.9")
        await answer(api, back)
        way = ["192.0.2.7", "192.0.2.9", "192.0.2.7"]
        assert events(path, "system:anonymous")[-1]["sourceIPs"] == way
        long = sent("GET", "/version", audit_id="x" * 65)
        await answer(api, long)
        assert long.notes is not None
        assert len(long.notes.id) == 36

    audited(tmp_path, body, level("Metadata"))


def test_who_acts_as_somebody_else_is_not_noted_where_nothing_is(tmp_path: Path) -> None:
    async def body(api: Served, path: Path) -> None:
        grant = {
            "metadata": {"name": "act"},
            "rules": [{"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"]}],
        }
        (await api.post("/apis/rbac.authorization.k8s.io/v1/clusterroles", grant)).ok()
        bound = {
            "metadata": {"name": "act"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "act",
            },
            "subjects": [{"kind": "User", "name": "system:anonymous"}],
        }
        (await api.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", bound)).ok()
        assert await answer(api, sent("GET", "/version", impersonate_user="jane")) == 200
        assert events(path, "system:anonymous") == []

    audited(tmp_path, body, level("None"))


def test_who_acts_as_somebody_else_is_noted_as_both(tmp_path: Path) -> None:
    async def body(api: Served, path: Path) -> None:
        refused = sent("GET", MAPS, impersonate_user="jane")
        assert await answer(api, refused) == 403
        one = events(path, "system:anonymous")[-1]
        assert one["responseStatus"]["code"] == 403
        assert "impersonatedUser" not in one
        grant = {
            "metadata": {"name": "act"},
            "rules": [{"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"]}],
        }
        (await api.post("/apis/rbac.authorization.k8s.io/v1/clusterroles", grant)).ok()
        bound = {
            "metadata": {"name": "act"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "act",
            },
            "subjects": [{"kind": "User", "name": "system:anonymous"}],
        }
        (await api.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", bound)).ok()
        assert await answer(api, sent("GET", "/version", impersonate_user="jane")) == 200
        one = events(path, "system:anonymous")[-1]
        assert one["impersonatedUser"] == {
            "username": "jane",
            "groups": ["system:authenticated"],
        }
        assert "authenticationMetadata" not in one
        newer = [
            {
                "apiGroups": ["authentication.k8s.io"],
                "resources": ["users"],
                "verbs": ["impersonate:user-info"],
            },
            {"nonResourceURLs": ["/version"], "verbs": ["impersonate-on:user-info:get"]},
        ]
        role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/act"
        (await api.put(role, {**grant, "rules": newer})).ok()
        assert await answer(api, sent("GET", "/version", impersonate_user="jane")) == 200
        one = events(path, "system:anonymous")[-1]
        assert one["impersonatedUser"]["username"] == "jane"
        how = {"impersonationConstraint": "impersonate:user-info"}
        assert one["authenticationMetadata"] == how

    audited(tmp_path, body, level("Metadata"))


def test_a_watch_is_noted_when_it_begins_and_when_it_ends(tmp_path: Path) -> None:
    async def body(api: Served, path: Path) -> None:
        watched = await api.watch(MAPS)
        assert [one["stage"] for one in events(path)] == ["RequestReceived", "ResponseStarted"]
        watched.close()
        found = events(path)
        assert [one["stage"] for one in found][2:] == ["ResponseComplete"]
        assert found[-1]["responseStatus"] == {"metadata": {}, "code": 200}
        watched.close()
        assert len(events(path)) == 3

    audited(tmp_path, body, level("RequestResponse"))


def test_stages_that_are_left_out_are_left_out_of_the_policy_or_of_a_rule(tmp_path: Path) -> None:
    async def body(api: Served, path: Path) -> None:
        (await api.post(MAPS, MAP)).ok()
        (await api.get(MAPS)).ok()
        assert [(one["stage"], one["verb"]) for one in events(path)] == [
            ("ResponseComplete", "list")
        ]

    audited(
        tmp_path,
        body,
        level("Metadata", verbs=["create"], omitStages=["ResponseComplete"]),
        level("Metadata"),
        omitStages=["RequestReceived"],
    )


def test_managed_fields_are_left_out_where_the_policy_says_so(tmp_path: Path) -> None:
    async def body(api: Served, path: Path) -> None:
        (await api.post(MAPS, MAP)).ok()
        (await api.get(MAPS)).ok()
        (await api.get(f"{MAPS}/a")).ok()
        objects = [one["responseObject"] for one in events(path) if "responseObject" in one]
        assert len(objects) == 3
        created, listed, got = objects
        assert "managedFields" in created["metadata"]
        assert {"uid", "name"} <= set(listed["items"][0]["metadata"])
        assert "managedFields" not in listed["items"][0]["metadata"]
        assert "managedFields" not in got["metadata"]

    audited(
        tmp_path,
        body,
        level("RequestResponse", verbs=["create"], omitManagedFields=False),
        level("RequestResponse"),
        omitManagedFields=True,
    )


def test_what_is_sent_is_shown_in_json_whatever_the_client_speaks(tmp_path: Path) -> None:
    async def body(api: Served, path: Path) -> None:
        text = b"kind: ConfigMap\napiVersion: v1\nmetadata: {name: one}\n"
        made = await api.post(MAPS, text, content="application/yaml", accept="application/yaml")
        assert made.code == 201
        (await api.patch(f"{MAPS}/one", {"data": {"a": "b"}})).ok()
        (await api.delete(f"{MAPS}/one", {"propagationPolicy": "Background"})).ok()
        await api.post(MAPS, b"{")
        listed = await api.get(MAPS, accept="application/vnd.kubernetes.protobuf")
        assert listed.code == 200
        done = [one for one in events(path) if one["stage"] == "ResponseComplete"]
        assert done[0]["requestObject"]["metadata"] == {"name": "one"}
        assert done[0]["responseObject"]["metadata"]["uid"]
        assert done[1]["requestObject"] == {"data": {"a": "b"}}
        assert done[2]["requestObject"]["propagationPolicy"] == "Background"
        assert done[2]["responseStatus"]["status"] == "Success"
        assert done[2]["responseStatus"]["details"]["name"] == "one"
        assert "requestObject" not in done[3]
        assert done[3]["responseStatus"]["code"] == 400
        assert done[4]["responseObject"]["kind"] == "ConfigMapList"

    audited(tmp_path, body, level("RequestResponse"))


def test_a_failure_of_the_server_is_a_panic_and_says_nothing_of_the_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(api: Served, path: Path) -> None:
        def broken(*_arguments: Any) -> None:
            raise RuntimeError("a secret")

        monkeypatch.setattr(api.assembly.reader, "list", broken)
        with pytest.raises(RuntimeError):
            await api.get(MAPS)
        one = events(path)[-1]
        assert one["stage"] == "Panic"
        assert one["responseStatus"]["code"] == 500
        assert b"a secret" not in path.read_bytes()

    audited(tmp_path, body, level("Metadata"))


def test_what_was_noted_is_counted(tmp_path: Path) -> None:
    async def body(api: Served, path: Path) -> None:
        lines = len(path.read_bytes().splitlines())
        text = (await api.get("/metrics")).document.decode()
        assert f"apiserver_audit_event_total {lines + 1}\n" in text
        assert 'apiserver_audit_level_total{level="Metadata"}' in text
        assert 'apiserver_audit_level_total{level="None"} 1\n' in text
        assert "apiserver_audit_requests_rejected_total 0\n" in text

    quiet = level("None", nonResourceURLs=["/version*"])
    asked = body

    async def with_version(api: Served, path: Path) -> None:
        (await api.get("/version")).ok()
        await asked(api, path)

    audited(tmp_path, with_version, quiet, level("Metadata"))


def test_without_a_policy_a_request_carries_no_notes() -> None:
    async def main(world: SimulatedWorld) -> None:
        async with serving(world) as api:
            request = Request("GET", "/version", user=ADMIN)
            await answer(api, request)
            assert request.notes is None
            assert "audit" not in (await api.get("/metrics")).document.decode()

    simulate(0, main)
