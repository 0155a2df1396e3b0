"""Validating webhooks: which are asked, and what becomes of their answers and failures."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from customs import WIDGETS, definition, establish, version, widget
from hooks import MAPS_RULE, MUTATING, VALIDATING, Hook, hooked
from served import MAPS, NAMESPACES, PODS, Served, config_map, pod
from steersman.api.admission.figures import INTERNAL_ERROR, NO_ERROR, Called, Figures
from steersman.wire import prometheus

Document = dict[str, Any]
NAMED = 'admission webhook "ask.example.com" denied the request'


@pytest.mark.parametrize(
    ("status", "code", "reason", "message"),
    [
        (None, 400, None, f"{NAMED} without explanation"),
        ({"message": "no"}, 400, None, f"{NAMED}: no"),
        ({"reason": "Forbidden"}, 400, "Forbidden", f"{NAMED}: Forbidden"),
        ({"code": 403, "message": "no", "reason": "Forbidden"}, 403, "Forbidden", f"{NAMED}: no"),
        ({"code": 418, "message": "tea"}, 418, None, f"{NAMED}: tea"),
        ({"code": 200, "message": "fine"}, 400, None, f"{NAMED}: fine"),
    ],
)
def test_a_refusal_is_told_as_it_was_given(
    tmp_path: Path, status: Any, code: int, reason: str | None, message: str
) -> None:
    async def case(api: Served, hook: Hook) -> None:
        hook.answers["/ask"] = lambda _asked: {"allowed": False, "status": status}
        await hook.configure(api, VALIDATING, hook.webhook())
        refused = await api.post(MAPS, config_map("one"))
        assert (refused.code, refused.document.get("reason")) == (code, reason)
        assert refused.message == message and refused.document["code"] == code
        assert (await api.get(f"{MAPS}/one")).code == 404

    hooked(tmp_path, case)


def test_every_operation_can_be_refused(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        (await api.post(MAPS, config_map("one", a="1"))).ok()
        hook.answers["/ask"] = lambda _asked: {"allowed": False}
        await hook.configure(api, VALIDATING, hook.webhook())
        (await api.get(f"{MAPS}/one")).ok()
        assert (await api.post(MAPS, config_map("two"))).code == 400
        assert (await api.put(f"{MAPS}/one", config_map("one", a="2"))).code == 400
        assert (await api.patch(f"{MAPS}/one", {"data": {"a": "2"}})).code == 400
        assert (await api.delete(f"{MAPS}/one")).code == 400
        assert (await api.delete(MAPS)).code == 400
        assert (await api.get(f"{MAPS}/one")).ok()["data"] == {"a": "1"}
        assert hook.asked[-1][1].get("name") is None, "many are deleted, none is named"

    hooked(tmp_path, case)


@pytest.mark.parametrize(
    ("rule", "asked"),
    [
        ({}, True),
        ({"operations": ["UPDATE"]}, False),
        ({"operations": ["DELETE", "CREATE"]}, True),
        ({"apiGroups": ["apps"]}, False),
        ({"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}, True),
        ({"apiVersions": ["v2"]}, False),
        ({"resources": ["secrets"]}, False),
        ({"resources": ["*/*"]}, True),
        ({"resources": ["configmaps/status"]}, False),
        ({"resources": ["configmaps/*"]}, True),
        ({"scope": "Namespaced"}, True),
        ({"scope": "Cluster"}, False),
    ],
)
def test_rules_choose_by_operation_group_version_resource_and_scope(
    tmp_path: Path, rule: Document, asked: bool
) -> None:
    async def case(api: Served, hook: Hook) -> None:
        await hook.configure(api, VALIDATING, hook.webhook(rules=[{**MAPS_RULE, **rule}]))
        (await api.post(MAPS, config_map("one"))).ok()
        assert bool(hook.asked) is asked

    hooked(tmp_path, case)


def test_selectors_choose_by_labels_of_the_object_and_its_namespace(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        wanted = {"matchLabels": {"watched": "yes"}}
        by_object = hook.webhook("/object", objectSelector=wanted)
        by_namespace = hook.webhook("/namespace", namespaceSelector=wanted)
        everything = {**MAPS_RULE, "resources": ["namespaces"]}
        of_namespaces = hook.webhook("/self", namespaceSelector=wanted, rules=[everything])
        await hook.configure(api, VALIDATING, by_object, by_namespace, of_namespaces)
        (await api.post(MAPS, config_map("one"))).ok()
        assert hook.paths == []
        labelled = {"metadata": {"labels": {"watched": "yes"}}}
        (await api.patch(f"{MAPS}/one", labelled)).ok()
        (await api.patch(f"{MAPS}/one", {"metadata": {"labels": None}})).ok()
        assert hook.paths == ["/object", "/object"], "what was there before counts too"
        hook.asked.clear()
        (await api.patch(f"{NAMESPACES}/default", labelled)).ok()
        (await api.patch(f"{MAPS}/one", {"data": {"a": "b"}})).ok()
        assert hook.paths == ["/self", "/namespace"]

    hooked(tmp_path, case)


def test_conditions_choose_by_expressions(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        texts = {
            "/named": "request.name == 'one' && request.operation == 'CREATE'",
            "/data": "has(object.data) && object.data.size() > 1",
            "/old": "oldObject == null",
            "/may": "authorizer.group('').resource('secrets').check('get').allowed()",
            "/own": "authorizer.requestResource.check('get').allowed()",
        }
        webhooks = [
            hook.webhook(path, matchConditions=[{"name": "it", "expression": text}])
            for path, text in texts.items()
        ]
        await hook.configure(api, VALIDATING, *webhooks)
        (await api.post(MAPS, config_map("one"))).ok()
        assert sorted(hook.paths) == ["/may", "/named", "/old", "/own"]
        hook.asked.clear()
        (await api.patch(f"{MAPS}/one", {"data": {"a": "1", "b": "2"}})).ok()
        assert sorted(hook.paths) == ["/data", "/may", "/own"]

    hooked(tmp_path, case)


def test_a_condition_without_a_value_refuses_or_is_no_match(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        bad = [{"name": "it", "expression": "object.unheard.of == 1"}]
        ignoring = hook.webhook("/one", matchConditions=bad, failurePolicy="Ignore")
        await hook.configure(api, VALIDATING, ignoring)
        (await api.post(MAPS, config_map("one"))).ok()
        assert hook.asked == []
        never = [*bad, {"name": "never", "expression": "false"}]
        await hook.configure(api, VALIDATING, hook.webhook("/b", matchConditions=never), name="b")
        (await api.post(MAPS, config_map("two"))).ok()
        await hook.configure(api, VALIDATING, hook.webhook("/c", matchConditions=bad), name="c")
        refused = await api.post(MAPS, config_map("three"))
        assert (refused.code, refused.message) == (
            403,
            "configmaps \"three\" is forbidden: expression 'object.unheard.of == 1' resulted in "
            "error: no such key: unheard",
        )

    hooked(tmp_path, case)


def test_all_are_asked_at_once(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        hook.gate, hook.crowd = asyncio.Event(), 3
        await hook.configure(api, VALIDATING, *(hook.webhook(f"/w{number}") for number in range(3)))
        write = asyncio.ensure_future(api.post(MAPS, config_map("one")))
        await hook.full.wait()
        hook.gate.set()
        (await write).ok()

    hooked(tmp_path, case)


def test_a_webhook_that_fails_refuses_unless_it_may_be_ignored(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        await hook.configure(api, VALIDATING, hook.webhook())
        uid = 'expected response.uid="'
        head = "received invalid webhook response: "
        cases = [
            (lambda _answer: {}, f"{head}webhook response was absent"),
            (lambda answer: {**answer, "response": {"uid": "x"}}, f"{head}{uid}"),
            (
                lambda answer: {**answer, "kind": "Other"},
                f"{head}expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, "
                "got admission.k8s.io/v1, Kind=Other",
            ),
            (
                lambda answer: {**answer, "response": {**answer["response"], "patch": "W10="}},
                f"{head}validating webhook may not return response.patch",
            ),
        ]
        for spoil, told in cases:
            hook.spoil = spoil
            refused = await api.post(MAPS, config_map("one"))
            start = 'Internal error occurred: failed calling webhook "ask.example.com": '
            assert refused.code == 500 and refused.document["reason"] == "InternalError"
            assert refused.message.startswith(start + told), refused.message
            (cause,) = refused.document["details"]["causes"]
            assert f"Internal error occurred: {cause['message']}" == refused.message
        hook.status = 500
        refused = await api.post(MAPS, config_map("one"))
        assert "failed to call webhook: an error on the server (" in refused.message
        ignoring = [{"op": "add", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]
        (await api.patch(f"{VALIDATING}/w", ignoring, "application/json-patch+json")).ok()
        (await api.post(MAPS, config_map("one"))).ok()

    hooked(tmp_path, case)


def test_a_webhook_that_cannot_be_reached_is_named_with_its_url(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        service = {"name": "none", "namespace": "default", "path": "/x"}
        away = hook.webhook(clientConfig={"service": service})
        await hook.configure(api, VALIDATING, away)
        refused = await api.post(MAPS, config_map("one"))
        assert refused.message == (
            'Internal error occurred: failed calling webhook "ask.example.com": failed to call '
            'webhook: service "none" not found'
        )

    hooked(tmp_path, case)


def test_a_webhook_has_so_many_seconds(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        hook.gate = asyncio.Event()
        await hook.configure(api, VALIDATING, hook.webhook(timeoutSeconds=1))
        refused = await api.post(MAPS, config_map("one"))
        hook.gate.set()
        url = f"https://localhost:{hook.port}/ask?timeout=1s"
        assert refused.message == (
            'Internal error occurred: failed calling webhook "ask.example.com": failed to call '
            f'webhook: Post "{url}": context deadline exceeded'
        )

    hooked(tmp_path, case)


def test_a_dry_run_needs_webhooks_without_side_effects(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        await hook.configure(api, VALIDATING, hook.webhook(sideEffects="NoneOnDryRun"))
        (await api.post(MAPS, config_map("one"), dryRun="All")).ok()
        (asked,) = [one for _, one in hook.asked]
        assert asked["dryRun"] is True and asked["options"]["dryRun"] == ["All"]
        assert (await api.get(f"{MAPS}/one")).code == 404

    hooked(tmp_path, case)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (None, {}),
        (
            {"gracePeriodSeconds": 0, "propagationPolicy": "Foreground"},
            {"gracePeriodSeconds": 0, "propagationPolicy": "Foreground"},
        ),
        ({"preconditions": {"uid": "UID"}}, {"preconditions": {"uid": "UID"}}),
        ({"dryRun": ["All"]}, {"dryRun": ["All"]}),
    ],
)
def test_the_options_of_a_deletion_are_told_as_they_were_given(
    tmp_path: Path, given: Document | None, told: Document
) -> None:
    async def case(api: Served, hook: Hook) -> None:
        meta = (await api.post(MAPS, config_map("one"))).ok()["metadata"]
        await hook.configure(api, VALIDATING, hook.webhook(sideEffects="None"))
        body = json.dumps(given).replace("UID", meta["uid"]).encode() if given else None
        (await api.delete(f"{MAPS}/one", body)).ok()
        (asked,) = [one for _, one in hook.asked]
        options = {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", **told}
        assert asked["options"] == json.loads(json.dumps(options).replace("UID", meta["uid"]))
        assert asked["dryRun"] is ("dryRun" in told)
        assert asked["oldObject"]["metadata"]["resourceVersion"] == meta["resourceVersion"]

    hooked(tmp_path, case)


def test_what_configures_admission_is_never_asked_about(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        hook.answers["/ask"] = lambda _asked: {"allowed": False}
        everything = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"]}
        webhook = hook.webhook(rules=[{**everything, "resources": ["*/*"]}])
        await hook.configure(api, VALIDATING, webhook)
        await hook.configure(api, MUTATING, webhook)
        assert hook.asked == []
        assert (await api.post(MAPS, config_map("one"))).code == 400
        (await api.delete(f"{VALIDATING}/w")).ok()
        (await api.delete(f"{MUTATING}/w")).ok()
        (await api.post(MAPS, config_map("one"))).ok()

    hooked(tmp_path, case)


def test_an_equivalent_version_is_asked_about_in_its_own_form(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        later = version("v2", storage=False)
        await establish(api, definition(version(), later))
        rule = {"operations": ["*"], "apiGroups": ["example.com"], "apiVersions": ["v2"]}
        rule["resources"] = ["widgets"]
        exact = hook.webhook("/exact", rules=[rule], matchPolicy="Exact")
        await hook.configure(api, VALIDATING, exact, hook.webhook(rules=[rule]))
        (await api.post(WIDGETS, widget("one"))).ok()
        ((path, asked),) = hook.asked
        assert path == "/ask"
        assert asked["kind"]["version"] == asked["resource"]["version"] == "v2"
        assert asked["requestKind"]["version"] == asked["requestResource"]["version"] == "v1"
        assert asked["object"]["apiVersion"] == "example.com/v2"

    hooked(tmp_path, case)


def test_what_is_sent_to_subresources_is_asked_about_as_what_it_is(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        (await api.post(PODS, pod("one"))).ok()
        rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"]}
        names = ["pods/binding", "pods/eviction", "serviceaccounts/token"]
        await hook.configure(api, VALIDATING, hook.webhook(rules=[{**rule, "resources": names}]))
        target = {"metadata": {"name": "one"}, "target": {"kind": "Node", "name": "n"}}
        (await api.post(f"{PODS}/one/binding", target)).ok()
        (await api.post(f"{PODS}/one/eviction", {"metadata": {"name": "one"}})).ok()
        accounts = "/api/v1/namespaces/default/serviceaccounts"
        (await api.post(f"{accounts}/default/token", {"spec": {"audiences": []}})).ok()
        asked = [one for _, one in hook.asked]
        assert [(one["kind"]["kind"], one["subResource"], one["name"]) for one in asked] == [
            ("Binding", "binding", "one"),
            ("Eviction", "eviction", "one"),
            ("TokenRequest", "token", "default"),
        ]
        assert asked[0]["object"]["target"]["name"] == "n"
        hook.answers["/ask"] = lambda _asked: {"allowed": False}
        assert (await api.post(f"{PODS}/one/eviction", {})).code == 400

    hooked(tmp_path, case)


def test_connections_are_asked_about_with_their_options(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        (await api.post(PODS, pod("one"))).ok()
        hook.answers["/ask"] = lambda _asked: {"allowed": False, "status": {"message": "no"}}
        rule = {"operations": ["CONNECT"], "apiGroups": [""], "apiVersions": ["v1"]}
        webhook = hook.webhook(rules=[{**rule, "resources": ["pods/*"]}])
        await hook.configure(api, VALIDATING, webhook)
        query = {"stdin": "true", "container": "main", "command": "sh"}
        refused = await api.post(f"{PODS}/one/exec", None, **query)
        assert (refused.code, refused.message) == (400, f"{NAMED}: no")
        ((_, asked),) = hook.asked
        assert asked["operation"] == "CONNECT" and asked["options"] is None
        assert asked["kind"] == {"group": "", "version": "v1", "kind": "PodExecOptions"}
        assert asked["object"] == {
            "kind": "PodExecOptions",
            "apiVersion": "v1",
            "stdin": True,
            "container": "main",
            "command": ["sh"],
        }
        assert (await api.get(f"{PODS}/one/proxy/a/b")).code == 400
        assert hook.asked[1][1]["object"]["path"] == "a/b"

    hooked(tmp_path, case)


async def counted(api: Served, name: str) -> dict[str, str]:
    """Returns what is counted of admission, by labels."""
    text = (await api.get("/metrics")).document.decode()
    start = f"apiserver_admission_{name}{{"
    lines = [line for line in text.splitlines() if line.startswith(start)]
    return {line.removeprefix(start).split("}")[0]: line.rpartition(" ")[2] for line in lines}


def test_what_became_of_answers_is_counted(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        hook.answers["/no"] = lambda _asked: {"allowed": False, "status": {"code": 403}}
        await hook.configure(api, VALIDATING, hook.webhook())
        (await api.post(MAPS, config_map("one"))).ok()
        no = hook.webhook("/no", name="no.example.com")
        (await api.delete(f"{VALIDATING}/w")).ok()
        await hook.configure(api, VALIDATING, no)
        assert (await api.post(MAPS, config_map("two"))).code == 403
        hook.status = 599
        lax = hook.webhook("/ask", name="lax.example.com", failurePolicy="Ignore")
        (await api.delete(f"{VALIDATING}/w")).ok()
        await hook.configure(api, VALIDATING, lax)
        (await api.put(f"{MAPS}/one", config_map("one", a="1"))).ok()
        (await api.delete(f"{VALIDATING}/w")).ok()
        await hook.configure(api, MUTATING, hook.webhook("/ask", name="strict.example.com"))
        assert (await api.put(f"{MAPS}/one", config_map("one", a="2"))).code == 500
        create, update = 'operation="CREATE"', 'operation="UPDATE"'
        kind = 'type="validating"'
        requests = await counted(api, "webhook_request_total")
        assert requests == {
            f'code="200",name="ask.example.com",{create},rejected="false",{kind}': "1",
            f'code="403",name="no.example.com",{create},rejected="true",{kind}': "1",
            f'code="599",name="lax.example.com",{update},rejected="false",{kind}': "1",
            f'code="599",name="strict.example.com",{update},rejected="true",type="admit"': "1",
        }
        rejections = await counted(api, "webhook_rejection_count")
        refused = f'error_type="no_error",name="no.example.com",{create}'
        failed = f'error_type="calling_webhook_error",name="strict.example.com",{update}'
        assert rejections == {
            f'{refused},rejection_code="403",{kind}': "1",
            f'{failed},rejection_code="0",type="admit"': "1",
        }
        opened = await counted(api, "webhook_fail_open_count")
        assert opened == {f'name="lax.example.com",{kind}': "1"}
        durations = await counted(api, "webhook_admission_duration_seconds_count")
        assert sum(map(int, durations.values())) == sum(map(int, requests.values()))

    hooked(tmp_path, case)


def test_what_could_not_be_reached_or_read_is_counted_by_what_upstream_calls_it(
    tmp_path: Path,
) -> None:
    async def case(api: Served, hook: Hook) -> None:
        service = {"name": "none", "namespace": "default"}
        away = hook.webhook(name="away.example.com", clientConfig={"service": service})
        await hook.configure(api, VALIDATING, away)
        assert (await api.post(MAPS, config_map("one"))).code == 500
        (await api.delete(f"{VALIDATING}/w")).ok()
        hook.spoil = lambda _answer: {}
        await hook.configure(api, VALIDATING, hook.webhook(name="odd.example.com"))
        assert (await api.post(MAPS, config_map("one"))).code == 500
        rest = 'operation="CREATE",rejected="true",type="validating"'
        assert await counted(api, "webhook_request_total") == {
            f'code="503",name="away.example.com",{rest}': "1",
            f'code="400",name="odd.example.com",{rest}': "1",
        }

    hooked(tmp_path, case)


def test_passes_of_all_plugins_are_counted(tmp_path: Path) -> None:
    async def case(api: Served, _hook: Hook) -> None:
        async def steps() -> dict[str, int]:
            found = await counted(api, "step_admission_duration_seconds_count")
            return {labels: int(count) for labels, count in found.items()}

        async def more(path: str, body: Any) -> set[str]:
            before = await steps()
            await api.post(path, body)
            return {
                labels for labels, count in (await steps()).items() if count != before.get(labels)
            }

        passed = {
            'operation="CREATE",rejected="false",type="admit"',
            'operation="CREATE",rejected="false",type="validate"',
        }
        assert await more(MAPS, config_map("one")) == passed
        nowhere = MAPS.replace("/default/", "/none/")
        lost = config_map("one")
        lost["metadata"]["namespace"] = "none"
        assert await more(nowhere, lost) == {'operation="CREATE",rejected="true",type="admit"'}

    hooked(tmp_path, case)


def test_codes_beyond_all_bounds_and_errors_of_our_own_are_told_as_upstream_tells_them() -> None:
    figures, called = Figures(), Called("a", "validating", "CREATE")
    figures.called(called, 999, NO_ERROR, 0.1)
    figures.called(called, 0, INTERNAL_ERROR, 0.1)
    text = prometheus.render(figures.families()).decode()
    of = 'name="a",operation="CREATE"'
    for line in (
        f'webhook_request_total{{code="600",{of},rejected="true",type="validating"}} 1',
        f'webhook_rejection_count{{error_type="no_error",{of},rejection_code="600",'
        'type="validating"} 1',
        f'webhook_rejection_count{{error_type="apiserver_internal_error",{of},rejection_code="0",'
        'type="validating"} 1',
        f'webhook_admission_duration_seconds_bucket{{{of},rejected="true",type="validating",'
        'le="0.1"} 2',
    ):
        assert f"apiserver_admission_{line}\n" in text, line
