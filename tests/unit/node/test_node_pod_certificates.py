"""Certificates of pods over time: asked for once, renewed with a new key, asked for anew when a
request is lost, and forgotten with their pod."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from node_documents import UID, pod

from steersman.client.client import APIClient
from steersman.client.interface import Change, Listing
from steersman.model.kinds.podcertificaterequest import PodCertificateRequest
from steersman.model.times import rfc3339
from steersman.model.types.volume import PodCertificateProjection
from steersman.node.credentials import certificates
from steersman.node.credentials.certificates import PodCertificates
from steersman.node.objects import BadConfiguration
from steersman.world.real import RealWorld

WAIT_SECONDS = 60.0
PLACE = (UID, "v", 0)
SOURCE = PodCertificateProjection("example.com/s", "ECDSAP256", 3600, "b")
LONG_AGO, LATER = -1e6, 1e6


class API:
    """Requests of one node and their watch; `answers` are given to requests as they come."""

    def __init__(self) -> None:
        self.requests: dict[str, dict[str, Any]] = {}
        self.asked: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any]] = []
        self._changes: asyncio.Queue[Change] = asyncio.Queue()
        self._revision = 1

    async def get(self, ref: Any) -> Any:
        return SimpleNamespace(metadata=SimpleNamespace(uid=f"uid of {ref.name}"))

    async def list(self, kind: Any, namespace: str = "", *, fields: str = "") -> Listing:
        assert fields == "spec.nodeName=vm"
        return Listing(tuple(map(self._view, self.requests)), self._revision)

    async def watch(
        self, kind: Any, namespace: str = "", **selectors: Any
    ) -> AsyncIterator[tuple[Change, ...]]:
        while True:
            yield (await self._changes.get(),)

    async def create(self, kind: Any, document: dict[str, Any], *, namespace: str) -> Any:
        name = f"req-{len(self.asked)}"
        assert document["metadata"].pop("generateName") == "req-"
        self.requests[name] = {**document, "metadata": {**document["metadata"], "name": name}}
        self.asked.append(document["spec"])
        made = self._tell("ADDED", name)
        if self.answers:
            self.answer(name, **self.answers.pop(0))
        return made

    def answer(self, name: str, kind: str = "Issued", begin: float = LATER) -> None:
        told = {"type": kind, "status": "True", "reason": "R", "message": "m"}
        self.requests[name]["status"] = {
            "conditions": [told],
            "certificateChain": f"chain of {name}",
            "beginRefreshAt": rfc3339(RealWorld().now() + begin),
        }
        self._tell("MODIFIED", name)

    def remove(self, name: str) -> None:
        self._tell("DELETED", name)
        del self.requests[name]

    def _tell(self, kind: Any, name: str) -> Any:
        self._revision += 1
        found = self._view(name)
        self._changes.put_nowait(Change(kind, found, self._revision))
        return found

    def _view(self, name: str) -> PodCertificateRequest:
        document = self.requests[name]
        metadata = {**document["metadata"], "resourceVersion": str(self._revision)}
        return msgspec.convert({**document, "metadata": metadata}, PodCertificateRequest)


def certified(test: Callable[[API, PodCertificates], Awaitable[None]]) -> None:
    async def main() -> None:
        world, api = RealWorld(), API()
        async with asyncio.timeout(WAIT_SECONDS), world.tasks() as tasks:
            await test(api, PodCertificates(cast(APIClient, api), world, tasks, "vm"))
            tasks.stop()

    asyncio.run(main())


def nothing() -> None:
    """Does not care for answers."""


@pytest.mark.parametrize(
    "kind", ["ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096"]
)
def test_a_key_of_each_kind_is_shown_by_its_request(kind: str) -> None:
    text, request = certificates._make_key(kind)
    key: Any = load_pem_private_key(text.encode(), None)
    shown = x509.load_der_x509_csr(request)
    assert shown.is_signature_valid
    assert key.public_key() == shown.public_key()
    assert list(shown.subject) == []
    if not kind.startswith("ED"):
        assert str(key.key_size) == kind.lstrip("ECDSAPR")


def test_what_was_issued_stays_until_it_is_due() -> None:
    async def test(api: API, held: PodCertificates) -> None:
        api.answers = [{}]
        first = await held.get(pod(), PLACE, SOURCE, nothing)
        assert first.chain == "chain of req-0"
        assert first.renew_at - RealWorld().now() > LATER - 1
        assert await held.get(pod(), PLACE, SOURCE, nothing) == first
        (asked,) = api.asked
        assert asked.pop("stubPKCS10Request") and asked == {
            "signerName": "example.com/s",
            "podName": "web",
            "podUID": UID,
            "maxExpirationSeconds": 3600,
            "serviceAccountName": "default",
            "serviceAccountUID": "uid of default",
            "nodeName": "vm",
            "nodeUID": "uid of vm",
        }
        held.forget(UID)
        api.answers = [{}]
        assert (await held.get(pod(), PLACE, SOURCE, nothing)).chain == "chain of req-1"

    certified(test)


def test_what_is_due_is_renewed_with_a_new_key_and_kept_meanwhile() -> None:
    async def test(api: API, held: PodCertificates) -> None:
        api.answers = [{"begin": LONG_AGO}]
        first = await held.get(pod(), PLACE, SOURCE, nothing)
        assert first.renew_at < RealWorld().now()
        heard = asyncio.Event()
        kept = await held.get(pod(), PLACE, SOURCE, heard.set)
        assert (kept.key, kept.chain) == (first.key, first.chain)
        assert 0 < kept.renew_at - RealWorld().now() <= certificates.SPREAD_SECONDS
        await held.get(pod(), PLACE, SOURCE, heard.set)
        assert len(api.asked) == 2  # the first is not answered yet, and is not asked again
        api.answer("req-1")
        await heard.wait()
        second = await held.get(pod(), PLACE, SOURCE, nothing)
        assert second.chain == "chain of req-1"
        public = load_pem_private_key(second.key.encode(), None).public_key()
        shown = x509.load_der_x509_csr(b64decode(api.asked[1]["stubPKCS10Request"])).public_key()
        assert public == shown
        assert second.key != first.key

    certified(test)


def test_a_request_that_was_deleted_unanswered_is_made_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(certificates, "FIRST_ANSWER_SECONDS", 0.2)

    async def test(api: API, held: PodCertificates) -> None:
        for _ in range(2):
            with pytest.raises(BadConfiguration, match="credential bundle is not issued yet"):
                await held.get(pod(), PLACE, SOURCE, nothing)
        assert len(api.asked) == 1
        api.remove("req-0")
        await asyncio.sleep(0)
        api.answers = [{}]
        assert (await held.get(pod(), PLACE, SOURCE, nothing)).chain == "chain of req-1"

    certified(test)


@pytest.mark.parametrize("kind", ["Denied", "Failed"])
def test_a_refusal_is_for_good(kind: str) -> None:
    async def test(api: API, held: PodCertificates) -> None:
        api.answers = [{"kind": kind}]
        for _ in range(2):
            with pytest.raises(BadConfiguration) as raised:
                await held.get(pod(), PLACE, SOURCE, nothing)
        told = f'was permanently {kind.lower()}: reason="R" message="m"'
        assert str(raised.value) == f"PodCertificateRequest {told}"
        assert len(api.asked) == 1

    certified(test)
