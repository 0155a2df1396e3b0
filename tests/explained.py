"""Objects for the tests of `steer why`, and the question to them."""

from __future__ import annotations

from typing import Any

from steersman.explain.cause import Cause, render
from steersman.explain.objects import Objects
from steersman.explain.question import NAMED, READ, explain, kind_of
from steersman.model.kind import Document

NOW = 1_000_000.0


def thing(kind: str, name: str, namespace: str = "default", **rest: Any) -> Document:
    """Returns a document of a kind named as kubectl names it; `meta` is added to its metadata."""
    found = kind_of(kind)
    assert found is not None
    metadata = {"name": name, "uid": f"{kind}-{name}", **rest.pop("meta", {})}
    if found.namespaced:
        metadata["namespace"] = namespace
    head = {"kind": found.name, "apiVersion": found.api_version()}
    return {**head, "metadata": metadata, **rest}


def owned(by: Document, document: Document) -> Document:
    """Returns a document that another manages."""
    owner = {
        "apiVersion": by["apiVersion"],
        "kind": by["kind"],
        "name": by["metadata"]["name"],
        "uid": by["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {**document, "metadata": {**document["metadata"], "ownerReferences": [owner]}}


def event(of: Document, reason: str, message: str, *, at: int = 0, type: str = "Warning") -> Any:
    """Returns an event about an object."""
    about = {"uid": of["metadata"]["uid"]}
    rest = {"reason": reason, "message": message, "type": type, "involvedObject": about}
    moment = f"2026-01-01T00:00:{at:02d}Z"
    return thing("event", f"{reason}-{at}", **rest, lastTimestamp=moment)


def node(name: str, *, cpu: str = "2", ready: str = "True", **spec: Any) -> Document:
    """Returns a node with some room."""
    room = {"cpu": cpu, "memory": "4Gi", "pods": "10"}
    conditions = [{"type": "Ready", "status": ready, "reason": "R", "message": "as it says"}]
    labels = spec.pop("labels", {})
    status = {"allocatable": room, "conditions": conditions}
    return thing("node", name, meta={"labels": labels}, spec=spec, status=status)


def pod(name: str = "p", *, on: str = "", **rest: Any) -> Document:
    """Returns a pod with one container; `status` and `meta` are taken as they are."""
    status, meta = rest.pop("status", {"phase": "Pending"}), rest.pop("meta", {})
    spec: Document = {"containers": [{"name": "main", "image": "web:1"}], **rest}
    if on:
        spec["nodeName"] = on
    return thing("pod", name, meta=meta, spec=spec, status=status)


READY = {"type": "Ready", "status": "True"}
RUNS = {
    "phase": "Running",
    "conditions": [READY],
    "containerStatuses": [{"name": "main", "ready": True, "state": {"running": {}}}],
}


def waiting(reason: str, message: str = "", **status: Any) -> Document:
    """Returns the status of a pod whose container waits."""
    found = {"name": "main", "state": {"waiting": {"reason": reason, "message": message}}}
    return {"phase": "Pending", "containerStatuses": [{**found, **status}]}


def objects(*documents: Document) -> Objects:
    """Returns what was read: these, and nothing else of any kind. The default ServiceAccount is
    there."""
    found: dict[Any, list[Document]] = {kind.resource: [] for kind in (*READ, *NAMED)}
    kinds = {(kind.api_version(), kind.name): kind for kind in (*READ, *NAMED)}
    for document in (thing("serviceaccount", "default"), *documents):
        found[kinds[document["apiVersion"], document["kind"]].resource].append(document)
    return Objects(found, now=NOW)


def cause(what: str, *documents: Document, namespace: str = "default") -> Cause:
    """Returns the chain for `kind/name`."""
    word, _, name = what.partition("/")
    kind = kind_of(word)
    assert kind is not None
    return explain(objects(*documents), kind, namespace, name)


def why(what: str, *documents: Document, namespace: str = "default") -> str:
    """Returns the chain as text."""
    return render(cause(what, *documents, namespace=namespace))
