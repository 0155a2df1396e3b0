"""Who writes policies and bindings may read the parameters that they name."""

from __future__ import annotations

from typing import Any

import pytest
from tests.served import ADMIN, Served, served

from steersman.wire.message import User

GROUP = "/apis/admissionregistration.k8s.io/v1"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
ANN = User("ann", ("writers", "readers"), "7", {"k": ("v", "w")})
SHOWN = "&{ann 7 [writers readers] map[k:[v w]]}"
MATCH = {
    "resourceRules": [
        {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
    ]
}
OPERATION = "[JSONPatch{op: 'remove', path: '/a'}]"
MAPS = {"apiVersion": "v1", "kind": "ConfigMap"}
WHAT = {
    "validating": {"validations": [{"expression": "true"}]},
    "mutating": {
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": OPERATION}}],
        "reinvocationPolicy": "Never",
    },
}
SIDES = pytest.mark.parametrize("side", WHAT)


def policy(side: str, name: str = "p", kind: Any = MAPS) -> dict[str, Any]:
    spec = {**WHAT[side], "matchConstraints": MATCH, "paramKind": kind}
    return {"metadata": {"name": name}, "spec": spec}


def binding(side: str, policy: str = "p", **reference: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {"policyName": policy}
    if side == "validating":
        spec["validationActions"] = ["Deny"]
    reference = {"parameterNotFoundAction": "Allow", **reference}
    return {"metadata": {"name": "b"}, "spec": {**spec, "paramRef": reference}}


async def allow(api: Served, name: str, *rules: dict[str, Any]) -> None:
    """Lets Ann write policies, and what else is said."""
    every = {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["*"], "verbs": ["*"]}
    metadata = {"name": name}
    (await api.post(f"{RBAC}/clusterroles", {"metadata": metadata, "rules": [every, *rules]})).ok()
    bound = {
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "User", "name": "ann"}],
    }
    (await api.post(f"{RBAC}/clusterrolebindings", bound)).ok()


def cause(answer: Any) -> tuple[str, str, str]:
    assert answer.code == 422, answer.document
    (found,) = answer.document["details"]["causes"]
    return found["reason"], found["field"], found["message"]


@SIDES
def test_a_policy_names_parameters_of_a_kind_that_its_writer_may_read(side: str) -> None:
    @served
    async def test(api: Served) -> None:
        policies = f"{GROUP}/{side}admissionpolicies"
        await allow(api, "writes")
        why = (
            f'Forbidden: user {SHOWN} must have "get" permission on all objects of the referenced '
            "paramKind (kind=ConfigMap, apiVersion=v1)"
        )
        refused = await api.post(policies, policy(side), user=ANN)
        assert cause(refused) == ("FieldValueForbidden", "spec.paramKind", why)
        (await api.post(policies, policy(side), user=ADMIN)).ok()
        labels = {"metadata": {"labels": {"a": "b"}}}
        (await api.patch(f"{policies}/p", labels, user=ANN)).ok()  # it names the same kind
        secrets = {"spec": {"paramKind": {"apiVersion": "v1", "kind": "Secret"}}}
        assert cause(await api.patch(f"{policies}/p", secrets, user=ANN))[1] == "spec.paramKind"
        await allow(
            api, "reads", {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}
        )
        (await api.post(policies, policy(side, "q"), user=ANN)).ok()
        unknown = policy(side, "r", {"apiVersion": "x.example/v1", "kind": "X"})
        assert cause(await api.post(policies, unknown, user=ANN))[1] == "spec.paramKind"

    test()


@SIDES
def test_a_binding_names_parameters_that_its_writer_may_read(side: str) -> None:
    @served
    async def test(api: Served) -> None:
        bindings = f"{GROUP}/{side}admissionpolicybindings"
        await allow(api, "writes")
        (await api.post(f"{GROUP}/{side}admissionpolicies", policy(side))).ok()
        foreign = policy(side, "foreign", {"apiVersion": "x.example/v1", "kind": "X"})
        (await api.post(f"{GROUP}/{side}admissionpolicies", foreign)).ok()
        one, many = {"name": "m", "namespace": "default"}, {"selector": {}}
        known = "to determine minimum required permissions"
        every = "permission for all groups, versions and resources"
        for document, why in (
            (
                binding(side, **one),
                f'user {SHOWN} does not have "get" permission on the object referenced by paramRef',
            ),
            (
                binding(side, **many),
                f'user {SHOWN} does not have "list" permission on the object referenced by '
                "paramRef",
            ),
            (
                binding(side, "none", **one),
                f'unable to get policy none {known} and user {SHOWN} does not have "get" {every}',
            ),
            (
                binding(side, "foreign", **one),
                f"unable to resolve paramKind &{{x.example/v1 X}} {known} and user {SHOWN} does "
                f'not have "get" {every}',
            ),
        ):
            refused = await api.post(bindings, document, user=ANN)
            expected = ("FieldValueForbidden", "spec.paramRef", f"Forbidden: {why}")
            assert cause(refused) == expected
        reads = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["m"]}
        await allow(api, "reads", {**reads, "verbs": ["get"]})
        unknown = await api.post(bindings, binding(side, "none", **one), user=ANN)
        assert cause(unknown)[2].startswith("Forbidden: unable to get policy none")
        (await api.post(bindings, binding(side, **one), user=ANN)).ok()
        labels = {"metadata": {"labels": {"a": "b"}}}
        (await api.patch(f"{bindings}/b", labels, user=ANN)).ok()
        (await api.delete(f"{RBAC}/clusterroles/reads")).ok()
        # upstream asks at every update, for it compares pointers
        assert cause(await api.patch(f"{bindings}/b", labels, user=ANN))[1] == "spec.paramRef"
        (await api.patch(f"{bindings}/b", labels, user=ADMIN)).ok()

    test()
