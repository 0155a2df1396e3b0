"""ServiceAccount tokens: JSON web tokens signed with ES256, issued and verified here.

Claims follow upstream's pkg/serviceaccount. Token times are real time, whatever the cluster's
clock says. The cryptography package loads with the first token, not with this module.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import orjson

from steersman.api.access.authorization import quoted_list
from steersman.model.kind import Document
from steersman.model.ref import Ref, Resource
from steersman.model.view import Meta
from steersman.wire.message import User

ISSUER = "https://kubernetes.default.svc.cluster.local"
# Clocks of issuer and verifier may differ by this much (go-jose's jwt.DefaultLeeway)
LEEWAY_SECONDS = 60
# A verified token is about 3 kB with its claims; 4096 of them are the pods of some forty nodes
CACHE_SIZE = 4096
# Ours are near 1 kB; whoever sends more than this sends no token of ours
MAX_TOKEN_BYTES = 16_384

CREDENTIAL = "authentication.kubernetes.io/credential-id"
POD_NAME = "authentication.kubernetes.io/pod-name"
POD_UID = "authentication.kubernetes.io/pod-uid"
NODE_NAME = "authentication.kubernetes.io/node-name"
NODE_UID = "authentication.kubernetes.io/node-uid"

# Finds the metadata of a live object, None where it does not exist
Lookup = Callable[[Ref], Meta | None]


class InvalidToken(Exception):
    """A token that is not to be trusted; the text is for its owner's log and for TokenReview."""


class Bound(NamedTuple):
    """The object whose end is the end of a token: kind `Pod`, `Secret` or `Node`."""

    kind: str
    name: str
    uid: str


class Verified(NamedTuple):
    """A token whose signature is good: who bears it, and until when."""

    user: User
    audiences: tuple[str, ...]
    not_before: float
    expires: float
    namespace: str
    bound: tuple[Bound, ...]  # the ServiceAccount first


class Key:
    """A signing key from a PEM; parsed when first used."""

    def __init__(self, pem: bytes) -> None:
        self._pem = pem
        self._private: Any = None
        self._id = ""

    @property
    def id(self) -> str:
        """The hash of the public key (upstream's keyIDFromPublicKey)."""
        if not self._id:
            from cryptography.hazmat.primitives import serialization as form

            public = self.private.public_key()
            der = public.public_bytes(form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo)
            self._id = encode(hashlib.sha256(der).digest())
        return self._id

    @property
    def private(self) -> Any:
        """The private key on the curve P-256."""
        if self._private is None:
            from cryptography.hazmat.primitives.serialization import load_pem_private_key

            self._private = load_pem_private_key(self._pem, None)
        return self._private

    def sign(self, data: bytes) -> bytes:
        """Returns the raw signature (RFC 7518, 3.4): r and s, 32 bytes each."""
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

        r, s = decode_dss_signature(self.private.sign(data, _ecdsa()))
        return bytes(r.to_bytes(32, "big") + s.to_bytes(32, "big"))

    def verify(self, signature: bytes, data: bytes) -> bool:
        """Says whether a raw signature is ours."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

        if len(signature) != 64:
            return False
        r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
        try:
            self.private.public_key().verify(encode_dss_signature(r, s), data, _ecdsa())
        except InvalidSignature:
            return False
        return True

    def document(self) -> dict[str, str]:
        """Returns the public key as a JSON web key (RFC 7517)."""
        numbers = self.private.public_key().public_numbers()
        x, y = (encode(value.to_bytes(32, "big")) for value in (numbers.x, numbers.y))
        fixed = {"use": "sig", "kty": "EC", "crv": "P-256", "alg": "ES256"}
        return {**fixed, "kid": self.id, "x": x, "y": y}


def _ecdsa() -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256

    return ec.ECDSA(SHA256())


def new_key() -> bytes:
    """Makes a signing key and returns it as PEM."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    plain = form.NoEncryption()
    return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, plain)


