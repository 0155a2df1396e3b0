"""Conversion webhooks: objects of one definition in another version, as its owner makes them.

A server reads and writes objects without waiting; so what will be needed is converted first
(`ready`, `ready_to_store`) and remembered. Follows apiextensions' conversion/webhook_converter.go,
whose failures these are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson

from steersman.api.access.awaiting import Awaiting, fetched
from steersman.api.cache import Entry
from steersman.api.form import Form
from steersman.api.hooks.client import Client, Find, Unanswered, context
from steersman.model.errors import Unexplained
from steersman.model.gotext import go_type
from steersman.model.kind import Document
from steersman.model.types.metadata import check_annotations, check_labels
from steersman.world.interface import World

# As long as upstream waits for a webhook
CALL_SECONDS: Final = 30
# Objects of one ConversionReview: a page of a list
MOST_OBJECTS: Final = 500
# Converted objects kept for each definition; a list of more is answered with an error
CONVERTED_KEPT: Final = 16_384


class Webhook:
    """The webhook of one definition; see the module."""

    def __init__(self, definition: Document, find: Find, world: World) -> None:
        settings = definition["spec"]["conversion"]["webhook"]
        self._client = Client(settings["clientConfig"], find, world)
        self._versions: Sequence[str] = settings["conversionReviewVersions"]
        self._world = world
        self._known: OrderedDict[tuple[bytes, str], bytes] = OrderedDict()

    def convert(self, document: Document, api_version: str) -> Document:
        """Returns a document that `prepare` was given, in another version."""
        found = self._known.get((_key(document), api_version))
        if found is None:
            what = f"{document['apiVersion']}, Kind={document['kind']}"
            raise Unexplained(f"conversion webhook for {what} failed: not asked in time")
        converted: Document = orjson.loads(found)
        return converted

    def knows(self, document: Document, api_version: str) -> bool:
        """Says whether `convert` can tell a document in another version."""
        return (_key(document), api_version) in self._known

    async def prepare(self, documents: Iterable[Document], api_version: str) -> None:
        """Has documents converted that are not known yet; raises Unexplained."""
        unknown = {}
        for document in documents:
            key = (_key(document), api_version)
            if key in self._known:
                self._known.move_to_end(key)
            else:
                unknown[key] = document
        keys = list(unknown)
        for start in range(0, len(keys), MOST_OBJECTS):
            some = keys[start : start + MOST_OBJECTS]
            given = [unknown[key] for key in some]
            for key, made in zip(some, await self._convert(given, api_version), strict=True):
                self._known[key] = orjson.dumps(made)
        while len(self._known) > CONVERTED_KEPT:
            self._known.popitem(last=False)

    async def _convert(self, given: list[Document], api_version: str) -> list[Document]:
        head = given[0]
        what = f"conversion webhook for {head['apiVersion']}, Kind={head['kind']}"
        uid = self._world.uid()
        version = next(one for one in self._versions if one in ("v1", "v1beta1"))
        asked = {"uid": uid, "desiredAPIVersion": api_version, "objects": given}
        review = {"kind": "ConversionReview", "apiVersion": f"apiextensions.k8s.io/{version}"}
        try:
            answer = await self._client.post({**review, "request": asked}, CALL_SECONDS)
            converted = read_answer(answer, version, uid)
        except (Unconverted, Unanswered) as error:
            raise Unexplained(f"{what} failed: {error}") from error
        if len(converted) != len(given):
            told = f"returned {len(converted)} objects, expected {len(given)}"
            raise Unexplained(f"{what} {told}")
        made = []
        for index, (old, new) in enumerate(zip(given, converted, strict=True)):
            try:
                made.append(settled(old, new, api_version))
            except Unconverted as error:
                place = f"invalid converted object at index {index}"
                raise Unexplained(f"{what} returned {place}: {error}") from error
        return made


class Unconverted(Exception):
    """Why a webhook's answer cannot be used, in upstream's words."""


def is_good_bundle(definition: Document) -> bool:
    """Says whether the certificates of a definition's webhook can be read, where it has some."""
    webhook = (definition["spec"].get("conversion") or {}).get("webhook") or {}
    bundle = (webhook.get("clientConfig") or {}).get("caBundle")
    if not bundle:
        return True
    try:
        context(bundle)
    except Unanswered:
        return False
    return True


