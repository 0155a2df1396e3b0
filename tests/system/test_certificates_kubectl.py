"""A user made with kubectl: a key, a request, an approval, a certificate that authenticates."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from clusters import Cluster

pytestmark = pytest.mark.system


def key_and_request(directory: Path) -> tuple[Path, str]:
    """Makes the key of jane in a file and returns it with her request in base64."""
    key = ec.generate_private_key(ec.SECP256R1())
    path = directory / "jane.key"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    pairs = ((NameOID.ORGANIZATION_NAME, "developers"), (NameOID.COMMON_NAME, "jane"))
    subject = x509.Name([x509.NameAttribute(kind, text) for kind, text in pairs])
    made = x509.CertificateSigningRequestBuilder().subject_name(subject)
    pem = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return path, b64encode(pem).decode()


def test_an_approved_request_ends_with_a_certificate_that_authenticates(
    cluster: Cluster, tmp_path: Path
) -> None:
    key, request = key_and_request(tmp_path)
    document = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "jane"},
        "spec": {
            "request": request,
            "signerName": "kubernetes.io/kube-apiserver-client",
            "expirationSeconds": 86400,
            "usages": ["client auth"],
        },
    }
    cluster.ok("create", "-f", "-", stdin=json.dumps(document))
    said = cluster.ok("certificate", "approve", "jane")
    assert said == "certificatesigningrequest.certificates.k8s.io/jane approved\n"
    cluster.ok("wait", "csr/jane", "--for=jsonpath={.status.certificate}", "--timeout=60s")
    shown = cluster.ok("get", "csr", "jane", "--no-headers").split()
    assert shown[-1] == "Approved,Issued"
    encoded = cluster.ok("get", "csr", "jane", "-o", "jsonpath={.status.certificate}")
    certificate = tmp_path / "jane.crt"
    certificate.write_bytes(b64decode(encoded))
    cluster.ok("config", "set-credentials", "jane", f"--client-certificate={certificate}")
    cluster.ok("config", "set-credentials", "jane", f"--client-key={key}")
    who = json.loads(cluster.ok("--user=jane", "auth", "whoami", "-o", "json"))
    user = who["status"]["userInfo"]
    assert user["username"] == "jane"
    assert user["groups"] == ["developers", "system:authenticated"]
    cluster.ok("delete", "csr", "jane")
