"""Upstream's rows about kubectl and ServiceAccounts that need containers, on a real node."""

from __future__ import annotations

import base64
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from steered import STAY, Cluster, container, pod, read_until, service, started

pytestmark = pytest.mark.usefixtures("newest")

PLACE = "/var/run/secrets/kubernetes.io/serviceaccount"
LISTENS = {"tcpSocket": {"port": 80}, "periodSeconds": 1}
NAUTILUS = '{"image": "nautilus.jpg"}'
SHOW = f"""mkdir -p /www; echo '{NAUTILUS}' > /www/data.json
trap 'exit 0' TERM; httpd -f -p 80 -h /www & wait"""
TICK = "trap 'exit 0' TERM; while true; do echo tick; sleep 1 & wait; done"
# Who is asked to set a value, and who for the value: nobody else where that is empty
GUESTBOOK = """mkdir -p /www/cgi-bin; cat > /www/cgi-bin/guestbook <<'END'
#!/bin/sh
printf 'Content-Type: application/json\\r\\n\\r\\n'
case $QUERY_STRING in cmd=set*) to=$PRIMARY ;; *) to=$REPLICA ;; esac
if [ "$to" ]; then exec wget -qO- "http://$to/cgi-bin/guestbook?$QUERY_STRING"; fi
case $QUERY_STRING in cmd=set*) echo "${QUERY_STRING##*value=}" > /tmp/entry ;; esac
echo "{\\"data\\": \\"$(cat /tmp/entry 2>/dev/null)\\"}"
END
chmod +x /www/cgi-bin/guestbook
trap 'exit 0' TERM; httpd -f -p 80 -h /www & wait"""
DISCOVER = """
import json, ssl, urllib.request
place = "/var/run/secrets/kubernetes.io/serviceaccount/"
bearer = open(place + "token").read()
context = ssl.create_default_context(cafile=place + "ca.crt")
def fetched(url):
    request = urllib.request.Request(url, headers={"Authorization": "Bearer " + bearer})
    return json.load(urllib.request.urlopen(request, context=context, timeout=60))
found = fetched("https://kubernetes.default.svc/.well-known/openid-configuration")
told = {"discovery": found, "keys": fetched(found["jwks_uri"])}
print(json.dumps({**told, "token": open("/tokens/token").read()}))
"""
Document = dict[str, Any]


def controller(name: str, replicas: int, script: str, **environment: str) -> Document:
    """Returns a ReplicationController of pods that listen at port 80."""
    given = [{"name": key, "value": value} for key, value in environment.items()]
    one = container(script, env=given, readinessProbe=LISTENS, ports=[{"containerPort": 80}])
    template = {"metadata": {"labels": {"name": name}}, "spec": {"containers": [one]}}
    return {
        "apiVersion": "v1",
        "kind": "ReplicationController",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"name": name}, "template": template},
    }


def demonstrated(cluster: Cluster, namespace: str, replicas: int) -> None:
    """Waits for so many pods and checks that each shows its picture through the API's proxy."""
    ready = f"jsonpath={{.status.readyReplicas}}={replicas}"
    cluster.wait("rc/update-demo", ready, "-n", namespace)
    found = cluster.json("pods", "-n", namespace, "-l", "name=update-demo")["items"]
    names = [it["metadata"]["name"] for it in found if "deletionTimestamp" not in it["metadata"]]
    assert len(names) == replicas
    for name in names:
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/proxy/data.json"
        assert json.loads(cluster.kubectl("get", "--raw", path)) == {"image": "nautilus.jpg"}


def test_a_replication_controller_is_created_and_stopped(cluster: Cluster, namespace: str) -> None:
    made = json.dumps(controller("update-demo", 2, SHOW))
    cluster.kubectl("create", "-n", namespace, "-f", "-", input=made)
    demonstrated(cluster, namespace, 2)
    words = ("--grace-period=0", "--force", "--ignore-not-found")
    cluster.kubectl("delete", "-n", namespace, *words, "-f", "-", input=made)
    for kind in ("rc", "pods"):
        cluster.wait(kind, "delete", "-n", namespace, "--all")
        assert cluster.json(kind, "-n", namespace)["items"] == []


