"""Tokens in Secrets of the type kubernetes.io/service-account-token: without end, until the Secret
or its ServiceAccount goes.

Follows pkg/serviceaccount/legacy.go, and for what is written into the Secrets the controller
serviceaccount-token (pkg/controller/serviceaccount/tokens_controller.go).
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable

from steersman.api.access.tokens import InvalidToken, Tokens, account_user
from steersman.api.tokens.bootstrap_tokens import SECRETS, decoded
from steersman.model.kind import Document
from steersman.model.ref import Ref, Resource
from steersman.wire.message import Remarked, User

ACCOUNTS = Resource("", "serviceaccounts")
ISSUER = "kubernetes/serviceaccount"
TYPE = "kubernetes.io/service-account-token"
ACCOUNT_NAME = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"
INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
# Told to who uses a token that was made for an account without being asked for
MADE_BY_ITSELF = (
    "Use tokens from the TokenRequest API or manually created secret-based tokens instead of "
    "auto-generated secret-based tokens."
)
_CLAIM = "kubernetes.io/serviceaccount/"
_CLAIMS = ("namespace", "secret.name", "service-account.name", "service-account.uid")
# What upstream calls the claims where one is missing
_MISSING = ("namespace", "secretName", "serviceAccountName", "serviceAccountUID")
_INVALIDATED = "Token has been invalidated"


class LegacyTokens:
    """Knows these tokens; see `bearers.Knows`. `used` hears whose token was shown."""

    def __init__(
        self,
        tokens: Tokens,
        find: Callable[[Ref], Document | None],
        used: Callable[[Document], None],
    ) -> None:
        self._tokens = tokens
        self._find = find
        self._used = used

    def user(self, token: str) -> User | None:
        """Returns the ServiceAccount of a token; raises InvalidToken."""
        claims = self._tokens.claims(token, ISSUER)
        namespace, secret_name, name, uid = read(claims)
        secret = self._secret(Ref(SECRETS, namespace, secret_name), token)
        account = self._find(Ref(ACCOUNTS, namespace, name))
        if account is None:
            raise InvalidToken(f'serviceaccounts "{name}" not found')
        metadata = account["metadata"]
        if metadata.get("deletionTimestamp"):
            raise InvalidToken(f"ServiceAccount {namespace}/{name} has been deleted")
        if metadata["uid"] != uid:
            has = metadata["uid"]
            raise InvalidToken(f"ServiceAccount UID ({has}) does not match claim ({uid})")
        self._used(secret)
        if (secret["metadata"].get("labels") or {}).get(INVALID_SINCE):
            raise InvalidToken(
                f"the token in secret {namespace}/{secret_name} for service account "
                f"{namespace}/{name} has been marked invalid. Use tokens from the TokenRequest API "
                f"or manually created secret-based tokens, or remove the '{INVALID_SINCE}' label "
                "from the secret to temporarily allow use of this token"
            )
        user = account_user(namespace, name, uid)
        if any(it.get("name") == secret_name for it in account.get("secrets") or ()):
            return Remarked(user.name, user.groups, user.uid, user.extra, MADE_BY_ITSELF)
        return user

    def _secret(self, ref: Ref, token: str) -> Document:
        """Returns the Secret that holds a token."""
        secret = self._find(ref)
        if secret is None or secret["metadata"].get("deletionTimestamp"):
            raise InvalidToken(_INVALIDATED)
        if not hmac.compare_digest(decoded(secret).get("token", "").encode(), token.encode()):
            raise InvalidToken("Token does not match server's copy")
        return secret


def read(claims: Document) -> tuple[str, str, str, str]:
    """Returns namespace, Secret, account and its uid of signed claims; raises InvalidToken."""
    subject = claims.get("sub")
    if not subject:
        raise InvalidToken("sub claim is missing")
    values = [claims.get(_CLAIM + name) for name in _CLAIMS]
    for value, called in zip(values, _MISSING, strict=True):
        if not value:
            raise InvalidToken(f"{called} claim is missing")
    namespace, secret, name, uid = (str(value) for value in values)
    if subject != f"system:serviceaccount:{namespace}:{name}":
        raise InvalidToken("sub claim is invalid")
    return namespace, secret, name, uid


def claims_of(secret: Document, account: Document) -> Document:
    """Returns the claims of a Secret's token."""
    metadata = account["metadata"]
    namespace, name = metadata["namespace"], metadata["name"]
    values = (namespace, secret["metadata"]["name"], name, metadata["uid"])
    named = {_CLAIM + key: value for key, value in zip(_CLAIMS, values, strict=True)}
    return {"iss": ISSUER, "sub": f"system:serviceaccount:{namespace}:{name}", **named}


def is_legacy(secret: Document) -> bool:
    """Says whether a Secret is one of those."""
    return secret.get("type") == TYPE


def account_of(secret: Document) -> str:
    """Returns the name of the account whose token a Secret holds."""
    annotations = secret["metadata"].get("annotations") or {}
    return str(annotations.get(ACCOUNT_NAME) or "")


def is_of(secret: Document, account: Document | None) -> bool:
    """Says whether a Secret belongs to an account that is there."""
    if account is None:
        return False
    annotations = secret["metadata"].get("annotations") or {}
    return annotations.get(ACCOUNT_UID) in (None, "", account["metadata"]["uid"])


def fill(
    secret: Document, account: Document, bundle: str, sign: Callable[[Document], str]
) -> Document | None:
    """Returns the Secret with token, bundle and namespace, None where it has them."""
    metadata, data = secret["metadata"], dict(secret.get("data") or {})
    annotations = {**(metadata.get("annotations") or {}), ACCOUNT_UID: account["metadata"]["uid"]}
    if bundle:
        data["ca.crt"] = _encoded(bundle)
    data["namespace"] = _encoded(metadata["namespace"])
    if not data.get("token"):
        data["token"] = _encoded(sign(claims_of(secret, account)))
    if data == secret.get("data") and annotations == metadata.get("annotations"):
        return None
    return {**secret, "metadata": {**metadata, "annotations": annotations}, "data": data}


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