class Tokens:
    """Issues and verifies tokens of one issuer.

    The first key signs, all verify. `wall` is real time in seconds, `now` the cluster's time (of
    deletion timestamps).
    """

    def __init__(
        self,
        keys: Sequence[Key],
        lookup: Lookup,
        *,
        wall: Callable[[], float],
        now: Callable[[], float],
        uid: Callable[[], str],
        issuer: str = ISSUER,
        audiences: tuple[str, ...] = (),
    ) -> None:
        self._keys = tuple(keys)
        self._lookup = lookup
        self._now = now
        self._uid = uid
        self.wall = wall
        self.issuer = issuer
        self.audiences = audiences or (issuer,)
        self._verified: dict[str, Verified] = {}

    def issue(
        self,
        namespace: str,
        account: Bound,
        *,
        seconds: int,
        audiences: Sequence[str] = (),
        bound: Sequence[Bound] = (),
        warn_after_seconds: int = 0,
    ) -> str:
        """Returns a new token for a ServiceAccount (`account.kind` is "ServiceAccount")."""
        issued = int(self.wall())
        named = {one.kind.lower(): {"name": one.name, "uid": one.uid} for one in (account, *bound)}
        private: Document = {"namespace": namespace, **named}
        if warn_after_seconds:
            private["warnafter"] = issued + warn_after_seconds
        return self.sign(
            {
                "aud": list(audiences or self.audiences),
                "exp": issued + seconds,
                "iat": issued,
                "iss": self.issuer,
                "jti": self._uid(),
                "kubernetes.io": private,
                "nbf": issued,
                "sub": f"system:serviceaccount:{namespace}:{account.name}",
            }
        )

    def verify(self, token: str, audiences: Sequence[str] = ()) -> Verified:
        """Returns what a token says, once it is proven, current, meant for one of the audiences
        (default: the API's own), and all objects it is bound to live. Raises InvalidToken."""
        found = self._verified.get(token)
        if found is None:
            found = self._prove(token)
            if len(self._verified) >= CACHE_SIZE:
                self._verified.clear()
            self._verified[token] = found
        self._check_times(found)
        wanted = audiences or self.audiences
        if not set(wanted) & set(found.audiences):
            has, expected = quoted_list(found.audiences), quoted_list(wanted)
            raise InvalidToken(
                f"token audiences {has} is invalid for the target audiences {expected}"
            )
        for bound in found.bound:
            self._check_alive(found.namespace, bound)
        return found

    def keys_document(self) -> Document:
        """Returns the JSON web key set (`/openid/v1/jwks`)."""
        return {"keys": [key.document() for key in self._keys]}

    def provider_document(self, keys_url: str) -> Document:
        """Returns the OpenID provider metadata (`/.well-known/openid-configuration`)."""
        return {
            "issuer": self.issuer,
            "jwks_uri": keys_url,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }

    def sign(self, claims: Document) -> str:
        """Returns claims as a signed token."""
        key = self._keys[0]
        header = orjson.dumps({"alg": "ES256", "kid": key.id})
        signed = f"{encode(header)}.{encode(orjson.dumps(claims))}"
        return f"{signed}.{encode(key.sign(signed.encode()))}"

    def _prove(self, token: str) -> Verified:
        return _read_claims(self.claims(token, self.issuer))

    def claims(self, token: str, issuer: str) -> Document:
        """Returns what a token says that one of our keys signed for an issuer; raises
        InvalidToken, without a text where the token is not of that issuer."""
        if len(token) > MAX_TOKEN_BYTES or token.count(".") != 2:
            raise InvalidToken("")
        signed, _, signature = token.rpartition(".")
        header, payload = (decode_object(part) for part in signed.split("."))
        if payload.get("iss") != issuer or header.get("alg") != "ES256":
            raise InvalidToken("")
        raw, data = decode(signature), signed.encode()
        if not any(key.verify(raw, data) for key in self._keys):
            raise InvalidToken("go-jose/go-jose: error in cryptographic primitive")
        return payload

    def _check_times(self, token: Verified) -> None:
        now = self.wall()
        if now - LEEWAY_SECONDS > token.expires:
            raise InvalidToken("service account token has expired")
        if now + LEEWAY_SECONDS < token.not_before:
            raise InvalidToken("service account token is not valid yet")

    def _check_alive(self, namespace: str, bound: Bound) -> None:
        plural = f"{bound.kind.lower()}s"
        home = "" if bound.kind == "Node" else namespace
        meta = self._lookup(Ref(Resource("", plural), home, bound.name))
        is_account = bound.kind == "ServiceAccount"
        if meta is None or self._is_deleted(meta):
            if is_account:
                raise InvalidToken(_account_gone(meta, namespace, bound.name))
            raise InvalidToken("service account token has been invalidated")
        if meta.uid == bound.uid:
            return
        if is_account:
            raise InvalidToken(
                f"service account UID ({meta.uid}) does not match claim ({bound.uid})"
            )
        kind = bound.kind.lower()
        raise InvalidToken(
            f"{kind} UID ({meta.uid}) does not match service account {kind} ref claim ({bound.uid})"
        )

    def _is_deleted(self, meta: Meta) -> bool:
        deleted = meta.deletion_timestamp
        return deleted is not None and deleted.timestamp() < self._now() - LEEWAY_SECONDS