def test_a_replication_controller_is_scaled(cluster: Cluster, namespace: str) -> None:
    made = json.dumps(controller("update-demo", 2, SHOW))
    cluster.kubectl("create", "-n", namespace, "-f", "-", input=made)
    demonstrated(cluster, namespace, 2)
    for replicas in (1, 2):
        scale = ("scale", "-n", namespace, "rc", "update-demo", f"--replicas={replicas}")
        cluster.kubectl(*scale, "--timeout=5m")
        demonstrated(cluster, namespace, replicas)


def test_logs_are_filtered_by_lines_bytes_and_time(cluster: Cluster, namespace: str) -> None:
    cluster.apply(namespace, pod("logs-generator", container(TICK)))
    cluster.wait("pod/logs-generator", "condition=Ready", "-n", namespace)
    logs = ("logs", "-n", namespace, "logs-generator", "main")
    following = cluster.kubectl_words(*logs, "-f")
    with started(following, stdout=-1) as process:
        read_until(process, "tick\n" * 5)
    assert set(cluster.kubectl(*logs).splitlines()) == {"tick"}
    assert cluster.kubectl(*logs, "--tail=1") == "tick\n"
    assert cluster.kubectl(*logs, "--limit-bytes=1") == "t"
    (line,) = cluster.kubectl(*logs, "--tail=1", "--timestamps").splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(Z|[+-]\d\d:\d\d) tick", line)
    recent = cluster.kubectl(*logs, "--since=2s").splitlines()
    older = cluster.kubectl(*logs, "--since=24h").splitlines()
    assert 0 < len(recent) < len(older)


def test_a_guestbook_keeps_what_is_written_into_it(cluster: Cluster, namespace: str) -> None:
    parts = {
        "agnhost-primary": {},
        "agnhost-replica": {"PRIMARY": "agnhost-primary", "REPLICA": "agnhost-primary"},
        "frontend": {"PRIMARY": "agnhost-primary", "REPLICA": "agnhost-replica"},
    }
    counts = {"agnhost-primary": 1, "agnhost-replica": 2, "frontend": 3}
    documents = []
    for name, environment in parts.items():
        documents.append(controller(name, counts[name], GUESTBOOK, **environment))
        documents.append(service(name, selector={"name": name}, ports=[{"port": 80}]))
    text = "".join(f"---\n{json.dumps(each)}\n" for each in documents)
    cluster.kubectl("create", "-n", namespace, "-f", "-", input=text)
    for name, count in counts.items():
        cluster.wait(f"rc/{name}", f"jsonpath={{.status.readyReplicas}}={count}", "-n", namespace)
        cluster.wait_endpoints(name, namespace, count)

    def asked(query: str) -> Document:
        place = f"/api/v1/namespaces/{namespace}/services/frontend/proxy/cgi-bin/guestbook"
        found: Document = json.loads(cluster.kubectl("get", "--raw", f"{place}?{query}"))
        return found

    assert asked("cmd=get&key=messages") == {"data": ""}
    asked("cmd=set&key=messages&value=TestEntry")
    assert asked("cmd=get&key=messages") == {"data": "TestEntry"}
    cluster.kubectl("delete", "-n", namespace, "--grace-period=0", "--force", "-f", "-", input=text)
    # the pods of what was removed go in the background
    cluster.kubectl("wait", "-n", namespace, "--for=delete", "pods", "--all", "--timeout=60s")
    for kind in ("rc", "pods", "services"):
        assert cluster.json(kind, "-n", namespace)["items"] == []


def reviewed(cluster: Cluster, token: str, *audiences: str) -> Document:
    """Returns what a TokenReview says of a token."""
    spec = {"token": token, "audiences": list(audiences)}
    made = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
    said = cluster.kubectl("create", "-f", "-", "-o", "json", input=json.dumps(made))
    status: Document = json.loads(said)["status"]
    return status


