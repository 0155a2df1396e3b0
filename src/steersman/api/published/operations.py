"""The paths of one kind in one version, as OpenAPI operations.

Clients look for three things here: which kind a path serves (x-kubernetes-group-version-kind),
which parameters a verb takes, and which bodies a patch may have. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from steersman.api.published.resources import Body, body_of
from steersman.api.published.schemas import Dialect, reference
from steersman.model.kind import Document, Kind, Subresource

META = "io.k8s.apimachinery.pkg.apis.meta.v1"
STATUS = f"{META}.Status"
OPTIONS = f"{META}.DeleteOptions"
PATCH = f"{META}.Patch"

_JSON = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
_STREAMS = ("application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch")
_PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
    "application/apply-patch+cbor",
)

_WRITE = (("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string"))
_LIST = (
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
)
_DELETE = (
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
)
_PARAMETERS = {
    "create": _WRITE,
    "update": _WRITE,
    "patch": (*_WRITE, ("force", "boolean")),
    "list": _LIST,
    "delete": _DELETE,
    "deletecollection": (*_DELETE, *_LIST[1:8]),
}


class Action(NamedTuple):
    """What a verb is over HTTP: method, x-kubernetes-action, first word of the operation's id, and
    whether it concerns one object."""

    method: str
    name: str
    word: str
    single: bool


ACTIONS = {
    "get": Action("get", "get", "read", True),
    "update": Action("put", "put", "replace", True),
    "patch": Action("patch", "patch", "patch", True),
    "delete": Action("delete", "delete", "delete", True),
    "list": Action("get", "list", "list", False),
    "create": Action("post", "post", "create", False),
    "deletecollection": Action("delete", "deletecollection", "deleteCollection", False),
}
# Subresources that are opened by GET or POST connect; all their verbs are one action
_CONNECT = ("attach", "exec", "portforward", "proxy")
_METHODS = {"create": "post", "get": "get", "update": "put", "patch": "patch", "delete": "delete"}


class Names(NamedTuple):
    """Definitions that the operations of a kind refer to; those of a list may be absent."""

    object: str
    list: str


Path = tuple[str, Document]


def paths(kind: Kind, version: str, names: Names, dialect: Dialect) -> Iterator[Path]:
    """Yields every path of a kind with its operations."""
    root = f"/apis/{kind.group}/{version}" if kind.group else f"/api/{version}"
    scope = "/namespaces/{namespace}" if kind.namespaced else ""
    maker = _Maker(kind, version, names, dialect)
    one = f"{root}{scope}/{kind.plural}/{{name}}"
    yield from _path(f"{root}{scope}/{kind.plural}", maker, single=False)
    yield from _path(one, maker, single=True)
    for subresource in kind.subresources:
        yield f"{one}/{subresource.name}", maker.subresource(subresource)
    if kind.namespaced and "list" in kind.verbs:
        everywhere = {"get": maker.operation("list", "ForAllNamespaces")}
        yield f"{root}/{kind.plural}", everywhere


def _path(path: str, maker: _Maker, *, single: bool) -> Iterator[Path]:
    verbs = [verb for verb in maker.kind.verbs if verb in ACTIONS]
    chosen = [verb for verb in verbs if ACTIONS[verb].single == single]
    if chosen:
        operations = {ACTIONS[verb].method: maker.operation(verb) for verb in chosen}
        yield path, {**operations, "parameters": maker.path_parameters(single)}


class _Maker:
    """Writes the operations of one kind."""

    def __init__(self, kind: Kind, version: str, names: Names, dialect: Dialect) -> None:
        self.kind = kind
        self._dialect = dialect
        self._names = names
        self._version = version
        self._own = Body(kind.group, version, kind.name)
        group = "".join(part.title() for part in kind.group.removesuffix(".k8s.io").split("."))
        self._tag = f"{kind.group.split('.')[0] or 'core'}_{version}"
        self._suffix = f"{group or 'Core'}{version.title()}"

    def operation(self, verb: str, where: str = "") -> Document:
        """Returns the operation of a verb on the kind itself."""
        action = ACTIONS[verb]
        gives = {"list": self._names.list, "deletecollection": STATUS, "delete": STATUS}
        takes = {"create": self._names.object, "update": self._names.object, "patch": PATCH}
        takes |= {"delete": OPTIONS, "deletecollection": OPTIONS}
        name = f"{self.kind.name}{where}"
        return self._written(
            action,
            f"{action.word}{self._suffix}{'Namespaced' if self._scoped(where) else ''}{name}",
            self._own,
            takes.get(verb, ""),
            gives.get(verb, self._names.object),
            verb,
        )

    def subresource(self, subresource: Subresource) -> Document:
        """Returns the operations of a subresource."""
        body = body_of(self.kind, self._version, subresource)
        connects = subresource.name in _CONNECT
        document = subresource_definition(self.kind, self._version, subresource)
        document = document or self._names.object
        found: Document = {}
        for verb in subresource.verbs:
            action = Action(_METHODS[verb], "connect", "connect", True) if connects else None
            action = action or ACTIONS[verb]._replace(single=True)
            takes = "" if connects or verb == "get" else PATCH if verb == "patch" else document
            method = _METHODS[verb].title() if connects else ""
            word = f"{action.word}{self._suffix}{method}"
            scoped = "Namespaced" if self.kind.namespaced else ""
            name = f"{word}{scoped}{self.kind.name}{subresource.name.title()}"
            gives = "" if connects or subresource.name == "log" else document
            operation = self._written(action, name, body, takes, gives, verb)
            found[_METHODS[verb]] = operation
        return {**found, "parameters": self.path_parameters(True)}

    def path_parameters(self, single: bool) -> list[Document]:
        """Returns the parameters that a path holds."""
        found = [_parameter("pretty", "string", "query", self._dialect)]
        if self.kind.namespaced:
            found.insert(0, _parameter("namespace", "string", "path", self._dialect))
        if single:
            found.insert(0, _parameter("name", "string", "path", self._dialect))
        return found

    def _scoped(self, where: str) -> bool:
        return self.kind.namespaced and not where

    def _written(
        self, action: Action, name: str, body: Body, takes: str, gives: str, verb: str
    ) -> Document:
        queries = _PARAMETERS.get(verb, ()) if action.name != "connect" else ()
        parameters = [_parameter(*query, "query", self._dialect) for query in queries]
        found: Document = {
            "description": f"{action.word} {self.kind.name}",
            "operationId": name,
            "tags": [self._tag],
            "responses": _responses(gives, verb, self._dialect),
            "x-kubernetes-action": action.name,
            "x-kubernetes-group-version-kind": body.document(),
        }
        if takes:
            types = _patch_types(self.kind) if verb == "patch" else _JSON[:2]
            _add_body(found, parameters, takes, types, self._dialect)
        if parameters:
            found["parameters"] = parameters
        if self._dialect == "v2":
            found["produces"] = [*_JSON[:2], *(_STREAMS[:1] if verb == "list" else ())]
        return found


def _patch_types(kind: Kind) -> Sequence[str]:
    return [one for one in _PATCHES[:4] if kind.strategic or "strategic" not in one]


def subresource_definition(kind: Kind, version: str, subresource: Subresource) -> str:
    """Returns the definition of a subresource's own body, empty where it is the object's."""
    if not subresource.document:
        return ""
    body = body_of(kind, version, subresource)
    group = body.group.split(".")[0] or "core"
    return f"io.k8s.api.{group}.{body.version}.{body.kind}"


def _parameter(name: str, kind: str, where: str, dialect: Dialect) -> Document:
    found: Document = {"name": name, "in": where}
    if where == "path":
        found["required"] = True
    typed = {"type": kind, "uniqueItems": True}
    return {**found, **(typed if dialect == "v2" else {"schema": typed})}


def _add_body(
    operation: Document,
    parameters: list[Document],
    name: str,
    types: Sequence[str],
    dialect: Dialect,
) -> None:
    schema = reference(name, dialect)
    required = name != OPTIONS
    if dialect == "v2":
        operation["consumes"] = list(types)
        body: Document = {"name": "body", "in": "body", "schema": schema}
        parameters.append({**body, "required": True} if required else body)
    else:
        content = {media: {"schema": schema} for media in types}
        operation["requestBody"] = {"content": content, **({"required": True} if required else {})}


def _responses(name: str, verb: str, dialect: Dialect) -> Document:
    found: Document = {"401": {"description": "Unauthorized"}}
    codes = {"create": ("200", "201", "202"), "update": ("200", "201"), "patch": ("200", "201")}
    words = {"200": "OK", "201": "Created", "202": "Accepted"}
    for code in codes.get(verb, ("200",)):
        found[code] = {"description": words[code], **_content(name, verb, dialect)}
    return found


def _content(name: str, verb: str, dialect: Dialect) -> Document:
    if not name:
        text: Document = {"type": "string"}
        return {"schema": text} if dialect == "v2" else {"content": {"*/*": {"schema": text}}}
    schema = reference(name, dialect)
    if dialect == "v2":
        return {"schema": schema}
    types = (*_JSON[:2], *(_STREAMS[:1] if verb == "list" else ()))
    return {"content": {media: {"schema": schema} for media in types}}
