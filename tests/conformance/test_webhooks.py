"""Upstream's rows about admission webhooks, with a webhook server of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from customs import CRDS, WIDGETS, definition, establish, version, widget
from hooks import MUTATING, VALIDATING, Hook, add, hooked, patch
from served import JSON_PATCH, MAPS, NAMESPACES, PODS, Document, Served, config_map, pod

LABELS = {"e2e-list-test-webhooks": "yes"}
SELECTOR = "e2e-list-test-webhooks=yes"
LATENCY_SECONDS = 1.5
WHERE = pytest.mark.parametrize("where", [MUTATING, VALIDATING], ids=["mutating", "validating"])
SKIP_ME = {"name": "skip-me", "expression": "object.metadata.name != 'skip-me'"}


def rules(*names: str, group: str = "", operations: Iterable[str] = ("*",)) -> list[Document]:
    """Returns a rule about resources of a group."""
    return [
        {
            "operations": list(operations),
            "apiGroups": [group],
            "apiVersions": ["*"],
            "resources": list(names),
        }
    ]


def refusing(message: str) -> Any:
    """Returns an answer that refuses with a message."""
    return lambda _asked: {"allowed": False, "status": {"message": message}}


async def acts(api: Served, where: str, name: str) -> bool:
    """Says whether webhooks mutate, or refuse, a new ConfigMap; takes it away again."""
    answer = await api.post(MAPS, config_map(name))
    if answer.code == 403 or answer.code == 400:
        return where == VALIDATING
    (await api.delete(f"{MAPS}/{name}")).ok()
    return "mutation-start" in answer.ok().get("data", {})


def answering(hook: Hook, where: str) -> None:
    """Has the webhook mutate or refuse."""
    mutation = add("/data/mutation-start", "yes")
    start = add("/data", {})
    told = refusing("the configmap is not wanted")
    hook.answers["/ask"] = (lambda _: patch(start, mutation)) if where == MUTATING else told


def stored(where: str, hook: Hook, name: str, **more: Any) -> Document:
    """Returns a configuration whose webhook is asked about new ConfigMaps."""
    kind = "Mutating" if where == MUTATING else "Validating"
    webhook = {**hook.webhook(), "rules": rules("configmaps", operations=["CREATE"]), **more}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": f"{kind}WebhookConfiguration",
        "metadata": {"name": name, "labels": LABELS},
        "webhooks": [webhook],
    }


@WHERE
def test_configurations_are_listed_and_deleted_together(tmp_path: Path, where: str) -> None:
    async def case(api: Served, hook: Hook) -> None:
        answering(hook, where)
        for number in range(10):
            (await api.post(where, stored(where, hook, f"w-{number}"))).ok()
        listed = await api.get(where, labelSelector=SELECTOR)
        assert listed.names == [f"w-{number}" for number in range(10)]
        assert await acts(api, where, "one")
        assert len(hook.asked) == 10
        (await api.delete(where, labelSelector=SELECTOR)).ok()
        assert not await acts(api, where, "one")

    hooked(tmp_path, case)


@WHERE
def test_a_configuration_that_changes_holds_as_it_then_is(tmp_path: Path, where: str) -> None:
    async def case(api: Served, hook: Hook) -> None:
        answering(hook, where)
        (await api.post(where, stored(where, hook, "w"))).ok()
        assert await acts(api, where, "one")
        current = (await api.get(f"{where}/w")).ok()
        current["webhooks"][0]["rules"][0]["operations"] = ["UPDATE"]
        (await api.put(f"{where}/w", current)).ok()
        assert not await acts(api, where, "one")
        operation = {"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}
        (await api.patch(f"{where}/w", [operation], JSON_PATCH)).ok()
        assert await acts(api, where, "one")

    hooked(tmp_path, case)


@WHERE
def test_conditions_are_stored_and_changed(tmp_path: Path, where: str) -> None:
    async def case(api: Served, hook: Hook) -> None:
        first = [{"name": "expression-1", "expression": "object.metadata.namespace == 'x'"}]
        made = (await api.post(where, stored(where, hook, "w", matchConditions=first))).ok()
        assert made["webhooks"][0]["matchConditions"] == first
        second = [{"name": "expression-2", "expression": "object.metadata.name != 'y'"}]
        made["webhooks"][0]["matchConditions"] = [*first, *second]
        (await api.put(f"{where}/w", made)).ok()
        kept = (await api.get(f"{where}/w")).ok()["webhooks"][0]["matchConditions"]
        assert kept == [*first, *second]

    hooked(tmp_path, case)


@WHERE
def test_conditions_that_do_not_compile_are_refused(tmp_path: Path, where: str) -> None:
    async def case(api: Served, hook: Hook) -> None:
        bad = [{"name": "invalid-expression-1", "expression": "... [] bad expression"}]
        refused = await api.post(where, stored(where, hook, "w", matchConditions=bad))
        assert refused.code == 422
        assert "compilation failed" in refused.message

    hooked(tmp_path, case)


def test_everything_but_what_a_condition_excludes_is_mutated(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        answering(hook, MUTATING)
        (await api.post(MUTATING, stored(MUTATING, hook, "w", matchConditions=[SKIP_ME]))).ok()
        assert not await acts(api, MUTATING, "skip-me")
        assert await acts(api, MUTATING, "mutate-me")

    hooked(tmp_path, case)


def disallowed(asked: Document) -> Document:
    """Refuses what bears the label or the data that upstream's webhook refuses."""
    made = asked["object"]
    marked = made["metadata"].get("labels", {}).get("webhook-e2e-test") == "webhook-disallow"
    if marked or made.get("data", {}).get("webhook-e2e-test") == "webhook-disallow":
        what = "label" if marked else "key"
        message = f"the {asked['resource']['resource']} contains unwanted {what}"
        return {"allowed": False, "status": {"message": message}}
    return {"allowed": True}