def test_the_token_of_the_api_is_mounted_with_its_bundle_and_namespace(
    cluster: Cluster, namespace: str
) -> None:
    cluster.kubectl("create", "-n", namespace, "serviceaccount", "mount-test")
    cluster.apply(namespace, pod("one", container(STAY), serviceAccountName="mount-test"))
    cluster.wait("pod/one", "condition=Ready", "-n", namespace)

    def read(name: str) -> str:
        return cluster.kubectl("exec", "-n", namespace, "one", "--", "cat", f"{PLACE}/{name}")

    status = reviewed(cluster, read("token"))
    assert status["authenticated"] is True
    assert status["user"]["username"] == f"system:serviceaccount:{namespace}:mount-test"
    bundle = cluster.json("configmap", "kube-root-ca.crt", "-n", namespace)["data"]["ca.crt"]
    assert read("ca.crt") == bundle
    assert read("namespace") == namespace


def token_volume(audience: str) -> Document:
    """Returns a volume with a token."""
    source = {"path": "token", "audience": audience, "expirationSeconds": 7200}
    projected = {"sources": [{"serviceAccountToken": source}]}
    return {"name": "token", "projected": projected}


def test_a_projected_token_has_its_audience_and_its_end(cluster: Cluster, namespace: str) -> None:
    mount = {"name": "token", "mountPath": "/tokens"}
    volumes = [token_volume("sample-audience")]
    made = pod("one", container(STAY, volumeMounts=[mount]), volumes=volumes)
    cluster.apply(namespace, made)
    cluster.wait("pod/one", "condition=Ready", "-n", namespace)
    token = cluster.kubectl("exec", "-n", namespace, "one", "--", "cat", "/tokens/token")
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", token)
    claims = part(token, 1)
    assert claims["aud"] == ["sample-audience"]
    assert claims["exp"] - claims["iat"] == 7200
    assert claims["kubernetes.io"]["pod"]["name"] == "one"
    assert reviewed(cluster, token, "sample-audience")["authenticated"] is True
    assert not reviewed(cluster, token, "other").get("authenticated")


def part(token: str, index: int) -> Document:
    """Returns the head (0) or the claims (1) of a token."""
    found: Document = json.loads(decoded(token.split(".")[index]))
    return found


def decoded(text: str) -> bytes:
    """Returns the bytes of a text in the base64 of URLs, without its padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_a_pod_finds_the_keys_that_verify_its_token(
    cluster: Cluster, namespace: str, python_image: str
) -> None:
    words = [str(Path(sys.executable).resolve()), "-I", "-c", DISCOVER]
    mounts = [{"name": "token", "mountPath": "/tokens"}]
    asking = {"name": "main", "image": python_image, "command": words, "volumeMounts": mounts}
    volumes = [token_volume("oidc-discovery-test")]
    cluster.apply(namespace, pod("asking", asking, restartPolicy="Never", volumes=volumes))
    cluster.wait("pod/asking", "jsonpath={.status.phase}=Succeeded", "-n", namespace)
    told = json.loads(cluster.kubectl("logs", "asking", "-n", namespace))
    head, claims = part(told["token"], 0), part(told["token"], 1)
    assert told["discovery"]["issuer"] == claims["iss"]
    assert claims["aud"] == ["oidc-discovery-test"]
    assert claims["sub"] == f"system:serviceaccount:{namespace}:default"
    assert head["alg"] in told["discovery"]["id_token_signing_alg_values_supported"]
    (key,) = [each for each in told["keys"]["keys"] if each["kid"] == head["kid"]]
    assert (key["kty"], key["crv"], head["alg"]) == ("EC", "P-256", "ES256")
    x, y = (int.from_bytes(decoded(key[name])) for name in "xy")
    signed, _, signature = told["token"].rpartition(".")
    halves = decoded(signature)
    r, s = int.from_bytes(halves[:32]), int.from_bytes(halves[32:])
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    told_by = utils.encode_dss_signature(r, s)
    public.verify(told_by, signed.encode(), ec.ECDSA(hashes.SHA256()))
