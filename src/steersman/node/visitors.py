"""Who comes to the agent's port and what they may: the API server by its certificate, everybody
else as the API server says (TokenReview, SubjectAccessReview), as kubelet's webhook mode does.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any, Final, Generic, TypeVar

import msgspec

from steersman.client.errors import Unreachable
from steersman.client.interface import Client
from steersman.model.errors import APIError, Forbidden, InternalError, Unauthorized
from steersman.model.kind import Document, Kind
from steersman.model.kinds.review import SUBJECTACCESSREVIEW, TOKENREVIEW
from steersman.wire import der
from steersman.wire.message import Request
from steersman.world.interface import World

# The user name in the certificate by which the API server shows itself to kubelets
API_SERVER: Final = "kube-apiserver-kubelet-client"
# Answers are believed so long (KubeletAuthentication.webhook, KubeletAuthorization.webhook)
TOKEN_SECONDS: Final = 120.0
ALLOWED_SECONDS: Final = 300.0
REFUSED_SECONDS: Final = 30.0
MOST_ANSWERS: Final = 1024
_VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
# The first segment of a path -> the subresources of which one must be granted
_FINE: Final = {
    "stats": ("stats",),
    "metrics": ("metrics",),
    "logs": ("log",),
    "checkpoint": ("checkpoint",),
    "pods": ("pods", "proxy"),
    "runningpods": ("pods", "proxy"),
    "healthz": ("healthz", "proxy"),
    "configz": ("configz", "proxy"),
}


class Visitor(msgspec.Struct, frozen=True):
    """Who asks."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


T = TypeVar("T")


class _Answers(Generic[T]):
    """What was answered lately, and until when it is believed."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: OrderedDict[Any, tuple[float, T]] = OrderedDict()

    def get(self, key: Any) -> T | None:
        """Returns an answer that is still believed."""
        found = self._known.get(key)
        return found[1] if found is not None and found[0] > self._world.monotonic() else None

    def put(self, key: Any, answer: T, seconds: float) -> None:
        """Believes an answer for so long."""
        self._known[key] = (self._world.monotonic() + seconds, answer)
        self._known.move_to_end(key)
        if len(self._known) > MOST_ANSWERS:
            self._known.popitem(last=False)


class Visitors:
    """See the module. `node` is the name of this node."""

    def __init__(self, client: Client, node: str, world: World) -> None:
        self._client = client
        self._node = node
        self._tokens: _Answers[Visitor] = _Answers(world)
        self._allowed: _Answers[bool] = _Answers(world)

    async def admit(self, request: Request) -> None:
        """Raises Unauthorized, Forbidden for who may not ask this."""
        visitor = of_certificate(request) or await self._of_token(request)
        verb, asked = _VERBS.get(request.method, "get"), subresources(request.path)
        for subresource in asked:
            if await self._may(visitor, verb, subresource):
                return
        listed = " ".join(asked)
        raise Forbidden(
            f"Forbidden (user={visitor.name}, verb={verb}, resource=nodes, "
            f"subresource(s)=[{listed}])\n"
        )

    async def _of_token(self, request: Request) -> Visitor:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized
        key = hashlib.sha256(token.strip().encode()).digest()
        if (known := self._tokens.get(key)) is not None:
            return known
        review = {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1"}
        answer = await self._ask(TOKENREVIEW, {**review, "spec": {"token": token.strip()}})
        status = answer.get("status") or {}
        user = status.get("user") or {}
        if not status.get("authenticated") or not user.get("username"):
            raise Unauthorized
        extra = tuple((name, tuple(found)) for name, found in (user.get("extra") or {}).items())
        groups = tuple(user.get("groups") or ())
        visitor = Visitor(user["username"], user.get("uid") or "", groups, extra)
        self._tokens.put(key, visitor, TOKEN_SECONDS)
        return visitor

    async def _may(self, visitor: Visitor, verb: str, subresource: str) -> bool:
        key = (visitor, verb, subresource)
        if (known := self._allowed.get(key)) is not None:
            return known
        attributes = {"verb": verb, "version": "v1", "resource": "nodes", "name": self._node}
        spec: Document = {
            "user": visitor.name,
            "uid": visitor.uid,
            "groups": list(visitor.groups),
            "extra": {name: list(found) for name, found in visitor.extra},
            "resourceAttributes": {**attributes, "subresource": subresource},
        }
        review = {"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1"}
        answer = await self._ask(SUBJECTACCESSREVIEW, {**review, "spec": spec})
        allowed = bool((answer.get("status") or {}).get("allowed"))
        self._allowed.put(key, allowed, ALLOWED_SECONDS if allowed else REFUSED_SECONDS)
        return allowed

    async def _ask(self, kind: Kind, document: Document) -> Document:
        try:
            return await self._client.post(kind.ref("", ""), "", document)
        except (APIError, Unreachable) as error:
            raise InternalError(f"the API server cannot be asked: {error}\n") from error


def is_api_server(request: Request) -> bool:
    """Says whether it is the API server who asks."""
    found = of_certificate(request)
    return found is not None and found.name == API_SERVER


def of_certificate(request: Request) -> Visitor | None:
    """Returns who shows a certificate, None for who shows none; raises Unauthorized."""
    certificate = request.peer.certificate if request.peer is not None else None
    if certificate is None:
        return None
    try:
        subject = der.subject(certificate)
    except ValueError:
        raise Unauthorized from None
    if not subject.common_name:
        raise Unauthorized
    groups = (*subject.organizations, "system:authenticated")
    return Visitor(subject.common_name, subject.uid, groups)


def subresources(path: str) -> tuple[str, ...]:
    """Returns the subresources of the node of which one must be granted for a path."""
    return _FINE.get(path.strip("/").split("/")[0], ("proxy",))
