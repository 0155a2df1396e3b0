"""The ConfigMap kube-public/cluster-info is signed with each bootstrap token that may sign, so that
a machine that joins can tell the cluster's authority from another's.

Follows pkg/controller/bootstrap (Signer). A signature is a detached JWS (RFC 7515, appendix F)
with HMAC-SHA-256; whoever made the ConfigMap (kubeadm does) put a kubeconfig into it.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

from steersman.client.interface import Views
from steersman.controllers import bootstrap_tokens
from steersman.model.errors import NotFound
from steersman.model.kinds.configmap import CONFIGMAP, ConfigMap
from steersman.model.kinds.secret import SECRET, Secret
from steersman.model.ref import Ref
from steersman.model.view import Object
from steersman.reconcile.actions import Patch, act_one
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch

NAMESPACE: Final = "kube-public"
NAME: Final = "cluster-info"
CONTENT: Final = "kubeconfig"
PREFIX: Final = "jws-kubeconfig-"
INFO: Final = CONFIGMAP.ref(NAMESPACE, NAME)


def render_signature(content: str, token: str, secret: str) -> str:
    """Returns the detached signature of a content by a token's id and secret."""
    header = _encoded(f'{{"alg":"HS256","kid":"{token}"}}'.encode())
    signed = f"{header}.{_encoded(content.encode())}".encode()
    return f"{header}..{_encoded(hmac.digest(secret.encode(), signed, hashlib.sha256))}"


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def signing_tokens(secrets: Iterable[Secret], now: float) -> dict[str, str]:
    """Returns what is secret of the tokens that may sign, by their ids."""
    found = {}
    for secret in secrets:
        text = bootstrap_tokens.text
        token, value = text(secret, "token-id"), text(secret, "token-secret")
        named = secret.metadata.name == bootstrap_tokens.PREFIX + token
        may = text(secret, "usage-bootstrap-signing") == "true"
        current = bootstrap_tokens.expires_in(secret, now) != 0
        if token and value and named and may and current:
            found[token] = value
    return found


def plan(info: ConfigMap, tokens: Mapping[str, str]) -> Patch | None:
    """Returns what gives the ConfigMap its signatures and no others, None where it has them."""
    content = info.data.get(CONTENT)
    if content is None:
        return None
    wanted: dict[str, str | None] = {
        PREFIX + token: render_signature(content, token, secret) for token, secret in tokens.items()
    }
    wanted |= {key: None for key in info.data if key.startswith(PREFIX) and key not in wanted}
    changed = {key: value for key, value in wanted.items() if info.data.get(key) != value}
    if not changed:
        return None
    metadata = info.metadata
    return Patch(INFO, {"data": changed}, uid=metadata.uid, revision=metadata.revision)


def _of_map(_views: Views, old: ConfigMap | None, new: ConfigMap | None) -> Iterable[Ref]:
    found = new or old
    return (INFO,) if found is not None and found.key == (NAMESPACE, NAME) else ()


def _of_secret(_views: Views, old: Object | None, new: Object | None) -> Iterable[Ref]:
    """Maps a change of what may be a token to the one ConfigMap."""
    found = new or old
    return (INFO,) if found is not None and bootstrap_tokens.is_named(found) else ()


class BootstrapSignerController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "bootstrap-signer-controller"
    account: ClassVar[str] = "bootstrap-signer"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(CONFIGMAP, _of_map),
        Watch(SECRET, _of_secret, metadata=True),
    )
    writes: ClassVar[tuple[Rule, ...]] = (
        Rule("", ("configmaps",), ("patch",)),
        Rule("", ("secrets",), ("get",)),
    )

    def __init__(self, given: Given) -> None:
        self._given = given
        self._maps = given.views.of(CONFIGMAP)
        self._secrets = given.views.metadata_of(SECRET)

    async def reconcile(self, ref: Ref) -> Done:
        """Signs the ConfigMap, and again when the next of its tokens expires."""
        info: ConfigMap | None = self._maps.get(ref)
        if info is None:
            return Done()
        now = self._given.world.now()
        tokens = await self._tokens()
        patch = plan(info, signing_tokens(tokens, now))
        if patch is not None:
            await act_one(self._given.client, self._given.events, patch)
        left = (bootstrap_tokens.expires_in(secret, now) for secret in tokens)
        return Done(min(filter(None, left), default=None))

    async def _tokens(self) -> list[Secret]:
        """Reads the tokens, of which a cluster has a handful."""
        found: list[Secret] = []
        for it in self._secrets.list(bootstrap_tokens.NAMESPACE):
            if not bootstrap_tokens.is_named(it):
                continue
            try:
                found.append(await self._given.client.get(SECRET.ref(*it.key)))
            except NotFound:  # gone meanwhile, which comes here too
                continue
        return [secret for secret in found if bootstrap_tokens.is_token(secret)]