def test_pods_and_config_maps_are_denied_in_every_way_but_in_exempt_namespaces(
    tmp_path: Path,
) -> None:
    async def case(api: Served, hook: Hook) -> None:
        hook.answers["/ask"] = disallowed
        exempt = {
            "matchExpressions": [{"key": "skip-webhook", "operator": "NotIn", "values": ["yes"]}]
        }
        both = hook.webhook(rules=rules("pods", "configmaps"), namespaceSelector=exempt)
        await hook.configure(api, VALIDATING, both)
        labelled = pod("disallowed")
        labelled["metadata"]["labels"] = {"webhook-e2e-test": "webhook-disallow"}
        refused = await api.post(PODS, labelled)
        assert "the pods contains unwanted label" in refused.message
        bad = {"webhook-e2e-test": "webhook-disallow"}
        refused = await api.post(MAPS, config_map("disallowed", **bad))
        assert "the configmaps contains unwanted key" in refused.message
        (await api.post(MAPS, config_map("allowed", admit="this"))).ok()
        by_put = await api.put(f"{MAPS}/allowed", config_map("allowed", **bad))
        by_patch = await api.patch(f"{MAPS}/allowed", {"data": bad})
        for refused in (by_put, by_patch):
            assert "the configmaps contains unwanted key" in refused.message
        room = {"metadata": {"name": "room", "labels": {"skip-webhook": "yes"}}}
        (await api.post(NAMESPACES, room)).ok()
        (await api.post(f"{NAMESPACES}/room/configmaps", config_map("disallowed", **bad))).ok()

    hooked(tmp_path, case)


