"""Streams of real containers, by clients from PyPI."""

from __future__ import annotations

from steered import Cluster, container, pod

from programs import needs_clients, run

pytestmark = needs_clients()
SERVE = (
    "mkdir -p /tmp/www; echo hi > /tmp/www/index.html; "
    "echo hello; exec httpd -f -p 8080 -h /tmp/www"
)


def test_logs_exec_and_port_forward(cluster: Cluster, namespace: str) -> None:
    cluster.apply(namespace, pod("box", container(SERVE)))
    cluster.wait("pod/box", "condition=Ready", "-n", namespace)
    assert run("streams.py", cluster.kubeconfig, namespace) == [
        "log hello",
        "exec ['err', 'out']",
        "stdin given 4",
        "forwarded hi",
        "proxied hi",
        "kr8s exec hello",
        "kr8s logs ['hello']",
        "kr8s forwarded hi",
        "lightkube log ['hello']",
    ]
