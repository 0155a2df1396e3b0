"""OpenAPI documents: version 3 by group and version, version 2 as a whole.

Built in a thread when first asked for, kept as compressed bytes, forgotten when the kinds change.
Served as JSON and in the binary form, which kubectl asks for of version 2.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from steersman.api.published import operations, schemas
from steersman.api.published.customs import custom_name, custom_shapes, list_name
from steersman.api.published.foreign import Foreigners, Nobody, Swagger
from steersman.api.published.negotiate import JSON, Form, choose, publish, respond
from steersman.api.published.operations import Names
from steersman.api.published.schemas import Dialect, Shapes, Texts
from steersman.model import pack, schema
from steersman.model.kind import Document, Kind, Version
from steersman.wire.message import Request, Response, User

# Speed matters more than the last tenth of the size: documents go to kubectl on the same machine
GZIP_LEVEL = 6
# Raised when the same kinds give another document than before
REVISION = 3
V3 = "/openapi/v3"
V2 = "/openapi/v2"
# The name that clients ask for holds a sign that media types may not; it is told without
_PROTOBUF = "application/com.github.proto-openapi.spec.{}.v1.0+protobuf"
_FORMS = {
    dialect: (
        Form(JSON, {}),
        *(Form(_PROTOBUF.replace(".v1", f"{sign}v1").format(dialect), {}) for sign in "@."),
    )
    for dialect in ("v2", "v3")
}
_IMMUTABLE = {"cache-control": "public, immutable"}
# What custom resources refer to: metadata, options, Scale
_SHARED = ("io.k8s.apimachinery.pkg.", "io.k8s.api.autoscaling.v1.Scale")
_BASIS = (operations.STATUS, operations.OPTIONS, operations.PATCH)

# Gives the structural schema of a custom resource's version, None for a built-in kind
Structure = Callable[[Kind, str], Mapping[str, Any] | None]


def shape_of(kind: Kind, version: str) -> Mapping[str, Any] | None:
    """Returns the schema that a version brings itself."""
    found = kind.version(version)
    return None if found is None or found.shape is None else found.shape.raw


class Packed(NamedTuple):
    """A document compressed, with its entity tag."""

    body: bytes
    tag: str


class OpenAPI:
    """Answers below /openapi.

    `kinds` gives all kinds served now; `changed()` must follow every change of them.
    """

    def __init__(
        self,
        kinds: Callable[[], Iterable[Kind]],
        structure: Structure = shape_of,
        foreigners: Foreigners | None = None,
    ) -> None:
        self._kinds = kinds
        self._foreigners = foreigners or Nobody()
        self._structure = structure
        self._packed: dict[tuple[str, str], tuple[str, Packed]] = {}
        self._hashes: dict[str, str] | None = None
        self._shared: dict[str, Any] = {}

    def changed(self) -> None:
        """Looks anew at what there is; documents that are made of the same are kept."""
        self._hashes = None
        known = {"", *self.hashes()}
        self._packed = {form: held for form, held in self._packed.items() if form[0] in known}

    async def handle(self, request: Request, _user: User) -> Response | None:
        """Answers a path, None for one that is not served; raises NotAcceptable."""
        path = request.path.rstrip("/")
        if path == V3:
            return respond(request, publish(orjson.dumps(self.index())), {})
        key = "" if path == V2 else path.removeprefix(f"{V3}/")
        if key and key not in self.hashes():
            return None
        dialect: Dialect = "v3" if key else "v2"
        chosen = choose(request.headers.get("accept", ""), _FORMS[dialect])
        media = JSON if chosen.media == JSON else _PROTOBUF.format(dialect)
        if not key:
            return await self._answer(request, key, media, {}, await self._foreigners.swaggers())
        asked = request.param("hash")
        if asked and asked != self.hashes()[key]:
            return Response(b"", 301, JSON, {"location": self._url(key)})
        return await self._answer(request, key, media, _IMMUTABLE if asked else {})

    def index(self) -> Document:
        """Returns where the documents of version 3 are; an address changes with its document."""
        own = {key: self._url(key) for key in self.hashes()}
        whole = {**self._foreigners.documents(), **own}
        return {"paths": {key: {"serverRelativeURL": url} for key, url in sorted(whole.items())}}

    def hashes(self) -> Mapping[str, str]:
        """Returns a hash for each group and version, of all that its document is made of."""
        if self._hashes is None:
            found: dict[str, list[Document]] = {}
            for kind in self._kinds():
                for version in kind.versions:
                    found.setdefault(_key(kind.group, version.name), []).append(
                        self._inputs(kind, version.name)
                    )
            self._hashes = {key: _hash(inputs) for key, inputs in sorted(found.items())}
        return self._hashes

    def build(self, key: str, dialect: Dialect) -> Document:
        """Returns a document as it is before it is packed; the empty key means all groups."""
        chosen = [
            (kind, version.name)
            for kind in self._kinds()
            for version in kind.versions
            if not key or _key(kind.group, version.name) == key
        ]
        shapes, texts = self._sources(chosen, dialect)
        paths: Document = {}
        roots = list(_BASIS)
        for kind, version in chosen:
            names = self._names(kind, version)
            roots += [names.object, names.list, *_bodies(kind, version)]
            paths.update(operations.paths(kind, version, names, dialect))
        definitions = {
            name: schemas.render(name, shapes, texts, dialect)
            for name in schemas.closure(shapes, roots)
        }
        return _whole(paths, definitions, dialect)

    async def _answer(
        self,
        request: Request,
        key: str,
        media: str,
        headers: Mapping[str, str],
        foreign: Sequence[Swagger] = (),
    ) -> Response:
        tags = [one.tag for one in foreign]
        made_of = self.hashes().get(key) or _hash([*self.hashes().items(), tags])
        held = self._packed.get((key, media))
        if held is None or held[0] != made_of:
            packed = await asyncio.to_thread(self._pack, key, media, foreign)
            held = self._packed[key, media] = (made_of, packed)
        packed = held[1]
        told = {**headers, "etag": packed.tag, "vary": "Accept, Accept-Encoding"}
        if packed.tag in request.headers.get("if-none-match", ""):
            return Response(b"", 304, media, told)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(packed.body, 200, media, {**told, "Content-Encoding": "gzip"})
        body = await asyncio.to_thread(gzip.decompress, packed.body)
        return Response(body, 200, media, told)

    def _pack(self, key: str, media: str, foreign: Sequence[Swagger] = ()) -> Packed:
        document = self.build(key, "v3") if key else self._merged(foreign)
        body = orjson.dumps(document) if media == JSON else _in_protobuf(document)
        tag = f'"{hashlib.sha512(body).hexdigest().upper()}"'
        return Packed(gzip.compress(body, GZIP_LEVEL, mtime=0), tag)

    def _merged(self, foreign: Sequence[Swagger]) -> Document:
        """Returns the document of version 2, with what other servers say."""
        whole = self.build("", "v2")
        if foreign:
            from steersman.api.aggregation import merging

            for one in foreign:
                merging.merge(whole, orjson.loads(one.body))
        return whole

    def _url(self, key: str) -> str:
        return f"{V3}/{key}?hash={self.hashes()[key]}"

    def _inputs(self, kind: Kind, version: str) -> Document:
        return {
            "kind": kind.name,
            "plural": kind.plural,
            "namespaced": kind.namespaced,
            "verbs": kind.verbs,
            "subresources": [(one.name, one.verbs, one.document) for one in kind.subresources],
            "structure": self._structure(kind, version),
            "told": (kind.list_kind, list(kind.selectable)),
        }

    def _names(self, kind: Kind, version: str) -> Names:
        found = kind.version(version)
        assert found is not None
        if self._structure(kind, version) is not None:
            return Names(custom_name(kind, version), list_name(kind, version))
        return Names(found.definition, f"{found.definition}List")

    def _sources(
        self, chosen: Sequence[tuple[Kind, str]], dialect: Dialect
    ) -> tuple[Shapes, Texts]:
        """Returns all shapes and descriptions; of the latter, which are 2 MB, those are kept that
        custom resources refer to."""
        shapes: dict[str, Any] = dict(schema.builtin().shapes)
        removed = any(version.gone for _, version in _versions(chosen))
        if removed:
            shapes = {**schema.earlier(), **shapes}
        customs = 0
        for kind, version in chosen:
            structure = self._structure(kind, version)
            if structure is not None:
                shapes.update(custom_shapes(kind, version, structure, dialect))
                customs += 1
        if customs == len(chosen) and self._shared:
            return shapes, self._shared
        texts: dict[str, Any] = pack.read(schema.FILE, 1)
        self._shared = {name: told for name, told in texts.items() if name.startswith(_SHARED)}
        if removed:
            texts = {**pack.read(schema.EARLIER_FILE, pack.REMOVED_TEXTS), **texts}
        return shapes, texts


def _versions(chosen: Sequence[tuple[Kind, str]]) -> Iterator[tuple[Kind, Version]]:
    for kind, name in chosen:
        if (version := kind.version(name)) is not None:
            yield kind, version


def _bodies(kind: Kind, version: str) -> list[str]:
    found = (operations.subresource_definition(kind, version, one) for one in kind.subresources)
    return [name for name in found if name]


def _key(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _hash(inputs: Sequence[Any]) -> str:
    made_of = [pack.PIN, REVISION, schema.minor(), inputs]
    return hashlib.sha512(orjson.dumps(made_of)).hexdigest().upper()


def _in_protobuf(document: Document) -> bytes:
    # loaded with the first that is asked for: few clients do
    if "swagger" in document:
        from steersman.wire.protobuf import openapi as openapi_protobuf

        return openapi_protobuf.encode(document)
    from steersman.wire.protobuf import openapi_v3

    return openapi_v3.encode(document)


def _whole(paths: Document, definitions: Document, dialect: Dialect) -> Document:
    info = {"title": "Kubernetes", "version": f"v1.{schema.minor()}.0"}
    bearer = {
        "type": "apiKey",
        "name": "authorization",
        "in": "header",
        "description": "Bearer Token authentication",
    }
    if dialect == "v2":
        found: Document = {"swagger": "2.0", "info": info, "paths": paths}
        secured = {"securityDefinitions": {"BearerToken": bearer}}
        return {**found, "definitions": definitions, **secured, "security": [{"BearerToken": []}]}
    components = {"schemas": definitions, "securitySchemes": {"BearerToken": bearer}}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": components}
