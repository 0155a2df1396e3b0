"""Trust bundles and certificates in volumes of pods on a real node, with a signer of the test's.

Rows of upstream's e2e suite: test/e2e/auth/projected_clustertrustbundle.go and
projected_podcertificate.go.
"""

from __future__ import annotations

import asyncio
import contextlib
from base64 import b64decode
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID
from node_cluster import IMAGE, SLEEP, Cluster, Session, hears, needs_root, runs

from steersman.model.errors import Invalid
from steersman.model.kinds.clustertrustbundle import CLUSTERTRUSTBUNDLE
from steersman.model.kinds.pod import Pod
from steersman.model.kinds.podcertificaterequest import PODCERTIFICATEREQUEST

pytestmark = needs_root
SIGNER = "example.com/signer"
MANY = 110  # more than the hundred of upstream's row


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._sign(self._name, self._key.public_key(), 1, anchor=True)
        self.pem = self.certificate.public_bytes(Encoding.PEM).decode()

    def _sign(self, name: x509.Name, key: Any, days: float, *, anchor: bool) -> x509.Certificate:
        now = datetime.now(UTC).replace(microsecond=0)
        builder = x509.CertificateBuilder(self._name, name, key, x509.random_serial_number())
        builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=days))
        extension = x509.BasicConstraints(ca=anchor, path_length=None)
        return builder.add_extension(extension, critical=True).sign(self._key, hashes.SHA256())

    def answer(self, spec: dict[str, Any]) -> dict[str, Any]:
        """The status with which a request is granted."""
        request = x509.load_der_x509_csr(b64decode(spec["stubPKCS10Request"]))
        assert request.is_signature_valid
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, spec["podName"])])
        days = spec["maxExpirationSeconds"] / 86400
        made = self._sign(name, request.public_key(), days, anchor=False)
        text = made.public_bytes(Encoding.PEM).decode()
        begin, end = made.not_valid_before_utc, made.not_valid_after_utc
        condition = {"type": "Issued", "status": "True", "reason": "Signed", "message": "m",
                     "lastTransitionTime": stamp(begin)}  # fmt: skip
        return {
            "conditions": [condition],
            "certificateChain": text,
            "notBefore": stamp(begin),
            "notAfter": stamp(end),
            "beginRefreshAt": stamp(end - timedelta(minutes=10)),
        }


def stamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


async def bundle(session: Session, name: str, *pems: str, signer: str = "", **labels: str) -> None:
    spec = {"trustBundle": "".join(pems), **({"signerName": signer} if signer else {})}
    document = {"metadata": {"name": name, "labels": labels}, "spec": spec}
    await session.client.create(CLUSTERTRUSTBUNDLE, document)


def volume(at: str, **source: Any) -> dict[str, Any]:
    given = {"clusterTrustBundle": {"path": "anchors.pem", **source}}
    return {"name": at, "projected": {"sources": [given]}}


async def start(session: Session, name: str, *volumes: dict[str, Any], then: str = SLEEP) -> Pod:
    """Creates a pod that shows the files of its volumes by an init container, and does `then`."""
    mounts = [{"name": it["name"], "mountPath": f"/{it['name']}"} for it in volumes]
    script = f"cat {' '.join(it['mountPath'] + '/*.pem' for it in mounts)}"
    show = {"name": "show", "image": IMAGE, "command": ["sh", "-c", script], "volumeMounts": mounts}
    whole = {"volumes": list(volumes), "initContainers": [show], "restartPolicy": "Never"}
    return await session.create(name, script=then, spec=whole, volumeMounts=mounts)


def anchors(cluster: Cluster, pod: Pod, name: str, file: str = "anchors.pem") -> set[bytes]:
    text = (cluster.volume(pod, name) / file).read_bytes()
    found = x509.load_pem_x509_certificates(text) if text else []
    return {it.public_bytes(Encoding.DER) for it in found}


def der(*authorities: Authority) -> set[bytes]:
    return {it.certificate.public_bytes(Encoding.DER) for it in authorities}


