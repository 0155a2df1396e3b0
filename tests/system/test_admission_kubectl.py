"""A webhook and policies as kubectl meets them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from clusters import Cluster
from hooks import MUTATING, VALIDATING, Hook, add, listening, patch
from policies import applying, binding, validating
from steersman.world.real import RealWorld

pytestmark = pytest.mark.system

START_SECONDS = 30.0
LABEL = "Object{metadata: Object.metadata{labels: {'policy': 'yes'}}}"


@pytest.fixture
def hook(tmp_path: Path) -> Iterator[Hook]:
    """A webhook that listens while the test runs."""
    made, ready = Hook(), threading.Event()
    ends: list[Any] = []

    async def main() -> None:
        world, over = RealWorld(), asyncio.Event()
        async with listening(tmp_path, world, made.handle) as place:
            made.port, made.bundle = place
            loop = asyncio.get_running_loop()
            ends.append(lambda: loop.call_soon_threadsafe(over.set))
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: uvloop.run(main()))
    thread.start()
    assert ready.wait(START_SECONDS)
    yield made
    ends[0]()
    thread.join(START_SECONDS)
    assert not thread.is_alive()


def apply(cluster: Cluster, *documents: dict[str, Any]) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
    cluster.ok("apply", "-f", "-", stdin=json.dumps(listed))


def test_a_webhook_changes_and_denies_what_kubectl_creates(
    cluster: Cluster, namespace: str, hook: Hook
) -> None:
    here = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    hook.answers["/change"] = lambda _asked: patch(add("/data/added", "yes"))
    hook.answers["/deny"] = lambda asked: {
        "allowed": asked["name"] != "bad",
        "status": {"message": "it is bad"},
        "warnings": ["be careful"],
    }
    for where, path in ((MUTATING, "/change"), (VALIDATING, "/deny")):
        kind = "MutatingWebhookConfiguration" if where == MUTATING else None
        made = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind or "ValidatingWebhookConfiguration",
            "metadata": {"name": "system-test"},
            "webhooks": [hook.webhook(path, namespaceSelector=here)],
        }
        apply(cluster, made)
    create = ("create", "-n", namespace, "configmap")
    assert cluster.ok(*create, "good", "--from-literal=a=1") == "configmap/good created\n"
    found = json.loads(cluster.ok("get", "-n", namespace, "configmap", "good", "-o", "json"))
    assert found["data"] == {"a": "1", "added": "yes"}
    said = cluster.refused(*create, "bad", "--from-literal=a=1")
    denied = 'admission webhook "deny.example.com" denied the request: it is bad'
    assert said.strip().endswith(f"error: failed to create configmap: {denied}")
    for kind in ("mutating", "validating"):
        cluster.ok("delete", f"{kind}webhookconfiguration", "system-test")


def test_policies_change_and_deny_what_kubectl_creates(cluster: Cluster, namespace: str) -> None:
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    checked = {"policy": "check", "validationActions": ["Deny"], "matchResources": here}
    apply(
        cluster,
        applying(LABEL, "change"),
        binding("MutatingAdmissionPolicyBinding", "change", "change", matchResources=here),
        validating("!has(object.data) || object.data.size() < 2", "check"),
        binding("ValidatingAdmissionPolicyBinding", "check", **checked),
    )
    create = ("create", "-n", namespace, "configmap")
    cluster.ok(*create, "small", "--from-literal=a=1")
    labels = cluster.ok("get", "-n", namespace, "configmap", "small", "--show-labels")
    assert "policy=yes" in labels
    said = cluster.refused(*create, "large", "--from-literal=a=1", "--from-literal=b=2")
    assert (
        "ValidatingAdmissionPolicy 'check' with binding 'check' denied request: failed "
        "expression: !has(object.data) || object.data.size() < 2"
    ) in said
    for kind, name in (("mutating", "change"), ("validating", "check")):
        cluster.ok("delete", f"{kind}admissionpolicybinding,{kind}admissionpolicy", name)
