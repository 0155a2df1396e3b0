"""Who asks: client certificates, bearer tokens, nobody, and those who act as somebody else.

Follows upstream's order (front proxy, certificate, token, anonymous) and its impersonation filter.
Front proxies are processes of the server's own user, on its Unix socket, and whoever shows a
certificate for it. Whether they may is the authorizer's; anonymous requests pass here and find no
rule there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote

from steersman.api.access.authorization import Attributes, Union
from steersman.api.access.front_proxy import USER, FrontProxy, named_user
from steersman.api.access.tokens import CREDENTIAL, InvalidToken, account_user
from steersman.api.tokens.bearers import AUTHENTICATED, Bearers
from steersman.model.errors import InternalError, Unauthorized
from steersman.wire import der
from steersman.wire.message import Peer, Request, User

UNAUTHENTICATED = "system:unauthenticated"
ANONYMOUS = User("system:anonymous", (UNAUTHENTICATED,))

_AS_USER = "impersonate-user"
_AS_GROUP = "impersonate-group"
_AS_UID = "impersonate-uid"
_AS_EXTRA = "impersonate-extra-"
_ACCOUNT = "system:serviceaccount:"
_GROUP = "authentication.k8s.io"


class Authenticator:
    """Finds out who sends a request."""

    def __init__(
        self,
        tokens: Bearers,
        authorizer: Union,
        front_proxy: FrontProxy | None = None,
        anonymous: frozenset[str] | None = None,
    ) -> None:
        self._tokens = tokens
        self._front_proxy = front_proxy
        self._anonymous_paths = anonymous  # None: all
        self._authorizer = authorizer

    def allow_anonymous(self, paths: frozenset[str] | None) -> None:
        """Lets nobody ask for these paths alone from now on, None: for all."""
        self._anonymous_paths = paths

    def identify(self, request: Request) -> User:
        """Returns the user a request acts as.

        Raises Unauthorized for a bad token, Forbidden where impersonation is not allowed. The
        in-process client's requests carry their user with them.
        """
        return self.acting(request, self.authenticate(request))

    def authenticate(self, request: Request) -> User:
        """Returns the user who sends a request; raises Unauthorized for a bad token."""
        peer = request.peer
        if peer is not None and peer.identity.get("headers") is request.headers:
            # a connection's reader gives headers that came again as the same mapping
            known: User = peer.identity["user"]
            return known
        user = (
            request.user
            or remote_user(request)
            or self._from_peer(request)
            or self._from_token(request)
            or self._nobody(request)
        )
        if peer is not None and user is peer.identity.get("user") and not _acts(request):
            peer.identity["headers"] = request.headers
        return user

    def acting(self, request: Request, user: User) -> User:
        """Returns whom a user acts as; raises Forbidden where they may not."""
        peer = request.peer
        if peer is not None and peer.identity.get("headers") is request.headers:
            return user  # nobody else, as was found out with the same headers before
        return self._impersonate(user, request.headers) if _acts(request) else user

    def _nobody(self, request: Request) -> User:
        """Returns the user of who says nothing; raises Unauthorized where that is not enough."""
        if self._anonymous_paths is not None and request.path not in self._anonymous_paths:
            raise Unauthorized
        return ANONYMOUS

    def _from_peer(self, request: Request) -> User | None:
        peer = request.peer
        if peer is None or peer.certificate is None:
            return None
        if "user" not in peer.identity:
            if self._is_front_proxy(peer):
                return self._from_front_proxy(peer.certificate, request.headers)
            peer.identity["user"] = certificate_user(peer.certificate)
        user: User | None = peer.identity["user"]
        return user

    def _is_front_proxy(self, peer: Peer) -> bool:
        if self._front_proxy is None or peer.certificate is None:
            return False
        if (known := peer.identity.get("front proxy")) is None:
            try:
                known = self._front_proxy.issued(peer.certificate)
            except ValueError:
                raise Unauthorized from None
            if known:
                peer.identity["front proxy"] = True
        return bool(known)

    def _from_front_proxy(self, certificate: bytes, headers: Mapping[str, str]) -> User:
        """Returns whom a front proxy names, anew for each request on its connection."""
        assert self._front_proxy is not None
        return self._front_proxy.user(certificate, headers)

    def _from_token(self, request: Request) -> User | None:
        header = request.headers.get("authorization")
        if header is None:
            return None
        scheme, _, token = header.strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return None
        try:
            user = self._tokens.verify(token).user
        except InvalidToken:
            raise Unauthorized from None
        if request.peer is not None:
            # Says that the connection is somebody's, and nothing of later requests on it
            request.peer.identity["token"] = True
        return user

    def _impersonate(self, user: User, headers: Mapping[str, str]) -> User:
        wanted = parse_impersonation(headers)
        if wanted is None:
            return user
        for attributes in wanted.questions():
            self._authorizer.require(user, attributes)
        return wanted.user()


def _acts(request: Request) -> bool:
    """Says whether the sender wants to act as somebody else."""
    return any(name.startswith("impersonate-") for name in request.headers)


def remote_user(request: Request) -> User | None:
    """Returns the user whom the headers name, None where they do not or may not: over TCP anybody
    can send them."""
    if not request.headers.get(USER, "") or request.peer is None or not request.peer.local:
        return None
    return named_user(request.headers)


def certificate_user(certificate: bytes) -> User | None:
    """Returns the user of a verified client certificate, None where it names nobody.

    Raises Unauthorized for a certificate that cannot be read.
    """
    try:
        subject = der.subject(certificate)
    except ValueError:
        raise Unauthorized from None
    if not subject.common_name:
        return None
    groups = tuple(dict.fromkeys((*subject.organizations, AUTHENTICATED)))
    fingerprint = hashlib.sha256(certificate).hexdigest()
    extra = {CREDENTIAL: (f"X509SHA256={fingerprint}",)}
    return User(subject.common_name, groups, subject.uid, extra)


class Impersonation(NamedTuple):
    """Whom the sender of a request wants to act as."""

    name: str
    groups: tuple[str, ...]
    uid: str
    extra: Mapping[str, tuple[str, ...]]

    def questions(self) -> list[Attributes]:
        """Returns what the sender must be allowed, all of it."""
        asked = [self._about_user()]
        asked += [Attributes("impersonate", "", "v1", "groups", name=name) for name in self.groups]
        for key, values in self.extra.items():
            asked += [
                Attributes("impersonate", _GROUP, "v1", "userextras", key, name=value)
                for value in values
            ]
        if self.uid:
            asked.append(Attributes("impersonate", _GROUP, "v1", "uids", name=self.uid))
        return asked

    def user(self) -> User:
        """Returns the user acted as, in the groups that its name brings along."""
        account = _account(self.name)
        groups = self.groups
        if account and not groups:
            groups = account_user(*account).groups[:2]
        added = UNAUTHENTICATED if self.name == ANONYMOUS.name else AUTHENTICATED
        if AUTHENTICATED not in groups and UNAUTHENTICATED not in groups:
            groups = (*groups, added)
        return User(self.name, groups, self.uid, self.extra)

    def _about_user(self) -> Attributes:
        if account := _account(self.name):
            namespace, name = account
            return Attributes("impersonate", "", "v1", "serviceaccounts", "", namespace, name)
        return Attributes("impersonate", "", "v1", "users", name=self.name)


def parse_impersonation(headers: Mapping[str, str]) -> Impersonation | None:
    """Reads the Impersonate-* headers; those sent several times arrive joined by line breaks.

    Raises InternalError, as upstream does, where no user is named.
    """
    name = headers.get(_AS_USER, "")
    groups = _list(headers.get(_AS_GROUP, ""))
    uid = headers.get(_AS_UID, "")
    extra = {
        unquote(header.removeprefix(_AS_EXTRA)).lower(): _list(value)
        for header, value in headers.items()
        if header.startswith(_AS_EXTRA)
    }
    if name:
        return Impersonation(name, groups, uid, extra)
    if groups or uid or extra:
        raise InternalError(
            "Internal error occurred: requested impersonation without impersonating a user"
        )
    return None


def _list(value: str) -> tuple[str, ...]:
    return tuple(item for item in value.split("\n") if item)


def _account(user: str) -> tuple[str, str] | None:
    """Splits the user name of a ServiceAccount into namespace and name."""
    if not user.startswith(_ACCOUNT):
        return None
    namespace, _, name = user.removeprefix(_ACCOUNT).partition(":")
    return (namespace, name) if namespace and name and ":" not in name else None
