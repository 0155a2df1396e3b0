"""Mutating webhooks: asked in order, believed as far as upstream believes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from customs import WIDGETS, definition, establish, version, widget
from hooks import MUTATING, VALIDATING, Hook, add, hooked, patch
from policies import mutate, patching
from served import (
    ADMIN,
    APPLY,
    DEPLOYMENTS,
    JSON_PATCH,
    MAPS,
    PODS,
    TABLE,
    Served,
    config_map,
    deployment,
    pod,
)
from steersman.api.admission.webhooks import hook as webhook_hook
from steersman.client.kubeconfig import Users
from steersman.wire.message import Request, Response
from steersman.world.real import RealWorld

Document = dict[str, Any]


def marked(key: str) -> Document:
    return patch(add(f"/data/{key}", "yes"))


def test_what_a_webhook_patches_is_stored_and_not_owned(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        hook.answers["/ask"] = lambda _asked: {**marked("b"), "warnings": ["look out"]}
        await hook.configure(api, MUTATING, hook.webhook())
        answer = await api.post(MAPS, config_map("one", a="1"), fieldManager="me")
        made = answer.ok()
        assert made["data"] == {"a": "1", "b": "yes"}
        assert answer.headers["Warning"] == '299 - "look out"'
        (owned,) = made["metadata"]["managedFields"]
        assert owned["fieldsV1"] == {"f:data": {".": {}, "f:a": {}}}
        assert (await api.get(f"{MAPS}/one")).ok()["data"] == {"a": "1", "b": "yes"}

    hooked(tmp_path, case)


def test_the_time_of_webhooks_is_not_the_servers_own(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        whole = Request("POST", MAPS, body=orjson.dumps(config_map("one")), user=ADMIN)
        await asked(api, whole)
        assert whole.outside == 0
        await hook.configure(api, MUTATING, hook.webhook())
        changed = Request("POST", MAPS, body=orjson.dumps(config_map("two")), user=ADMIN)
        await asked(api, changed)
        await hook.configure(api, VALIDATING, hook.webhook())
        both = Request("POST", MAPS, body=orjson.dumps(config_map("three")), user=ADMIN)
        await asked(api, both)
        assert changed.outside > 0
        assert both.outside > 0
        text = (await api.get("/metrics")).document.decode()
        assert 'apiserver_request_sli_duration_seconds_count{component="apiserver"' in text

    async def asked(api: Served, request: Request) -> None:
        answer = api.assembly.api.handle(request)
        assert not isinstance(answer, Response)
        assert (await answer).status == 201

    hooked(tmp_path, case)


def test_a_review_says_who_asks_for_what(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        await hook.configure(api, MUTATING, hook.webhook())
        (await api.post(MAPS, config_map("one", a="1"), fieldManager="me")).ok()
        (await api.patch(f"{MAPS}/one", {"data": {"a": "2"}})).ok()
        (await api.delete(f"{MAPS}/one", {"gracePeriodSeconds": 3})).ok()
        (_, made), (_, changed), (_, gone) = hook.asked
        kind = {"group": "", "version": "v1", "kind": "ConfigMap"}
        resource = {"group": "", "version": "v1", "resource": "configmaps"}
        assert {name: made[name] for name in made if name not in ("uid", "object")} == {
            "kind": kind,
            "resource": resource,
            "requestKind": kind,
            "requestResource": resource,
            "name": "one",
            "namespace": "default",
            "operation": "CREATE",
            "userInfo": {"username": "admin", "groups": ["system:masters", "system:authenticated"]},
            "oldObject": None,
            "dryRun": False,
            "options": {
                "kind": "CreateOptions",
                "apiVersion": "meta.k8s.io/v1",
                "fieldManager": "me",
            },
        }
        assert made["object"]["kind"] == "ConfigMap" and made["object"]["apiVersion"] == "v1"
        assert "uid" not in made["object"]["metadata"]
        assert changed["operation"] == "UPDATE" and changed["options"]["kind"] == "UpdateOptions"
        assert changed["oldObject"]["data"] == {"a": "1"}
        assert changed["object"]["data"] == {"a": "2"}
        assert gone["operation"] == "DELETE" and gone["object"] is None
        assert gone["oldObject"]["data"] == {"a": "2"}
        assert gone["options"]["gracePeriodSeconds"] == 3

    hooked(tmp_path, case)


def test_webhooks_are_asked_by_name_of_their_configurations_then_in_order(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        hook.answers["/two"] = lambda asked: patch(
            add("/data/two", str("three" in asked["object"]["data"]))
        )
        hook.answers["/three"] = lambda _asked: marked("three")
        await hook.configure(api, MUTATING, hook.webhook("/two"), hook.webhook("/one"), name="b")
        await hook.configure(api, MUTATING, hook.webhook("/three"), name="a")
        made = (await api.post(MAPS, config_map("one", a="1"))).ok()
        assert hook.paths == ["/three", "/two", "/one"]
        assert made["data"]["two"] == "True"

    hooked(tmp_path, case)


def test_who_wants_it_is_asked_again_where_a_later_one_changed_something(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        hook.answers["/last"] = lambda _asked: marked("last")
        again = hook.webhook("/again", reinvocationPolicy="IfNeeded")
        await hook.configure(api, MUTATING, again, hook.webhook("/once"), hook.webhook("/last"))
        (await api.post(MAPS, config_map("one", a="1"))).ok()
        assert hook.paths == ["/again", "/once", "/last", "/again"]
        hook.asked.clear()
        (await api.patch(f"{MAPS}/one", {"data": {"a": "2"}})).ok()
        assert hook.paths == ["/again", "/once", "/last"], "nothing was changed"

    hooked(tmp_path, case)


def test_what_a_webhook_makes_gets_defaults_is_pruned_and_checked(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        container = {"name": "more", "image": "busybox", "unheard": "of"}
        hook.answers["/ask"] = lambda _asked: patch(add("/spec/containers/-", container))
        rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["*"]}
        webhook = hook.webhook(rules=[{**rule, "resources": ["pods"]}])
        await hook.configure(api, MUTATING, webhook)
        made = (await api.post(PODS, pod("one"))).ok()
        assert made["spec"]["containers"][1]["imagePullPolicy"] == "Always"
        assert "unheard" not in made["spec"]["containers"][1]
        container["name"] = "main"
        refused = await api.post(PODS, pod("two"))
        assert refused.code == 422 and "Duplicate value" in refused.message
        hook.answers["/ask"] = lambda _asked: patch(add("/spec/containers", "none"))
        refused = await api.post(PODS, pod("three"))
        assert refused.code == 500 and refused.message.startswith("Internal error occurred: ")
        hook.answers["/ask"] = lambda _asked: patch(add("/spec/unheard/of", "none"))
        refused = await api.post(PODS, pod("four"))
        assert refused.message == (
            "Internal error occurred: add operation does not apply: doc is missing path: "
            "/spec/unheard/of: missing value"
        )

    hooked(tmp_path, case)


def test_a_template_that_is_known_is_asked_about_all_the_same(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        for name in ("one", "two"):
            (await api.post(PODS, pod(name))).ok()
        hook.answers["/ask"] = lambda _asked: patch(add("/metadata/labels", {"seen": "yes"}))
        rule = {"operations": ["CREATE"], "apiGroups": ["*"], "apiVersions": ["*"]}
        await hook.configure(api, MUTATING, hook.webhook(rules=[{**rule, "resources": ["*"]}]))
        for name in ("three", "four"):
            assert (await api.post(PODS, pod(name))).ok()["metadata"]["labels"] == {"seen": "yes"}
        (await api.delete(f"{MUTATING}/w")).ok()
        assert "labels" not in (await api.post(PODS, pod("five"))).ok()["metadata"]

    hooked(tmp_path, case)


def test_the_metadata_of_the_server_stays(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        hook.answers["/ask"] = lambda _asked: patch(
            add("/metadata/uid", "mine"), add("/metadata/managedFields", [])
        )
        await hook.configure(api, MUTATING, hook.webhook())
        made = (await api.post(MAPS, config_map("one", a="1"))).ok()["metadata"]
        assert made["uid"] != "mine" and len(made["managedFields"]) == 1
        hook.answers["/ask"] = lambda _asked: patch(add("/metadata/namespace", "other"))
        refused = await api.post(MAPS, config_map("two"))
        assert (refused.code, refused.message) == (
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        )

    hooked(tmp_path, case)


def test_through_a_subresource_a_webhook_changes_no_more_than_it_may(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        (await api.post(DEPLOYMENTS, deployment("one"))).ok()
        hook.answers["/ask"] = lambda _asked: patch(
            add("/spec/replicas", 7), add("/status/replicas", 3)
        )
        rule = {"operations": ["*"], "apiGroups": ["apps"], "apiVersions": ["v1"]}
        webhook = hook.webhook(rules=[{**rule, "resources": ["deployments/status"]}])
        await hook.configure(api, MUTATING, webhook)
        (await api.patch(f"{DEPLOYMENTS}/one", {"metadata": {"labels": {"a": "b"}}})).ok()
        assert hook.asked == []
        made = (await api.patch(f"{DEPLOYMENTS}/one/status", {"status": {"replicas": 1}})).ok()
        assert (made["spec"]["replicas"], made["status"]["replicas"]) == (1, 3)
        assert hook.asked[0][1]["subResource"] == "status"

    hooked(tmp_path, case)


def test_apply_creates_what_webhooks_change(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        hook.answers["/ask"] = lambda _asked: marked("b")
        await hook.configure(api, MUTATING, hook.webhook())
        applied = config_map("one", a="1")
        path = f"{MAPS}/one"
        made = (await api.patch(path, applied, APPLY, fieldManager="me")).ok()
        assert made["data"] == {"a": "1", "b": "yes"}
        again = (await api.patch(path, applied, APPLY, fieldManager="me")).ok()
        assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]

    hooked(tmp_path, case)


def test_a_deletion_cannot_be_patched(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        (await api.post(MAPS, config_map("one"))).ok()
        hook.answers["/ask"] = lambda _asked: marked("b")
        await hook.configure(api, MUTATING, hook.webhook())
        refused = await api.delete(f"{MAPS}/one")
        assert refused.message == (
            'Internal error occurred: admission webhook "ask.example.com" attempted to modify the '
            "object, which is not supported for this operation"
        )

    hooked(tmp_path, case)


@pytest.mark.parametrize("custom", [False, True])
def test_a_scale_is_asked_about_and_changed(tmp_path: Path, custom: bool) -> None:
    async def case(api: Served, hook: Hook) -> None:
        if custom:
            await establish(api, definition(version()))
            (await api.post(WIDGETS, widget("one", size=1))).ok()
        else:
            (await api.post(DEPLOYMENTS, deployment("one"))).ok()
        path = f"{WIDGETS if custom else DEPLOYMENTS}/one"
        rule = {"operations": ["UPDATE"], "apiGroups": ["*"], "apiVersions": ["v1"]}
        rule["resources"] = ["*/scale"]
        await hook.configure(api, MUTATING, hook.webhook(rules=[rule]))
        (await api.patch(f"{path}/scale", {"spec": {"replicas": 2}})).ok()
        asked = hook.asked[0][1]
        assert asked["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
        assert asked["resource"]["resource"] == ("widgets" if custom else "deployments")
        replicas = [asked[name]["spec"]["replicas"] for name in ("oldObject", "object")]
        assert replicas == [1, 2]
        hook.answers["/ask"] = lambda _asked: patch(
            {"op": "replace", "path": "/spec/replicas", "value": 5}
        )
        scaled = (await api.patch(f"{path}/scale", {"spec": {"replicas": 3}})).ok()
        assert scaled["spec"]["replicas"] == 5
        scaled = (await api.put(f"{path}/scale", {**scaled, "spec": {"replicas": 4}})).ok()
        assert scaled["spec"]["replicas"] == 5
        spec = {"spec": {"replicas": 3}}
        table = (await api.patch(f"{path}/scale", spec, accept=TABLE)).ok()
        assert table["rows"][0]["cells"][1] == 5
        assert (await api.get(path)).ok()["spec"]["size" if custom else "replicas"] == 5

    hooked(tmp_path, case)


def test_what_comes_back_in_another_version_is_converted(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        hook.answers["/ask"] = lambda _asked: patch(add("/note", "patched"))
        rule = {"operations": ["CREATE"], "apiGroups": ["events.k8s.io"], "apiVersions": ["v1"]}
        await hook.configure(api, MUTATING, hook.webhook(rules=[{**rule, "resources": ["events"]}]))
        about = {"kind": "Pod", "name": "p", "namespace": "default"}
        event = {"metadata": {"name": "e"}, "involvedObject": about, "message": "sent"}
        made = (await api.post("/api/v1/namespaces/default/events", event)).ok()
        assert made["message"] == "patched" and made["involvedObject"]["name"] == "p"
        asked = hook.asked[0][1]
        assert (asked["object"]["apiVersion"], asked["object"]["note"]) == (
            "events.k8s.io/v1",
            "sent",
        )
        assert asked["kind"]["group"] == "events.k8s.io" and asked["requestKind"]["group"] == ""

    hooked(tmp_path, case)


def test_custom_resources_are_changed_in_the_version_that_is_asked_for(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        await establish(api, definition(version(), version("v2", storage=False)))
        hook.answers["/ask"] = lambda _asked: patch(
            add("/spec/size", 7), add("/spec/unheard", "of"), add("/apiVersion", "example.com/v2")
        )
        rule = {"operations": ["*"], "apiGroups": ["example.com"], "apiVersions": ["v2"]}
        webhook = hook.webhook(rules=[{**rule, "resources": ["widgets"]}])
        await hook.configure(api, MUTATING, webhook)
        made = (await api.post(WIDGETS, widget("one", size=1))).ok()
        assert made["apiVersion"] == "example.com/v1"
        assert made["spec"] == {"size": 7, "colour": "red"}
        hook.answers["/ask"] = lambda _asked: patch(add("/spec/size", 70))
        refused = await api.patch(f"{WIDGETS}/one", {"spec": {"size": 2}})
        assert refused.code == 422 and "spec.size" in refused.message

    hooked(tmp_path, case)


def test_a_failure_refuses_unless_it_may_be_ignored(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        invalid = "received invalid webhook response: "
        unpatched = "webhook returned response.patchType but not response.patch"
        untyped = "webhook returned response.patch but not response.patchType"
        bad = {"allowed": True, "patchType": "JSONPatch", "patch": "bm8="}
        cases = [
            ({"allowed": True, "patchType": "JSONPatch"}, f"{invalid}{unpatched}"),
            ({"allowed": True, "patch": "W10="}, f"{invalid}{untyped}"),
            ({**bad, "patchType": "Other"}, 'unsupported patch type "Other"'),
            (bad, "received undecodable patch in webhook response: "),
        ]
        await hook.configure(api, MUTATING, hook.webhook())
        for answer, told in cases:
            hook.answers["/ask"] = lambda _asked, given=answer: given  # type: ignore[misc]
            refused = await api.post(MAPS, config_map("one"))
            start = 'Internal error occurred: failed calling webhook "ask.example.com": '
            assert refused.code == 500 and refused.message.startswith(start + told)
        ignoring = [{"op": "add", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]
        (await api.patch(f"{MUTATING}/w", ignoring, JSON_PATCH)).ok()
        (await api.post(MAPS, config_map("one"))).ok()
        hook.answers["/ask"] = lambda _asked: {"allowed": False}
        assert (await api.post(MAPS, config_map("two"))).code == 400, "a refusal is no failure"

    hooked(tmp_path, case)


def test_whether_a_webhook_may_be_asked_on_a_dry_run() -> None:
    raw = {"name": "a", "clientConfig": {"url": "https://localhost"}}

    def has_effects(given: str) -> bool:
        made = {**raw, "sideEffects": given}
        return webhook_hook.Hook(made, "a", lambda _ref: None, RealWorld(), Users()).has_effects

    found = {given: has_effects(given) for given in ("None", "NoneOnDryRun", "Some", "Unknown")}
    assert found == {"None": False, "NoneOnDryRun": False, "Some": True, "Unknown": True}


def test_a_policy_is_asked_again_about_what_a_webhook_changed(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        counted = "[JSONPatch{op: 'add', path: '/data/n', value: string(object.data.size())}]"
        await mutate(api, patching(counted, reinvocationPolicy="IfNeeded"))
        hook.answers["/ask"] = lambda _asked: marked("b")
        await hook.configure(api, MUTATING, hook.webhook())
        made = (await api.post(MAPS, config_map("one", a="1"))).ok()
        assert made["data"] == {"a": "1", "b": "yes", "n": "3"}
        assert hook.paths == ["/ask"]

    hooked(tmp_path, case)
