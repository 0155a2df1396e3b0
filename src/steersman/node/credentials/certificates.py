"""Certificates of pods (KEP-4317): keys that the node makes and keeps, and what signers say to
them.

Follows pkg/kubelet/podcertificate. A key is never written but into the pod's own volume in memory;
after a restart of the agent there is a new one.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from steersman.client.client import APIClient
from steersman.client.view import FollowedView
from steersman.model.kind import Document
from steersman.model.kinds.node import NODE
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.podcertificaterequest import (
    PODCERTIFICATEREQUEST,
    PodCertificateRequest,
)
from steersman.model.kinds.serviceaccount import SERVICEACCOUNT
from steersman.model.ref import Ref
from steersman.model.types.condition import Condition
from steersman.model.types.pod_certificate_check import OUTCOMES
from steersman.model.types.volume import PodCertificateProjection
from steersman.node.objects import BadConfiguration
from steersman.world.interface import Tasks, World

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

# A signer that is there answers at once; the pod's other volumes need not wait for one that is not
FIRST_ANSWER_SECONDS = 5.0
# Nodes do not all come to a signer at one time, and look again for what was deleted unanswered
SPREAD_SECONDS = 300.0

# Pod, volume, and which of the volume's sources
Place = tuple[str, str, int]


class Credentials(msgspec.Struct, frozen=True):
    """A private key and the chain of its certificate, as PEM, and when the next are asked for."""

    key: str
    chain: str
    renew_at: float


class _Asked(msgspec.Struct, frozen=True):
    """A request that a signer is to answer, the key that it is about, who waits for it."""

    ref: Ref
    key: str
    answered: asyncio.Event


class PodCertificates:
    """The certificates of all pods of the node.

    Requests of this node are followed from the first one on: a node without such pods follows none.
    """

    def __init__(self, client: APIClient, world: World, tasks: Tasks, node: str) -> None:
        self._client = client
        self._world = world
        self._tasks = tasks
        self._node = node
        self._view: FollowedView | None = None
        self._issued: dict[Place, Credentials] = {}
        self._asked: dict[Place, _Asked] = {}
        self._refused: dict[Place, str] = {}
        self._hearers: dict[str, Callable[[], None]] = {}

    async def get(
        self,
        pod: Pod,
        place: Place,
        source: PodCertificateProjection,
        changed: Callable[[], None],
    ) -> Credentials:
        """Returns what a signer has issued; while it renews, what it had issued before. `changed`
        is called when there is an answer that nobody waits for any more.

        Raises BadConfiguration while there is none and where there will be none, API errors.
        """
        self._hearers[pod.metadata.uid] = changed
        known = self._issued.get(place)
        if known is not None and self._world.now() < known.renew_at:
            return known
        if place not in self._refused:
            await self._await_answer(pod, place, source, wait=known is None)
        if place in self._refused:
            raise BadConfiguration(self._refused[place])
        found = self._issued.get(place)
        if found is None:
            raise BadConfiguration("credential bundle is not issued yet")
        later = self._world.now() + SPREAD_SECONDS
        return found if found is not known else replace(found, renew_at=later)

    def forget(self, uid: str) -> None:
        """Forgets the keys of a pod that is gone."""
        self._hearers.pop(uid, None)
        kept: dict[Place, Any]
        for kept in (self._issued, self._asked, self._refused):
            for place in [it for it in kept if it[0] == uid]:
                del kept[place]

    async def _await_answer(
        self, pod: Pod, place: Place, source: PodCertificateProjection, *, wait: bool
    ) -> None:
        """Has a signer asked, and waits a moment for the answer."""
        try:
            async with self._world.timeout(FIRST_ANSWER_SECONDS):
                view = await self._follow()
                asked = self._asked.get(place)
                if asked is None or view.get(asked.ref) is None:
                    asked = self._asked[place] = await self._ask(pod, source, view)
                    self._take(place, asked, view.get(asked.ref))
                if wait:
                    await asked.answered.wait()
        except TimeoutError:
            return

    async def _follow(self) -> FollowedView:
        if self._view is None:
            own = f"spec.nodeName={self._node}"
            self._view = FollowedView(self._client, PODCERTIFICATEREQUEST, self._world, fields=own)
            self._view.listen(self._hear)
            self._tasks.start(self._view.follow(), name="certificates of pods")
        await self._view.synced()
        return self._view

    def _hear(self, _old: PodCertificateRequest | None, new: PodCertificateRequest | None) -> None:
        for place, asked in list(self._asked.items()):
            if new is not None and (asked.ref.namespace, asked.ref.name) == new.key:
                self._take(place, asked, new)

    def _take(self, place: Place, asked: _Asked, request: PodCertificateRequest | None) -> None:
        """Takes over an answer, where a request has one."""
        found = _outcome(request)
        if request is None or found is None:
            return
        status = request.status
        if found.type == "Issued" and status.begin_refresh_at is not None:
            spread = self._world.jitter(SPREAD_SECONDS, 1.0) - SPREAD_SECONDS
            renew_at = status.begin_refresh_at.timestamp() + spread
            self._issued[place] = Credentials(asked.key, status.certificate_chain, renew_at)
        else:
            told = f'reason="{found.reason}" message="{found.message}"'
            text = f"PodCertificateRequest was permanently {found.type.lower()}: {told}"
            self._refused[place] = text
        del self._asked[place]
        asked.answered.set()
        if (changed := self._hearers.get(place[0])) is not None:
            changed()

    async def _ask(self, pod: Pod, source: PodCertificateProjection, view: FollowedView) -> _Asked:
        """Makes a key and a request about it, which the view then has."""
        namespace = pod.metadata.namespace
        account = pod.spec.service_account_name or "default"
        found = await self._client.get(SERVICEACCOUNT.ref(namespace, account))
        node = await self._client.get(NODE.ref("", self._node))
        key, request = await asyncio.to_thread(_make_key, source.key_type)
        document = render_request(pod, source, request)
        document["spec"] |= {
            "serviceAccountName": account,
            "serviceAccountUID": found.metadata.uid,
            "nodeName": self._node,
            "nodeUID": node.metadata.uid,
        }
        made = await self._client.create(PODCERTIFICATEREQUEST, document, namespace=namespace)
        await view.reached(made.metadata.revision)
        ref = PODCERTIFICATEREQUEST.ref(namespace, made.metadata.name)
        return _Asked(ref, key, asyncio.Event())


def render_request(pod: Pod, source: PodCertificateProjection, request: bytes) -> Document:
    """Returns the PodCertificateRequest of a pod about a key, shown by a PKCS#10 request."""
    metadata = pod.metadata
    owner = {"apiVersion": "v1", "kind": "Pod", "name": metadata.name, "uid": metadata.uid}
    spec: Document = {
        "signerName": source.signer_name,
        "podName": metadata.name,
        "podUID": metadata.uid,
        "stubPKCS10Request": b64encode(request).decode(),
    }
    if source.max_expiration_seconds is not None:
        spec["maxExpirationSeconds"] = source.max_expiration_seconds
    if source.user_annotations:
        spec["unverifiedUserAnnotations"] = dict(source.user_annotations)
    named = {"generateName": "req-", "namespace": metadata.namespace, "ownerReferences": [owner]}
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "PodCertificateRequest",
        "metadata": named,
        "spec": spec,
    }


def _outcome(request: PodCertificateRequest | None) -> Condition | None:
    """Returns how a request ended, None while it has not."""
    conditions = request.status.conditions if request is not None else ()
    ended = (it for it in conditions if it.type in OUTCOMES and it.status == "True")
    return next(ended, None)


def _make_key(kind: str) -> tuple[str, bytes]:
    """Returns a new private key as PEM, and a request that shows it and says nothing else."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    key = _new_key(kind)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    made = builder.sign(key, None if kind == "ED25519" else hashes.SHA256())
    return text, made.public_bytes(Encoding.DER)


def _new_key(kind: str) -> CertificateIssuerPrivateKeyTypes:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    curves: dict[str, ec.EllipticCurve] = {
        "ECDSAP256": ec.SECP256R1(),
        "ECDSAP384": ec.SECP384R1(),
        "ECDSAP521": ec.SECP521R1(),
    }
    if kind in curves:
        return ec.generate_private_key(curves[kind])
    if kind == "ED25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind in ("RSA3072", "RSA4096"):
        return rsa.generate_private_key(65537, int(kind.removeprefix("RSA")))
    raise BadConfiguration(f'keys of type "{kind}" are not known')
