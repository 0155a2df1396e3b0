"""From a request's method and path to what is asked: verb, kind, namespace, name, subresource.

Pure. The rules are those of apiserver's RequestInfoFactory; nothing is looked up but the kind.
"""

from __future__ import annotations

from typing import Protocol

from steersman.api.access.authorization import Attributes
from steersman.model import builtin
from steersman.model.errors import UnknownPath
from steersman.model.kind import Kind
from steersman.wire.message import Request


class Kinds(Protocol):
    """The kinds that are served now, built-in and custom."""

    def by_resource(self, group: str, version: str, plural: str) -> Kind | None:
        """Returns the kind served under a version and plural name."""


# method -> verb for one object, verb for a collection
_VERBS = {
    "GET": ("get", "list"),
    "HEAD": ("get", "list"),
    "POST": ("create", "create"),
    "PUT": ("update", "update"),
    "PATCH": ("patch", "patch"),
    "DELETE": ("delete", "deletecollection"),
}
# verbs about many objects: they alone have selectors
_MANY = ("list", "watch", "deletecollection")
# subresources of namespaces; any other third segment is a resource in the namespace
_NAMESPACE_SUBRESOURCES = ("status", "finalize")


def unknown(path: str) -> UnknownPath:
    """Says that nobody answers a path, in the way of who would have: the service of a group in
    upstream's router, if it has one."""
    first, group, *_ = (*path.strip("/").split("/"), "")
    routed = first in ("api", "version") or (first == "apis" and group in builtin.groups())
    return UnknownPath(is_routed=routed)


def parse(request: Request) -> Attributes:
    """Returns the attributes of a request; a path outside /api and /apis is no resource."""
    path = request.path
    parts = path.strip("/").split("/")
    if len(parts) >= 3 and parts[0] == "api":
        return _resource(request, "", parts[1], parts[2:])
    if len(parts) >= 4 and parts[0] == "apis":
        return _resource(request, parts[1], parts[2], parts[3:])
    verb = request.method.lower()
    return Attributes(verb, path=path, is_resource=False)


def _resource(request: Request, group: str, version: str, rest: list[str]) -> Attributes:
    watched = rest[0] == "watch" and len(rest) > 1
    if watched:  # the old /watch/ prefix
        rest = rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
    resource = rest[0]
    name = rest[1] if len(rest) > 1 else ""
    subresource = rest[2] if len(rest) > 2 else ""  # what follows `proxy` is no matter of rules
    verb = _verb(request, name, watched)
    asked = Attributes(verb, group, version, resource, subresource, namespace, name, request.path)
    if verb in _MANY and request.query:
        fields, labels = request.param("fieldSelector"), request.param("labelSelector")
        if fields or labels:
            return asked._replace(fields=fields, labels=labels)
    return asked


def _verb(request: Request, name: str, watched: bool) -> str:
    one, many = _VERBS.get(request.method, ("", ""))
    verb = one if name else many
    if verb in ("get", "list") and (watched or (request.query and request.flag("watch"))):
        return "watch" if verb == "list" or watched else "get"
    return verb
