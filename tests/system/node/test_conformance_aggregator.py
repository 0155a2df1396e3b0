"""Upstream's row about aggregation: an API server in a pod serves a group of the cluster's."""

from __future__ import annotations

import base64
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from steered import Cluster, Refused, deployment, service

NAME = "v1alpha1.wardle.example.com"
VERSION = "wardle.example.com/v1alpha1"
GROUP = f"/apis/{VERSION}"
# A sample API server: flunders in memory, with the verbs that upstream's test asks for
SAMPLE = """
import http.server, json, ssl, urllib.parse
GROUP = "/apis/wardle.example.com/v1alpha1"
HEAD = {"apiVersion": "wardle.example.com/v1alpha1"}
VERBS = ["create", "delete", "deletecollection", "get", "list"]
FLUNDERS = {"name": "flunders", "singularName": "flunder", "kind": "Flunder",
            "namespaced": True, "verbs": VERBS}
kept, last = {}, [0]
def status(code, **more):
    return code, {"kind": "Status", "apiVersion": "v1", "code": code, "metadata": {}, **more}
class Sample(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self):
        parsed = urllib.parse.urlsplit(self.path)
        size = int(self.headers.get("Content-Length") or 0)
        code, found = self.found(parsed.path.removeprefix(GROUP), self.rfile.read(size))
        data = json.dumps(found).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    do_GET = do_POST = do_DELETE = answer
    def found(self, path, body):
        words = path.strip("/").split("/")
        if not path:
            listed = {"kind": "APIResourceList", "groupVersion": HEAD["apiVersion"]}
            return 200, {**listed, "apiVersion": "v1", "resources": [FLUNDERS]}
        if words[0] != "namespaces" or words[2] != "flunders":
            return status(404, status="Failure", reason="NotFound", message="unknown path")
        space, name = words[1], (words + [""])[3]
        if not name:
            return self.collection(space, body)
        if (space, name) not in kept:
            told = 'flunders.wardle.example.com "%s" not found' % name
            return status(404, status="Failure", reason="NotFound", message=told)
        one = kept[space, name]
        if self.command == "DELETE":
            del kept[space, name]
            return status(200, status="Success")
        return 200, one
    def collection(self, space, body):
        mine = [key for key in kept if key[0] == space]
        if self.command == "POST":
            made = json.loads(body)
            last[0] += 1
            changed = {"namespace": space, "uid": str(last[0]), "resourceVersion": str(last[0])}
            made["metadata"].update(changed)
            kept[space, made["metadata"]["name"]] = made
            return 201, made
        if self.command == "DELETE":
            for key in mine:
                del kept[key]
            return status(200, status="Success")
        listed = {"kind": "FlunderList", **HEAD, "metadata": {"resourceVersion": str(last[0])}}
        return 200, {**listed, "items": [kept[key] for key in mine]}
server = http.server.ThreadingHTTPServer(("", 8443), Sample)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/certs/tls.crt", "/certs/tls.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
Document = dict[str, Any]


def certified(host: str) -> tuple[str, str]:
    """Returns a certificate for a host that is its own authority, and its key, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sample")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    return made.public_bytes(pem).decode(), key.private_bytes(pem, form, plain).decode()


def serve(cluster: Cluster, namespace: str, image: str) -> str:
    """Runs the sample server behind a Service; returns the bundle by which it is known."""
    certificate, key = certified(f"sample-api.{namespace}.svc")
    secret = {"tls.crt": certificate, "tls.key": key}
    kept = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "sample-apiserver-secret"}}
    words = [str(Path(sys.executable).resolve()), "-I", "-c", SAMPLE]
    container = {
        "name": "sample-apiserver",
        "image": image,
        "command": words,
        "volumeMounts": [{"name": "certs", "mountPath": "/certs"}],
        "readinessProbe": {"tcpSocket": {"port": 8443}, "periodSeconds": 1},
    }
    made = deployment("sample-apiserver", 1, container)
    volume = {"name": "certs", "secret": {"secretName": "sample-apiserver-secret"}}
    made["spec"]["template"]["spec"]["volumes"] = [volume]
    labels = made["spec"]["template"]["metadata"]["labels"]
    ports = [{"port": 7443, "targetPort": 8443}]
    behind = service("sample-api", selector=labels, ports=ports)
    cluster.apply(namespace, {**kept, "stringData": secret}, made, behind)
    cluster.wait("deployment/sample-apiserver", "condition=Available", "-n", namespace)
    cluster.wait_endpoints("sample-api", namespace, 1)
    return base64.b64encode(certificate.encode()).decode()