def test_trust_anchors_come_by_name_and_by_signer_and_labels(cluster: Cluster) -> None:
    one, two, three, four = (Authority(f"ca-{it}") for it in range(4))

    async def scenario(session: Session) -> None:
        prefix = SIGNER.replace("/", ":")
        await bundle(session, "plain", one.pem, two.pem)
        await bundle(session, f"{prefix}:a", two.pem, signer=SIGNER, stage="live")
        await bundle(session, f"{prefix}:b", three.pem, two.pem, signer=SIGNER, stage="canary")
        await bundle(session, "example.com:other:c", four.pem, signer="example.com/other")
        live = {"matchLabels": {"stage": "live"}}
        either = {"matchExpressions": [
            {"key": "stage", "operator": "In", "values": ["live", "canary"]}]}  # fmt: skip
        await start(
            session, "trusts",
            volume("named", name="plain"),
            volume("live", signerName=SIGNER, labelSelector=live),
            volume("either", signerName=SIGNER, labelSelector=either),
            volume("all", signerName=SIGNER, labelSelector={}),
            volume("none", signerName=SIGNER, optional=True),
            volume("nothing", signerName=SIGNER, optional=True,
                   labelSelector={"matchLabels": {"stage": "gone"}}),
            volume("missing", name="gone", optional=True),
        )  # fmt: skip
        pod = await session.until("trusts", runs)
        found = {it: anchors(cluster, pod, it) for it in ("named", "live", "either", "all")}
        assert found["named"] == der(one, two)
        assert found["live"] == der(two)
        assert found["either"] == found["all"] == der(two, three)
        assert [anchors(cluster, pod, it) for it in ("none", "nothing", "missing")] == [set()] * 3
        text = cluster.log(pod, "show")
        assert len(x509.load_pem_x509_certificates(text.encode())) == 7  # each once in its file
        await session.delete("trusts")

    cluster.run(scenario)


def test_a_pod_without_its_trust_anchors_waits_for_them(cluster: Cluster) -> None:
    one, two = Authority("late"), Authority("later")

    async def scenario(session: Session) -> None:
        then = 'cd /named; was=$(cat *); until test "$(cat *)" != "$was"; do sleep 0.1; done'
        pod = await start(session, "byname", volume("named", name="late"), then=f"{then}; cat *")
        text = await hears(session, pod, "FailedMount")
        missing = 'clustertrustbundle.certificates.k8s.io "late" not found'
        assert text == (
            'MountVolume.SetUp failed for volume "named" : '
            f"while getting ClusterTrustBundle: {missing}"
        )
        other = await start(session, "bysigner", volume("signed", signerName="example.com/late"))
        nothing = "combination of signerName and labelSelector matched zero ClusterTrustBundles"
        assert nothing in await hears(session, other, "FailedMount")
        assert (await session.until("bysigner", lambda it: it)).status.phase == "Pending"
        await bundle(session, "late", one.pem)
        pod = await session.until("byname", runs)
        assert anchors(cluster, pod, "named") == der(one)
        ref = CLUSTERTRUSTBUNDLE.ref("", "late")
        await session.client.patch(ref, {"spec": {"trustBundle": two.pem}})
        pod = await session.until("byname", lambda it: it.status.phase == "Succeeded")
        assert cluster.log(pod) == two.pem
        for name in ("byname", "bysigner"):
            await session.delete(name)

    cluster.run(scenario)


def test_more_than_a_hundred_trust_bundles_come_together(cluster: Cluster) -> None:
    one = Authority("many")
    signer = "example.com/many"

    async def scenario(session: Session) -> None:
        many = [Authority(f"many-{it}") for it in range(MANY)]
        for number, it in enumerate(many):
            await bundle(session, f"example.com:many:{number}", it.pem, one.pem, signer=signer)
        await start(session, "many", volume("all", signerName=signer, labelSelector={}))
        pod = await session.until("many", runs)
        assert anchors(cluster, pod, "all") == der(one, *many)
        await session.delete("many")

    cluster.run(scenario)


