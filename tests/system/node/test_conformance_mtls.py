"""Two pods that know each other by certificates of a signer of the test's own and its trust bundle
(upstream's test/e2e/auth/projected_podcertificate.go)."""

from __future__ import annotations

import json
import sys
from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from steered import Cluster, pod, service

pytestmark = pytest.mark.usefixtures("newest")

Document = dict[str, Any]
PORT = 8443
PLACE = "/identity"
SPIFFE_PATH = "example.com/spiffe-path"
LIFE = timedelta(days=1)
# Says who asks, by their certificate; who has none of this signer's is not let in
SERVER = f"""
import signal, ssl, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        names = dict(self.connection.getpeercert()["subjectAltName"])
        self.send_response(200)
        self.end_headers()
        self.wfile.write(names["URI"].encode())
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile="{PLACE}/anchors.pem")
context.verify_mode = ssl.CERT_REQUIRED
context.load_cert_chain("{PLACE}/credentials.pem")
server = HTTPServer(("", {PORT}), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print("serving", flush=True)
server.serve_forever()
"""
# Asks the server at the name that is given, without a certificate of its own and with it
CLIENT = f"""
import json, ssl, sys, urllib.request
url = "https://" + sys.argv[1] + ":{PORT}/"
def ask(known):
    context = ssl.create_default_context(cafile="{PLACE}/anchors.pem")
    if known:
        context.load_cert_chain("{PLACE}/credentials.pem")
    with urllib.request.urlopen(url, context=context, timeout=60) as answer:
        return answer.read().decode()
told = {{"known": ask(True)}}
try:
    told["unknown"] = ask(False)
except OSError as error:
    told["refused"] = str(error)
print(json.dumps(told))
"""


class Signer:
    """A signer with an authority of its own, for one namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self.name = f"{namespace}.example.com/mtls"
        self.bundle = f"{self.name.replace('/', ':')}:anchors"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._title = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        now = datetime.now(UTC).replace(microsecond=0)
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        builder = self._builder(self._title, self._key.public_key(), now)
        builder = builder.add_extension(constraints, critical=True)
        made = builder.sign(self._key, hashes.SHA256())
        self.anchors = made.public_bytes(Encoding.PEM).decode()

    def _builder(self, title: x509.Name, key: Any, now: datetime) -> x509.CertificateBuilder:
        number = x509.random_serial_number()
        builder = x509.CertificateBuilder(self._title, title, key, number)
        return builder.not_valid_before(now).not_valid_after(now + LIFE)

    def publish(self) -> None:
        """Makes the trust bundle."""
        spec = {"signerName": self.name, "trustBundle": self.anchors}
        head = {"apiVersion": "certificates.k8s.io/v1", "kind": "ClusterTrustBundle"}
        document = {**head, "metadata": {"name": self.bundle}, "spec": spec}
        self._cluster.apply(self._namespace, document)

    def sign_for(self, name: str, *hosts: str) -> None:
        """Waits for the request of a pod and grants it."""

        def of_pod(found: Document) -> bool:
            return bool(found["spec"]["podName"] == name)

        asked = self._cluster.until(of_pod, "podcertificaterequests", "-n", self._namespace)
        status = json.dumps({"status": self._granted(asked["spec"], hosts)})
        words = ("--subresource=status", "--type=merge", "-p", status)
        request = f"podcertificaterequest/{asked['metadata']['name']}"
        self._cluster.kubectl("patch", request, "-n", self._namespace, *words)

    def _granted(self, spec: Document, hosts: tuple[str, ...]) -> Document:
        request = x509.load_der_x509_csr(b64decode(spec["stubPKCS10Request"]))
        assert request.is_signature_valid
        account, path = spec["serviceAccountName"], spec["unverifiedUserAnnotations"][SPIFFE_PATH]
        identity = f"spiffe://cluster.local/ns/{self._namespace}/sa/{account}/{path}"
        names = [x509.UniformResourceIdentifier(identity), *map(x509.DNSName, hosts)]
        now = datetime.now(UTC).replace(microsecond=0)
        builder = self._builder(x509.Name([]), request.public_key(), now)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
        made = builder.sign(self._key, hashes.SHA256())
        begin, end, refresh = (
            time.strftime("%Y-%m-%dT%H:%M:%SZ")
            for time in (now, now + LIFE, now + LIFE - timedelta(hours=1))
        )
        condition = {"type": "Issued", "status": "True", "reason": "Signed", "message": "Issued"}
        return {
            "conditions": [{**condition, "lastTransitionTime": begin}],
            "certificateChain": made.public_bytes(Encoding.PEM).decode(),
            "notBefore": begin,
            "beginRefreshAt": refresh,
            "notAfter": end,
        }


@pytest.fixture
def signer(cluster: Cluster, namespace: str) -> Iterator[Signer]:
    """A signer whose bundle goes with the test."""
    found = Signer(cluster, namespace)
    found.publish()
    yield found
    cluster.kubectl("delete", "clustertrustbundle", found.bundle)


def identified(signer: Signer, name: str, image: str, program: str, *words: str) -> Document:
    """Returns a pod with an identity, which runs a program in Python."""
    python = [str(Path(sys.executable).resolve()), "-I", "-c", program, *words]
    mounts = [{"name": "identity", "mountPath": PLACE}]
    main = {"name": "main", "image": image, "command": python, "volumeMounts": mounts}
    certificate = {
        "signerName": signer.name,
        "keyType": "ECDSAP256",
        "credentialBundlePath": "credentials.pem",
        "userAnnotations": {SPIFFE_PATH: name},
    }
    bundle = {"signerName": signer.name, "labelSelector": {}, "path": "anchors.pem"}
    sources = [{"podCertificate": certificate}, {"clusterTrustBundle": bundle}]
    volumes = [{"name": "identity", "projected": {"sources": sources}}]
    return pod(name, main, labels={"app": name}, volumes=volumes, restartPolicy="Never")


def test_two_pods_know_each_other_by_their_certificates(
    cluster: Cluster, namespace: str, python_image: str, signer: Signer
) -> None:
    host = f"server.{namespace}.svc"
    served = identified(signer, "server", python_image, SERVER)
    served["spec"]["containers"][0]["readinessProbe"] = {
        "tcpSocket": {"port": PORT},
        "periodSeconds": 1,
    }
    cluster.apply(namespace, service("server", ports=[{"port": PORT}]), served)
    signer.sign_for("server", host)
    cluster.wait("pod/server", "condition=Ready", "-n", namespace)
    cluster.wait_endpoints("server", namespace, 1)
    cluster.apply(namespace, identified(signer, "client", python_image, CLIENT, host))
    signer.sign_for("client")
    cluster.wait("pod/client", "jsonpath={.status.phase}=Succeeded", "-n", namespace)
    told = json.loads(cluster.kubectl("logs", "client", "-n", namespace))
    assert told["known"] == f"spiffe://cluster.local/ns/{namespace}/sa/default/client"
    assert "unknown" not in told
    assert "required" in told["refused"], told