def raw(cluster: Cluster, path: str) -> Document:
    """Returns the document at a path."""
    found: Document = json.loads(cluster.kubectl("get", "--raw", path))
    return found


def flunder(name: str) -> str:
    """Returns a flunder as JSON."""
    return json.dumps({"apiVersion": VERSION, "kind": "Flunder", "metadata": {"name": name}})


def served_flunders(cluster: Cluster, namespace: str) -> None:
    """Creates, reads, lists and deletes flunders, raw and by name."""
    path = f"{GROUP}/namespaces/{namespace}/flunders"
    cluster.kubectl("create", "--raw", path, "-f", "-", input=flunder("rest-flunder"))
    assert raw(cluster, f"{path}/rest-flunder")["metadata"]["namespace"] == namespace
    cluster.kubectl("create", "-n", namespace, "--validate=false", "-f", "-", input=flunder("dyn"))
    listed = cluster.json("flunders", "-n", namespace)["items"]
    assert sorted(it["metadata"]["name"] for it in listed) == ["dyn", "rest-flunder"]
    cluster.kubectl("delete", "-n", namespace, "flunder", "rest-flunder", "--wait=false")
    assert [it["metadata"]["name"] for it in raw(cluster, path)["items"]] == ["dyn"]
    cluster.kubectl("delete", "--raw", path)
    assert raw(cluster, path)["items"] == []
    said = cluster.try_kubectl("get", "-n", namespace, "flunder", "dyn").stderr
    assert said == 'Error from server (NotFound): flunders.wardle.example.com "dyn" not found\n'


def written_registration(cluster: Cluster) -> None:
    """Reads, patches, lists, labels and replaces the APIService, and its status."""
    place = f"/apis/apiregistration.k8s.io/v1/apiservices/{NAME}"
    status = raw(cluster, f"{place}/status")["status"]
    assert ("Available", "True") in [(it["type"], it["status"]) for it in status["conditions"]]
    change = '{"spec":{"versionPriority":400}}'
    cluster.kubectl("patch", "apiservice", NAME, "--type=merge", "-p", change)
    found = cluster.json("apiservices")["items"]
    (mine,) = [it for it in found if it["metadata"]["name"] == NAME]
    assert mine["spec"]["versionPriority"] == 400
    cluster.kubectl("label", "apiservice", NAME, "e2e-apiservice=patched")
    for kind in ("StatusUpdated", "StatusPatched"):
        current = raw(cluster, f"{place}/status")["status"]["conditions"]
        condition = {"type": kind, "status": "True", "reason": "E2E", "message": "Set from a test"}
        told = json.dumps({"status": {"conditions": [*current, condition]}})
        words = ("--subresource=status", "--type=merge", "-p", told)
        cluster.kubectl("patch", "apiservice", NAME, *words)
        kept = raw(cluster, f"{place}/status")["status"]["conditions"]
        assert kind in [it["type"] for it in kept]
    replaced = cluster.json("apiservice", NAME)
    replaced["metadata"]["labels"]["e2e-apiservice"] = "replaced"
    cluster.kubectl("replace", "-f", "-", input=json.dumps(replaced))
    chosen = cluster.json("apiservices", "-l", "e2e-apiservice=replaced")["items"]
    assert [it["metadata"]["name"] for it in chosen] == [NAME]


def test_a_server_in_a_pod_serves_a_group_of_the_clusters(
    cluster: Cluster, namespace: str, python_image: str
) -> None:
    bundle = serve(cluster, namespace, python_image)
    spec = {
        "service": {"namespace": namespace, "name": "sample-api", "port": 7443},
        "group": "wardle.example.com",
        "version": "v1alpha1",
        "caBundle": bundle,
        "groupPriorityMinimum": 2000,
        "versionPriority": 200,
    }
    head = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService"}
    made = json.dumps({**head, "metadata": {"name": NAME}, "spec": spec})
    cluster.kubectl("create", "-f", "-", input=made)
    try:
        cluster.wait(f"apiservice/{NAME}", "condition=Available")
        groups = [group["name"] for group in raw(cluster, "/apis")["groups"]]
        assert "wardle.example.com" in groups
        served_flunders(cluster, namespace)
        written_registration(cluster)
        cluster.kubectl("delete", "apiservices", "-l", "e2e-apiservice=replaced")
        assert NAME not in cluster.kubectl("get", "apiservices", "-o", "name")
    finally:
        cluster.kubectl("delete", "apiservice", NAME, "--ignore-not-found")
    with pytest.raises(Refused, match="NotFound"):
        raw(cluster, GROUP)
