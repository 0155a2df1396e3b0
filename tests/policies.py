"""Admission policies and their bindings for tests."""

from __future__ import annotations

from typing import Any

from served import Served

Document = dict[str, Any]

GROUP = "/apis/admissionregistration.k8s.io/v1"
VALIDATING = f"{GROUP}/validatingadmissionpolicies"
VALIDATING_BINDINGS = f"{GROUP}/validatingadmissionpolicybindings"
MUTATING = f"{GROUP}/mutatingadmissionpolicies"
MUTATING_BINDINGS = f"{GROUP}/mutatingadmissionpolicybindings"
MAPS_RULE: Document = {
    "operations": ["CREATE", "UPDATE"],
    "apiGroups": [""],
    "apiVersions": ["v1"],
    "resources": ["configmaps"],
}


def policy(kind: str, name: str = "rule", rule: Document | None = None, **spec: Any) -> Document:
    """Returns a policy about ConfigMaps."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"matchConstraints": {"resourceRules": [rule or MAPS_RULE]}, **spec},
    }


def validating(expression: str, name: str = "rule", **more: Any) -> Document:
    """Returns a policy with one validation; `validation` adds to it."""
    one = {"expression": expression, **more.pop("validation", {})}
    return policy("ValidatingAdmissionPolicy", name, validations=[one], **more)


def binding(kind: str, name: str = "bound", policy: str = "rule", **spec: Any) -> Document:
    """Returns a binding."""
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": {"policyName": policy, **spec},
    }


async def validate(api: Served, made: Document, **spec: Any) -> None:
    """Creates a validating policy and its binding."""
    (await api.post(VALIDATING, made)).ok()
    name = made["metadata"]["name"]
    spec = {"validationActions": ["Deny"], **spec}
    bound = binding("ValidatingAdmissionPolicyBinding", f"{name}-bound", name, **spec)
    (await api.post(VALIDATING_BINDINGS, bound)).ok()


def applying(expression: str, name: str = "rule", **spec: Any) -> Document:
    """Returns a policy that applies what an expression gives."""
    one = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}
    return mutating(one, name=name, **spec)


def patching(expression: str, name: str = "rule", **spec: Any) -> Document:
    """Returns a policy that applies a list of operations that an expression gives."""
    one = {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}
    return mutating(one, name=name, **spec)


def mutating(*mutations: Document, name: str = "rule", **spec: Any) -> Document:
    """Returns a policy with some mutations."""
    spec = {"reinvocationPolicy": "Never", **spec}
    return policy("MutatingAdmissionPolicy", name, mutations=list(mutations), **spec)


async def mutate(api: Served, made: Document, **spec: Any) -> None:
    """Creates a mutating policy and its binding."""
    (await api.post(MUTATING, made)).ok()
    name = made["metadata"]["name"]
    bound = binding("MutatingAdmissionPolicyBinding", f"{name}-bound", name, **spec)
    (await api.post(MUTATING_BINDINGS, bound)).ok()