def _account_gone(meta: Meta | None, namespace: str, name: str) -> str:
    if meta is None:
        return f'serviceaccounts "{name}" not found'
    return f"service account {namespace}/{name} has been deleted"


def _read_claims(claims: Document) -> Verified:
    """Reads signed claims; ours are complete, so a missing one is a programming error of old."""
    private = claims["kubernetes.io"]
    bounds = {
        kind: Bound(kind, private[kind.lower()]["name"], private[kind.lower()]["uid"])
        for kind in ("ServiceAccount", "Pod", "Secret", "Node")
        if kind.lower() in private
    }
    account = bounds["ServiceAccount"]
    # A node beside a pod is information; a token bound to the node itself ends with it
    alive = [bound for kind, bound in bounds.items() if kind != "Node" or "Pod" not in bounds]
    return Verified(
        account_user(
            private["namespace"], account.name, account.uid, _extra(claims, bounds.values())
        ),
        tuple(claims["aud"]),
        float(claims["nbf"]),
        float(claims["exp"]),
        private["namespace"],
        tuple(alive),
    )


def _extra(claims: Document, bounds: Iterable[Bound]) -> dict[str, tuple[str, ...]]:
    extra: dict[str, tuple[str, ...]] = {CREDENTIAL: (f"JTI={claims['jti']}",)}
    names = {"Pod": (POD_NAME, POD_UID), "Node": (NODE_NAME, NODE_UID)}
    for bound in bounds:
        if keys := names.get(bound.kind):
            extra[keys[0]], extra[keys[1]] = (bound.name,), (bound.uid,)
    return extra


def account_user(
    namespace: str, name: str, uid: str = "", extra: dict[str, tuple[str, ...]] | None = None
) -> User:
    """Returns the user that a ServiceAccount acts as."""
    return User(
        f"system:serviceaccount:{namespace}:{name}",
        (
            "system:serviceaccounts",
            f"system:serviceaccounts:{namespace}",
            "system:authenticated",
        ),
        uid,
        extra or {},
    )


def encode(data: bytes) -> str:
    """Returns base64url without padding (RFC 7515)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """Returns what base64url without padding holds; raises InvalidToken."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidToken("") from None


def decode_object(text: str) -> Document:
    """Returns the object in a part of a token; raises InvalidToken."""
    try:
        found = orjson.loads(decode(text))
    except orjson.JSONDecodeError:
        raise InvalidToken("") from None
    if not isinstance(found, dict):
        raise InvalidToken("")
    return found
