"""Tokens of service accounts for pods, asked of the API and renewed before they end (KEP-1205)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from steersman.client.interface import Client
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.serviceaccount import SERVICEACCOUNT
from steersman.model.types.volume import ServiceAccountTokenProjection
from steersman.world.interface import World

RENEW_FRACTION = 0.8  # of its life: then a token is asked for anew, as by the kubelet
MOST_SECONDS = 24 * 3600.0


class Token(msgspec.Struct, frozen=True):
    """A token, when it is time for the next, and when it ends, in the API's words."""

    text: str
    renew_at: float
    expires: str = ""


class Tokens:
    """The tokens of all pods of the node."""

    def __init__(self, client: Client, world: World) -> None:
        self._client = client
        self._world = world
        self._known: dict[tuple[str, str, str, int], Token] = {}

    async def get(self, pod: Pod, asked: ServiceAccountTokenProjection) -> Token:
        """Returns a token that is good for a while; raises the API's errors."""
        uid = pod.metadata.uid
        key = (uid, asked.audience, asked.path, asked.expiration_seconds)
        known = self._known.get(key)
        if known is None or self._world.now() >= known.renew_at:
            known = self._known[key] = await self._ask(pod, asked)
        return known

    async def _ask(self, pod: Pod, asked: ServiceAccountTokenProjection) -> Token:
        metadata = pod.metadata
        name = pod.spec.service_account_name or "default"
        bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata.name, "uid": metadata.uid}
        wanted: dict[str, Any] = {
            "expirationSeconds": asked.expiration_seconds,
            "boundObjectRef": bound,
            "audiences": [asked.audience] if asked.audience else [],
        }
        document = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": wanted,
        }
        now = self._world.now()
        ref = SERVICEACCOUNT.ref(metadata.namespace, name)
        answer = await self._client.post(ref, "token", document)
        status = answer["status"]
        ends = datetime.fromisoformat(status["expirationTimestamp"]).timestamp()
        life = min((ends - now) * RENEW_FRACTION, MOST_SECONDS)
        return Token(status["token"], now + life, status["expirationTimestamp"])

    def forget(self, uid: str) -> None:
        """Forgets the tokens of a pod that is gone."""
        for key in [key for key in self._known if key[0] == uid]:
            del self._known[key]
