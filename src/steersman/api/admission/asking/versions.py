"""One object in the versions of its kind, as webhooks and policies ask for it, and back again.

A document on its way through a write is in the version of `Form.parsed`; here it is shown in
another one, and what comes back is admitted in that one (pruned, defaulted) before it goes on.
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from steersman.api import body
from steersman.api.custom import conversion
from steersman.api.form import Form
from steersman.model.builtin import Registry
from steersman.model.kind import Document, Kind, Version


def equivalents(kinds: Registry, kind: Kind, version: Version) -> Iterator[tuple[Kind, Version]]:
    """Yields the other versions in which the objects of a kind are served, of other groups too."""
    for resource in kinds.alike(kind.resource):
        for other, found in kinds.served(resource):
            if (other.group, found.name) != (kind.group, version.name):
                yield other, found


async def show(form: Form, document: Document, kind: Kind, version: Version) -> Document:
    """Returns a document of a form in another version, with its kind and version."""
    made = document
    if version.shape is not None and version is not form.served:
        await conversion.ready_to_store(form, document)
        stored = orjson.loads(form.stored(document))
        await conversion.ready_to_parse(Form(kind, version.name), [stored])
        made = version.shape.parse(stored)
        made = {**made, "metadata": {**made["metadata"], **_revision(document)}}
    elif version.from_storage is not None:
        made = version.from_storage(document)
    return {**made, "kind": kind.name, "apiVersion": kind.api_version(version.name)}


async def take(form: Form, document: Document, kind: Kind, version: Version) -> Document:
    """Returns, in the version of a form, a document that came back in the one it was shown in;
    raises BadRequest."""
    made = body.admit(kind, version, orjson.loads(orjson.dumps(document))).document
    if version.shape is None or form.served.shape is None or version is form.served:
        return made
    other = Form(kind, version.name)
    await conversion.ready_to_store(other, made)
    stored = orjson.loads(other.stored(made))
    await conversion.ready_to_parse(form, [stored])
    parsed = form.served.shape.parse(stored)
    return {**parsed, "metadata": {**parsed["metadata"], **_revision(document)}}


def _revision(document: Document) -> dict[str, str]:
    revision = document["metadata"].get("resourceVersion")
    return {"resourceVersion": revision} if revision else {}