@contextlib.asynccontextmanager
async def signing(
    session: Session, authority: Authority, *, deny: bool = False
) -> AsyncIterator[list[dict[str, Any]]]:
    """A signer that answers requests; gives what it was asked, in order."""
    seen: list[dict[str, Any]] = []
    client = session.client

    async def answer(namespace: str, name: str) -> None:
        path = f"/apis/certificates.k8s.io/v1/namespaces/{namespace}/podcertificaterequests/{name}"
        request = await client.read(path)
        seen.append(request)
        status: dict[str, Any] = authority.answer(request["spec"]) if not deny else {
            "conditions": [{"type": "Denied", "status": "True", "reason": "Not", "message": "no",
                            "lastTransitionTime": stamp(datetime.now(UTC))}]}  # fmt: skip
        ref = PODCERTIFICATEREQUEST.ref(namespace, name)
        await client.patch(ref, {"status": status}, subresource="status")

    async def serve() -> None:
        after = (await client.list(PODCERTIFICATEREQUEST)).revision
        async for changes in client.watch(PODCERTIFICATEREQUEST, after=after):
            for change in changes:
                if change.type == "ADDED":
                    await answer(*change.object.key)

    task = asyncio.create_task(serve())
    try:
        yield seen
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def certified(**fields: Any) -> dict[str, Any]:
    source = {"signerName": SIGNER, "keyType": "ECDSAP256",
              "credentialBundlePath": "bundle.pem", **fields}  # fmt: skip
    return {"name": "id", "projected": {"sources": [{"podCertificate": source}]}}


def test_a_pod_has_a_key_and_a_certificate_of_its_signer(cluster: Cluster) -> None:
    authority = Authority("signer")

    async def scenario(session: Session) -> None:
        async with signing(session, authority) as seen:
            notes = {"example.com/path": "/workload"}
            await start(session, "default", certified(userAnnotations=notes))
            pod = await session.until("default", runs)
            await start(session, "hour", certified(
                maxExpirationSeconds=3600, keyType="ED25519", credentialBundlePath=None,
                keyPath="key.pem", certificateChainPath="chain.pem"))  # fmt: skip
            other = await session.until("hour", runs)
        first, second = (it["spec"] for it in seen)
        assert (first["maxExpirationSeconds"], second["maxExpirationSeconds"]) == (86400, 3600)
        assert first["unverifiedUserAnnotations"] == notes
        assert (first["podName"], first["podUID"]) == ("default", pod.metadata.uid)
        assert first["serviceAccountName"] == "default"
        assert first["nodeName"] == pod.spec.node_name
        place = cluster.volume(pod, "id")
        text = (place / "bundle.pem").read_bytes()
        assert text.startswith(b"-----BEGIN PRIVATE KEY-----")
        (certificate,) = x509.load_pem_x509_certificates(text)
        key = load_pem_private_key(text[: text.index(b"-----BEGIN CERT")], None)
        assert key.public_key() == certificate.public_key()
        certificate.verify_directly_issued_by(authority.certificate)
        lives = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        assert lives == timedelta(days=1)
        place = cluster.volume(other, "id")
        chain = (place / "chain.pem").read_bytes()
        key = load_pem_private_key((place / "key.pem").read_bytes(), None)
        assert key.public_key() == x509.load_pem_x509_certificate(chain).public_key()
        for name in ("default", "hour"):
            await session.delete(name)

    cluster.run(scenario)


def test_a_pod_whose_signer_denies_or_is_silent_does_not_start(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        pod = await start(session, "silent", certified())
        text = await hears(session, pod, "FailedMount")
        start_of = 'MountVolume.SetUp failed for volume "id" : '
        assert text == f"{start_of}credential bundle is not issued yet"
        async with signing(session, Authority("denies"), deny=True):
            pod = await start(session, "denied", certified(keyType="RSA3072"))
            text = await hears(session, pod, "FailedMount")
        told = 'reason="Not" message="no"'
        assert text == f"{start_of}PodCertificateRequest was permanently denied: {told}"
        (request,) = [
            it.key for it in (await session.client.list(PODCERTIFICATEREQUEST, "default")).items
            if it.spec.pod_name == "silent"
        ]  # fmt: skip
        # A request that is deleted unanswered is made anew, and its answer starts the pod
        async with signing(session, Authority("late")):
            await session.client.delete(PODCERTIFICATEREQUEST.ref(*request))
            await session.until("silent", runs)
        for name in ("silent", "denied"):
            await session.delete(name)

    cluster.run(scenario)


def test_lives_of_certificates_that_are_too_short_or_too_long_are_refused(cluster: Cluster) -> None:
    async def scenario(session: Session) -> None:
        for seconds in (3599, 91 * 86400 + 1):
            with pytest.raises(Invalid, match="maxExpirationSeconds"):
                await start(session, "wrong", certified(maxExpirationSeconds=seconds))

    cluster.run(scenario)