def _key(document: Document) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def read_answer(answer: Any, version: str, uid: str) -> list[Any]:
    """Returns the converted objects of a ConversionReview; raises Unconverted."""
    review = answer if isinstance(answer, dict) else {}
    if version == "v1":
        wanted = "apiextensions.k8s.io/v1, Kind=ConversionReview"
        got = f"{review.get('apiVersion') or ''}, Kind={review.get('kind') or ''}"
        if got != wanted:
            raise Unconverted(f"expected webhook response of {wanted}, got {got}")
    response = review.get("response")
    if not isinstance(response, dict):
        raise Unconverted("no response provided")
    if version == "v1" and response.get("uid") != uid:
        raise Unconverted(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    result = response.get("result")
    result = result if isinstance(result, dict) else {}
    if result.get("status") != "Success":
        status = result.get("status") or ""
        told = f"response.result.status was '{status}', not 'Success'"
        raise Unconverted(str(result.get("message") or told))
    return list(response.get("convertedObjects") or ())


def settled(old: Document, new: Any, api_version: str) -> Document:
    """Returns a converted object with the metadata of before, except for labels and annotations;
    raises Unconverted."""
    if not isinstance(new, dict):
        raise Unconverted("Object 'Kind' is missing")
    if new.get("apiVersion") != api_version:
        told = f"(expected {api_version}, received {new.get('apiVersion') or ''})"
        raise Unconverted(f"invalid groupVersion {told}")
    if new.get("kind") != old["kind"]:
        told = f"(expected {old['kind']}, received {new.get('kind') or ''})"
        raise Unconverted(f"invalid kind {told}")
    if "metadata" not in new:
        raise Unconverted("missing metadata in converted object")
    before, after = old["metadata"], new["metadata"]
    if not isinstance(after, dict):
        raise Unconverted(f"invalid metadata of type {go_type(after)} in converted object")
    for name, shown in (("name", "name"), ("namespace", "namespace"), ("uid", "UID")):
        was, now = before.get(name) or "", after.get(name) or ""
        if was != now:
            raise Unconverted(f"must have the same {shown}: {was} != {now}")
    made = dict(before)
    for name in ("labels", "annotations"):
        made.pop(name, None)
        if after.get(name) is not None:
            made[name] = _texts(after[name], name)
    return {**new, "metadata": made}


def _texts(found: Any, name: str) -> dict[str, str]:
    if not isinstance(found, dict):
        raise Unconverted(f"invalid metadata.{name} of type {go_type(found)} in converted object")
    for key, value in found.items():
        if not isinstance(value, str):
            told = f"must be a string, but is {go_type(value)} in converted object"
            raise Unconverted(f"metadata.{name}[{key}] {told}")
    check = check_labels if name == "labels" else check_annotations
    wrong = [f"{cause.field}: {cause.message}" for cause in check(found, f"metadata.{name}")]
    if wrong:
        raise Unconverted(wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]")
    return found


def other_version(form: Form, documents: Sequence[Document], api_version: str) -> list[Document]:
    """Returns documents of one version in another; raises Awaiting where the webhook is to be asked
    first, Unexplained where it failed."""
    shape = form.served.shape
    webhook = shape.webhook if shape is not None else None
    assert isinstance(webhook, Webhook)
    if isinstance(failure := fetched().get((webhook, api_version)), Unexplained):
        raise failure
    if not all(webhook.knows(one, api_version) for one in documents):

        async def fetch() -> None:
            try:
                await webhook.prepare(documents, api_version)
            except Unexplained as error:
                fetched()[webhook, api_version] = error

        raise Awaiting(fetch)
    return [webhook.convert(one, api_version) for one in documents]


async def ready(form: Form, entries: Iterable[Entry]) -> None:
    """Has converted what showing or changing entries will need; raises Unexplained."""
    if form.served.shape is not None and form.served.shape.webhook is not None:
        found = (entry.document() for entry in entries if not form.is_current(entry))
        await ready_to_parse(form, found)


async def ready_to_parse(form: Form, stored: Iterable[Document]) -> None:
    """Has converted what reading stored documents will need; raises Unexplained."""
    shape = form.served.shape
    webhook = shape.webhook if shape is not None else None
    if shape is None or not isinstance(webhook, Webhook):
        return
    if needed := [found for one in stored if (found := shape.before(one)) is not None]:
        await webhook.prepare(needed, form.api_version)


async def ready_to_store(form: Form, document: Document) -> None:
    """Has converted what storing a document will need; raises Unexplained."""
    shape = form.served.shape
    webhook = shape.webhook if shape is not None else None
    if shape is None or not isinstance(webhook, Webhook):
        return
    if (found := shape.before_store(form.without_revision(document))) is not None:
        await webhook.prepare([found], form.kind.stored_api_version)