def test_a_webhook_that_hangs_denies_when_its_time_is_over(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        hook.gate = asyncio.Event()
        await hook.configure(api, VALIDATING, hook.webhook(rules=rules("pods"), timeoutSeconds=1))
        refused = await api.post(PODS, pod("hanging"))
        assert refused.code == 500
        assert "failed calling webhook" in refused.message
        assert "deadline" in refused.message
        hook.gate.set()

    hooked(tmp_path, case)


def test_attaching_is_denied(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        (await api.post(PODS, pod("to-be-attached"))).ok()
        hook.answers["/ask"] = refusing("attaching to pod 'to-be-attached' is not allowed")
        connect = hook.webhook(rules=rules("pods/attach", operations=["CONNECT"]))
        await hook.configure(api, VALIDATING, connect)
        refused = await api.post(f"{PODS}/to-be-attached/attach", None, stdin="true")
        assert "attaching to pod 'to-be-attached' is not allowed" in refused.message

    hooked(tmp_path, case)


def test_custom_resources_are_denied_when_they_come_change_and_go(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        await establish(api, open_definition())
        hook.answers["/ask"] = custom_resource
        about = rules("widgets", group="example.com")
        await hook.configure(api, VALIDATING, hook.webhook(rules=about))
        bad = {"webhook-e2e-test": "webhook-disallow"}
        refused = await api.post(WIDGETS, {**widget("disallowed"), "data": bad})
        assert "the custom resource contains unwanted data" in refused.message
        kept = {"webhook-e2e-test": "webhook-nondeletable"}
        (await api.post(WIDGETS, {**widget("kept"), "data": kept})).ok()
        refused = await api.patch(f"{WIDGETS}/kept", {"data": bad})
        assert "the custom resource contains unwanted data" in refused.message
        refused = await api.delete(f"{WIDGETS}/kept")
        assert "the custom resource cannot be deleted because it contains" in refused.message
        (await api.patch(f"{WIDGETS}/kept", {"data": {"webhook-e2e-test": "webhook-allow"}})).ok()
        (await api.delete(f"{WIDGETS}/kept")).ok()
        assert (await api.get(f"{WIDGETS}/kept")).code == 404

    hooked(tmp_path, case)


def custom_resource(asked: Document) -> Document:
    """Refuses some data, and the deletion of other data, as upstream's webhook does."""
    deleting = asked["operation"] == "DELETE"
    found = asked["oldObject" if deleting else "object"]["data"]["webhook-e2e-test"]
    if deleting and found == "webhook-nondeletable":
        message = "the custom resource cannot be deleted because it contains unwanted key and value"
        return {"allowed": False, "status": {"message": message}}
    allowed = deleting or found in ("webhook-allow", "webhook-nondeletable")
    message = "the custom resource contains unwanted data"
    return {"allowed": allowed, "status": {"message": message}}


def open_definition(*fields: str, **names: bool) -> Document:
    """Returns a definition of which the data holds anything, or only some fields."""
    data: Document = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    if fields:
        data = {"type": "object", "properties": {name: {"type": "string"} for name in fields}}
    properties = {"data": data, "dummy": {"type": "string"}}
    spec = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {**properties, "spec": spec}}
    served = names or {"v1": True}
    versions = [
        version(name, storage=storage, schema={"openAPIV3Schema": schema}, subresources={})
        for name, storage in served.items()
    ]
    return definition(*versions)


def test_a_definition_is_denied(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        hook.answers["/ask"] = disallowed
        group = "apiextensions.k8s.io"
        about = rules("customresourcedefinitions", group=group, operations=["CREATE"])
        await hook.configure(api, VALIDATING, hook.webhook(rules=about))
        made = definition()
        made["metadata"]["labels"] = {"webhook-e2e-test": "webhook-disallow"}
        refused = await api.post(CRDS, made)
        assert "the customresourcedefinitions contains unwanted label" in refused.message
        assert (await api.get(f"{CRDS}/widgets.example.com")).code == 404

    hooked(tmp_path, case)


def test_a_webhook_has_as_long_as_it_is_given(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        async def slow(name: str, **more: Any) -> int:
            hook.gate = asyncio.Event()
            made = (await api.post(VALIDATING, stored(VALIDATING, hook, name, **more))).ok()
            (webhook,) = made["webhooks"]
            assert webhook["timeoutSeconds"] == more.get("timeoutSeconds", 10)
            asyncio.get_running_loop().call_later(LATENCY_SECONDS, hook.gate.set)
            code = (await api.post(MAPS, config_map(name))).code
            (await api.delete(f"{VALIDATING}/{name}")).ok()
            return code

        assert await slow("short", timeoutSeconds=1, failurePolicy="Fail") == 500
        assert await slow("ignored", timeoutSeconds=1, failurePolicy="Ignore") == 201
        assert await slow("longer", timeoutSeconds=9, failurePolicy="Fail") == 201
        assert await slow("default", failurePolicy="Fail") == 201

    hooked(tmp_path, case)


def staged(asked: Document) -> Document:
    """Marks the first stage, and the second where the first is marked, as upstream's webhook."""
    data = asked["object"].get("data", {})
    marks = []
    if data.get("mutation-start") == "yes":
        marks.append(add("/data/mutation-stage-1", "yes"))
    if data.get("mutation-stage-1") == "yes":
        marks.append(add("/data/mutation-stage-2", "yes"))
    return patch(*marks) if marks else {"allowed": True}


async def in_stages(api: Served, hook: Hook, about: list[Document]) -> None:
    """Configures two webhooks, each once."""
    hook.answers = {"/first": staged, "/second": staged}
    both = [hook.webhook(path, rules=about) for path in ("/first", "/second")]
    await hook.configure(api, MUTATING, *both)


ALL_STAGES = {"mutation-start": "yes", "mutation-stage-1": "yes", "mutation-stage-2": "yes"}


def test_the_second_webhook_sees_what_the_first_did(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        await in_stages(api, hook, rules("configmaps", operations=["CREATE"]))
        made = (await api.post(MAPS, config_map("one", **{"mutation-start": "yes"}))).ok()
        assert made["data"] == ALL_STAGES

    hooked(tmp_path, case)


@pytest.mark.parametrize("fields", [(), ("mutation-start", "mutation-stage-1")])
def test_a_custom_resource_is_mutated_and_pruned_by_its_schema(
    tmp_path: Path, fields: tuple[str, ...]
) -> None:
    async def case(api: Served, hook: Hook) -> None:
        await establish(api, open_definition(*fields))
        await in_stages(api, hook, rules("widgets", group="example.com"))
        start = {"mutation-start": "yes"}
        made = (await api.post(WIDGETS, {**widget("one"), "data": start})).ok()
        known = fields or tuple(ALL_STAGES)
        assert made["data"] == dict.fromkeys(known, "yes")

    hooked(tmp_path, case)


def test_a_custom_resource_is_mutated_whatever_version_it_is_stored_in(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        await establish(api, open_definition(v1=True, v2=False))
        await in_stages(api, hook, rules("widgets", group="example.com"))
        start = {"mutation-start": "yes"}
        made = (await api.post(WIDGETS, {**widget("one"), "data": start})).ok()
        assert made["data"] == ALL_STAGES
        path = f"{CRDS}/widgets.example.com"
        moves = [
            {"op": "replace", "path": f"/spec/versions/{index}/storage", "value": is_stored}
            for index, is_stored in ((0, False), (1, True))
        ]
        (await api.patch(path, moves, JSON_PATCH)).ok()
        changed = (await api.patch(f"{WIDGETS}/one", {"dummy": "test"})).ok()
        assert (changed["dummy"], changed["data"]) == ("test", ALL_STAGES)
        later = (await api.get(f"{WIDGETS.replace('/v1/', '/v2/')}/one")).ok()
        assert (later["dummy"], later["data"]) == ("test", ALL_STAGES)

    hooked(tmp_path, case)


def test_what_a_webhook_adds_to_a_pod_gets_its_defaults(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        added = [{"name": "webhook-added-init-container", "image": "webhook-added-image"}]
        hook.answers["/ask"] = lambda _: patch(add("/spec/initContainers", added))
        about = rules("pods", operations=["CREATE"])
        await hook.configure(api, MUTATING, hook.webhook(rules=about))
        (first,) = (await api.post(PODS, pod("one"))).ok()["spec"]["initContainers"]
        assert first["name"] == "webhook-added-init-container"
        assert first["terminationMessagePolicy"] == "File"

    hooked(tmp_path, case)


@WHERE
def test_configurations_themselves_are_neither_mutated_nor_held(tmp_path: Path, where: str) -> None:
    async def case(api: Served, hook: Hook) -> None:
        group = "admissionregistration.k8s.io"
        names = ("validatingwebhookconfigurations", "mutatingwebhookconfigurations")
        about = rules(*names, group=group)
        hook.answers["/ask"] = refusing("nothing may be configured")
        await hook.configure(api, VALIDATING, hook.webhook(rules=about), name="refuses")
        hook.answers["/label"] = lambda _: patch(add("/metadata/labels", {"mutated": "yes"}))
        await hook.configure(api, MUTATING, hook.webhook("/label", rules=about), name="mutates")
        made = (await api.post(where, stored(where, hook, "dummy"))).ok()
        assert made["metadata"]["labels"] == LABELS
        (await api.delete(f"{where}/dummy")).ok()
        assert (await api.get(f"{where}/dummy")).code == 404
        assert hook.asked == []

    hooked(tmp_path, case)


def test_what_a_webhook_that_cannot_be_called_is_asked_about_is_denied(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        client = {"url": hook.client("/ask")["url"]}
        closed = stored(VALIDATING, hook, "closed", clientConfig=client, failurePolicy="Fail")
        (await api.post(VALIDATING, closed)).ok()
        refused = await api.post(MAPS, config_map("one"))
        assert (refused.code, refused.document["reason"]) == (500, "InternalError")
        assert "failed calling webhook" in refused.message
        assert hook.asked == []
        assert (await api.get(f"{MAPS}/one")).code == 404

    hooked(tmp_path, case)
