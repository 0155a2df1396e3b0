"""Logs, exec, attach to input and port-forward, by the official client and by kr8s."""

from __future__ import annotations

import sys
import urllib.request
import warnings

import kr8s  # noqa: F401 - its warnings come with the first import
from kr8s.objects import Pod
from kubernetes import client, config
from kubernetes.stream import portforward, stream
from lightkube import Client

warnings.simplefilter("ignore")
NAMESPACE = sys.argv[1]
GET = b"GET /index.html HTTP/1.0\r\nHost: box\r\n\r\n"

config.load_kube_config()
core = client.CoreV1Api()
print("log", core.read_namespaced_pod_log("box", NAMESPACE).strip())
command = ["sh", "-c", "echo out; echo err >&2"]
ran = stream(
    core.connect_get_namespaced_pod_exec, "box", NAMESPACE,
    command=command, stdout=True, stderr=True, stdin=False, tty=False,
)  # fmt: skip
print("exec", sorted(ran.split()))
session = stream(
    core.connect_get_namespaced_pod_exec, "box", NAMESPACE,
    command=["sh"], stdout=True, stderr=True, stdin=True, tty=False, _preload_content=False,
)  # fmt: skip
session.write_stdin("echo given\nexit 4\n")
session.run_forever(timeout=60)
print("stdin", session.read_stdout().strip(), session.returncode)
forwarded = portforward(core.connect_get_namespaced_pod_portforward, "box", NAMESPACE, ports="8080")
connection = forwarded.socket(8080)
connection.setblocking(True)
connection.sendall(GET)
answer = b""
while piece := connection.recv(4096):
    answer += piece
print("forwarded", answer.split(b"\r\n\r\n")[1].decode().strip())
proxied = core.connect_get_namespaced_pod_proxy_with_path("box:8080", NAMESPACE, "index.html")
print("proxied", proxied.strip())

pod = Pod.get("box", namespace=NAMESPACE)
print("kr8s exec", pod.exec(["echo", "hello"]).stdout.decode().strip())
print("kr8s logs", list(pod.logs()))
with pod.portforward(remote_port=8080) as port:
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/index.html").read().decode()
    print("kr8s forwarded", text.strip())
print("lightkube log", [line.strip() for line in Client(namespace=NAMESPACE).log("box")])
