"""What PodSecurity, webhooks and policies have the audit log keep of a request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from hooks import MUTATING, VALIDATING, Hook, add, hooked, patch
from policies import validate, validating
from served import ADMIN, DEPLOYMENTS, MAPS, PODS, Served, config_map, deployment, pod, served
from steersman.api.access.authorization import DECISION, REASON
from steersman.api.audit.policy import Verdict
from steersman.api.audit.record import Record
from steersman.api.route import parse
from steersman.model.errors import APIError
from steersman.wire.message import Request

SECURITY = "pod-security.kubernetes.io/"
FAILED = "validation.policy.admission.k8s.io/validation_failure"


async def noted(api: Served, path: str, document: Any, level: int = 2) -> dict[str, str]:
    """Creates an object and returns what the audit log keeps beside who may."""
    request = Request("POST", path, "", {}, orjson.dumps(document), user=ADMIN)
    request.notes = record = Record(request, parse(request), ADMIN, Verdict(level), "id")
    try:
        answer = api.assembly.api.handle(request)
        if not hasattr(answer, "status"):
            await answer
    except APIError:
        record.annotations["refused"] = "yes"
    kept = record.annotations
    assert kept.pop(DECISION) == "allow"
    assert kept.pop(REASON) == ""
    return kept


async def labelled(api: Served, **modes: str) -> None:
    named = {f"pod-security.kubernetes.io/{mode}": level for mode, level in modes.items()}
    path = "/api/v1/namespaces/default"
    (await api.patch(path, {"metadata": {"labels": named}})).ok()


@served
async def test_pod_security_names_the_enforced_standard(api: Served) -> None:
    assert await noted(api, PODS, pod("a")) == {f"{SECURITY}enforce-policy": "privileged:latest"}
    # what is known of a template is not taken instead
    assert await noted(api, PODS, pod("b")) == {f"{SECURITY}enforce-policy": "privileged:latest"}
    await labelled(api, enforce="baseline")
    assert await noted(api, PODS, pod("c")) == {f"{SECURITY}enforce-policy": "baseline:latest"}


@served
async def test_pod_security_keeps_what_the_audited_standard_forbids(api: Served) -> None:
    await labelled(api, audit="baseline")
    kept = await noted(api, PODS, pod("a", hostNetwork=True))
    told = 'would violate PodSecurity "baseline:latest": host namespaces (hostNetwork=true)'
    assert kept == {
        f"{SECURITY}enforce-policy": "privileged:latest",
        f"{SECURITY}audit-violations": told,
    }
    made = deployment("web")
    made["spec"]["template"]["spec"]["hostNetwork"] = True
    assert await noted(api, DEPLOYMENTS, made) == {f"{SECURITY}audit-violations": told}
    assert await noted(api, DEPLOYMENTS, deployment("good")) == {}
    await labelled(api, enforce="baseline")
    kept = await noted(api, PODS, pod("b", hostNetwork=True))
    assert kept["refused"]
    assert kept[f"{SECURITY}audit-violations"] == told


@served
async def test_a_policys_notes_are_kept_by_its_name(api: Served) -> None:
    notes = [
        {"key": "size", "valueExpression": "' ' + string(object.data.size()) + ' '"},
        {"key": "none", "valueExpression": "null"},
        {"key": "empty", "valueExpression": "' '"},
    ]
    await validate(api, validating("true", auditAnnotations=notes))
    assert await noted(api, MAPS, config_map("a", x="1")) == {"rule/size": "1"}


@served
async def test_a_failed_validation_is_kept_where_the_binding_says_so(api: Served) -> None:
    made = validating("true", validation={"message": "no"})
    made["spec"]["validations"].append({"expression": "false", "message": "never"})
    await validate(api, made, validationActions=["Audit", "Warn"])
    kept = await noted(api, MAPS, config_map("a"))
    assert list(kept) == [FAILED]
    assert orjson.loads(kept[FAILED]) == [
        {
            "message": "never",
            "policy": "rule",
            "binding": "rule-bound",
            "expressionIndex": 1,
            "validationActions": ["Audit", "Warn"],
        }
    ]


@served
async def test_a_denial_alone_is_not_kept(api: Served) -> None:
    await validate(api, validating("false"))
    assert await noted(api, MAPS, config_map("a")) == {"refused": "yes"}


def told(hook: str, **more: Any) -> dict[str, Any]:
    return {"configuration": "w", "webhook": f"{hook}.example.com", **more}


def test_webhooks_that_change_objects_are_kept_and_patches_by_level(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        marked = patch(add("/data/b", "yes"))
        hook.answers["/one"] = lambda _asked: {**marked, "auditAnnotations": {"why": "because"}}
        await hook.configure(api, MUTATING, hook.webhook("/one"), hook.webhook("/two"))
        kept = await noted(api, MAPS, config_map("a", a="1"))
        assert kept.pop("one.example.com/why") == "because"
        found = {key.replace(".webhook.admission.k8s.io/", " "): kept[key] for key in kept}
        assert {key: orjson.loads(value) for key, value in found.items()} == {
            "patch round_0_index_0": told(
                "one", patch=[add("/data/b", "yes")], patchType="JSONPatch"
            ),
            "mutation round_0_index_0": told("one", mutated=True),
            "mutation round_0_index_1": told("two", mutated=False),
        }
        kept = await noted(api, MAPS, config_map("b", a="1"), level=1)
        assert not any(key.startswith("patch.") for key in kept)

    hooked(tmp_path, case)


def test_webhooks_that_failed_open_are_kept(tmp_path: Path) -> None:
    async def case(api: Served, hook: Hook) -> None:
        hook.status = 500
        ignoring = hook.webhook("/one", failurePolicy="Ignore")
        await hook.configure(api, MUTATING, ignoring)
        await hook.configure(api, VALIDATING, ignoring, name="v")
        kept = await noted(api, MAPS, config_map("a"))
        open_ = {key: value for key, value in kept.items() if key.startswith("failed-open.")}
        assert open_ == {
            "failed-open.mutation.webhook.admission.k8s.io/round_0_index_0": "one.example.com",
            "failed-open.validating.webhook.admission.k8s.io/round_0_index_0": "one.example.com",
        }

    hooked(tmp_path, case)
