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
