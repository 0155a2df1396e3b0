"""Bootstrap tokens: Secrets of kube-system with which machines join a cluster.

Follows plugin/pkg/auth/authenticator/token/bootstrap: what is wrong with such a Secret makes its
token unknown, and nobody is told why.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Mapping
from datetime import datetime

from steersman.model.kind import Document
from steersman.model.ref import Ref, Resource
from steersman.wire.message import User

SECRETS = Resource("", "secrets")
NAMESPACE = "kube-system"
TYPE = "bootstrap.kubernetes.io/token"
PREFIX = "bootstrap-token-"
GROUP = "system:bootstrappers"
USER = "system:bootstrap:"
_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_EXTRA_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")


class BootstrapTokens:
    """Knows the tokens of such Secrets; see `bearers.Knows`."""

    def __init__(self, find: Callable[[Ref], Document | None], wall: Callable[[], float]) -> None:
        self._find = find
        self._wall = wall

    def user(self, token: str) -> User | None:
        """Returns whom a token lets in, None where no Secret lets it be used so."""
        found = _TOKEN.fullmatch(token)
        if found is None:
            return None
        name, secret = found.groups()
        document = self._find(Ref(SECRETS, NAMESPACE, PREFIX + name))
        if document is None:
            return None
        return decide(document, name, secret, self._wall())


def decide(document: Document, name: str, secret: str, now: float) -> User | None:
    """Returns whom a Secret lets in by an id and a secret."""
    if document.get("type") != TYPE or document["metadata"].get("deletionTimestamp"):
        return None
    data = decoded(document)
    if not hmac.compare_digest(data.get("token-secret", "").encode(), secret.encode()):
        return None
    if data.get("token-id") != name or _is_over(data.get("expiration", ""), now):
        return None
    if data.get("usage-bootstrap-authentication") != "true":
        return None
    extra = set(filter(None, data.get("auth-extra-groups", "").split(",")))
    if not all(_EXTRA_GROUP.fullmatch(group) for group in extra):
        return None
    return User(USER + name, tuple(sorted({GROUP, *extra})))


def decoded(document: Document) -> Mapping[str, str]:
    """Returns the data of a Secret as text; what is no text is left out."""
    found = {}
    for key, value in (document.get("data") or {}).items():
        try:
            found[key] = base64.b64decode(value).decode()
        except (binascii.Error, ValueError):
            continue
    return found


def _is_over(text: str, now: float) -> bool:
    """Says whether a time has come; one that cannot be read has."""
    if not text:
        return False
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return True
    return when.tzinfo is None or when.timestamp() <= now
