"""Who asks: client certificates, bearer tokens, nobody, and those who act as somebody else.

Follows upstream's order (front proxy, certificate, token, anonymous) and its impersonation filter.
Front proxies are processes of the server's own user, on its Unix socket, and whoever shows a
certificate for it. Whether they may is the authorizer's; anonymous requests pass here and find no
rule there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from steersman.api.access import impersonation
from steersman.api.access.authorization import Union
from steersman.api.access.front_proxy import USER, FrontProxy, named_user
from steersman.api.access.impersonation import ANONYMOUS_NAME, UNAUTHENTICATED, Acted
from steersman.api.access.tokens import CREDENTIAL, InvalidToken
from steersman.api.route import parse
from steersman.api.tokens.bearers import AUTHENTICATED, Bearers
from steersman.model.errors import Unauthorized
from steersman.wire import der, websocket
from steersman.wire.message import Peer, Request, User

ANONYMOUS = User(ANONYMOUS_NAME, (UNAUTHENTICATED,))


class Nameless(Unauthorized):
    """A request that does not say who sends it, where somebody has to be known."""


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
        return self.acting(request, self.authenticate(request)).user

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

    def acting(self, request: Request, user: User) -> Acted:
        """Returns whom a user acts as; raises Forbidden where they may not."""
        peer = request.peer
        if peer is not None and peer.identity.get("headers") is request.headers:
            return Acted(user)  # nobody else, as was found out with the same headers before
        wanted = impersonation.parse(request.headers) if _acts(request) else None
        if wanted is None:
            return Acted(user)
        return impersonation.act(self._authorizer, user, wanted, parse(request))

    def _nobody(self, request: Request) -> User:
        """Returns the user of who says nothing; raises Unauthorized where that is not enough."""
        if self._anonymous_paths is not None and request.path not in self._anonymous_paths:
            raise Nameless
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
        token = _shown_token(request.headers)
        if not token:
            return None
        try:
            user = self._tokens.verify(token).user
        except InvalidToken:
            raise Unauthorized from None
        if request.peer is not None:
            # Says that the connection is somebody's, and nothing of later requests on it
            request.peer.identity["token"] = True
        return user


def _shown_token(headers: Mapping[str, str]) -> str:
    """Returns the token in the headers, or in what a WebSocket offers; raises Unauthorized."""
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer" and (token := token.strip()):
        return token
    if not websocket.is_handshake(headers):
        return ""
    try:
        return websocket.bearer(headers)
    except websocket.ProtocolError:
        raise Unauthorized from None


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
