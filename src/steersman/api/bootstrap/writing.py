"""Writes the objects that a cluster cannot be without, with the rights of the server itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import orjson

from steersman.api.bootstrap import documents as wanted
from steersman.api.objects import Objects
from steersman.api.server import Api
from steersman.model.builtin import Registry
from steersman.model.errors import AlreadyExists
from steersman.model.kind import Document, Kind
from steersman.wire.message import Request, Response, User

# apiserver's loopback identity
SERVER = User("system:apiserver", ("system:masters", "system:authenticated"))
AGENT = {"user-agent": "kube-apiserver", "content-type": "application/json"}


async def write(api: Api, kinds: Registry, objects: Objects, own: Iterable[Document]) -> None:
    """Creates what is missing and brings default roles up to date; `own` are the objects that
    stand for this server. The order within one kind does not matter, namespaces come first."""
    documents = [*wanted.documents(), *own]
    first = [document for document in documents if document["kind"] == "Namespace"]
    others = [document for document in documents if document["kind"] != "Namespace"]
    for group in (first, others):
        await asyncio.gather(*_writes(api, kinds, objects, group))


def _writes(
    api: Api, kinds: Registry, objects: Objects, documents: Iterable[Document]
) -> Iterable[asyncio.Future[None]]:
    for document in documents:
        kind = kind_of(kinds, document)
        meta = document["metadata"]
        live = objects.find(kind.ref(meta.get("namespace", ""), meta["name"]))
        if live is None:
            yield asyncio.ensure_future(create(api, kind, document))
        elif kind.group == "apiregistration.k8s.io":
            continue  # somebody may have put another server there
        elif kind.group in ("", "discovery.k8s.io"):
            changed = refreshed(live, document)
            if changed is not None:
                yield asyncio.ensure_future(replace(api, kind, changed))
        elif (changed := wanted.reconcile(live, document)) is not None:
            yield asyncio.ensure_future(replace(api, kind, changed))


def refreshed(live: Document, wanted_now: Document) -> Document | None:
    """Returns the live object with the wanted endpoints or data, None where it has them already."""
    fields = [name for name in ("subsets", "endpoints", "ports", "data") if name in wanted_now]
    if all(live.get(name) == wanted_now[name] for name in fields):
        return None
    return {**live, **{name: wanted_now[name] for name in fields}}


def kind_of(kinds: Registry, document: Document) -> Kind:
    """Returns the kind of a document that is one of ours."""
    group, _, version = document["apiVersion"].rpartition("/")
    kind = kinds.by_kind(group, version, document["kind"])
    assert kind is not None, f"{document['kind']} is not served"
    return kind


async def create(api: Api, kind: Kind, document: Document) -> None:
    """Creates an object as the server; one that is there already is left alone."""
    try:
        await send(api, "POST", _path(kind, document), document)
    except AlreadyExists:
        return


async def replace(api: Api, kind: Kind, document: Document) -> None:
    """Replaces an object as the server."""
    name = document["metadata"]["name"]
    await send(api, "PUT", f"{_path(kind, document)}/{name}", document)


def _path(kind: Kind, document: Document) -> str:
    root = f"/apis/{kind.group}" if kind.group else "/api"
    namespace = document["metadata"].get("namespace")
    place = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}/{kind.storage}{place}/{kind.plural}"


async def send(api: Api, method: str, path: str, document: Document) -> None:
    """Sends a request as the server."""
    request = Request(method, path, "", AGENT, orjson.dumps(document), user=SERVER)
    answer = api.handle(request)
    if not isinstance(answer, Response):
        await answer
