"""The official client, kr8s, lightkube and an operator of kopf's do their work unmodified."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clusters import Cluster
from customs import definition, widget
from programs import PROGRAMS, SECONDS, environment, needs_clients, run

pytestmark = [pytest.mark.system, needs_clients()]
WIDGETS = "widgets.example.com"


@pytest.fixture
def widgets(cluster: Cluster) -> Iterator[None]:
    """The widgets' definition, established."""
    cluster.ok("apply", "-f", "-", stdin=json.dumps(definition()))
    cluster.ok("wait", "--for=condition=Established", f"crd/{WIDGETS}", "--timeout=30s")
    yield
    cluster.ok("delete", "crd", WIDGETS, "--timeout=30s")
    cluster.forget()


def test_the_official_client(cluster: Cluster, namespace: str) -> None:
    assert run("official.py", cluster.kubeconfig, namespace) == [
        "version v1.37.0",
        "data {'key': 'one', 'other': 'two'}",
        "refused 409 Conflict",
        "ready 2",
        "page 1 None",
        "evicted",
        "applied 1",
        f"token of system:serviceaccount:{namespace}:default",
        "deleted 404",
        "pods 0",
    ]


def test_kr8s(cluster: Cluster, namespace: str) -> None:
    assert run("with_kr8s.py", cluster.kubeconfig, namespace) == [
        "version v1.37.0",
        "pods 2",
        "replicas 1 kr8s",
        "data {'key': 'two'}",
        "watched ADDED a",
        "exists False",
    ]


def test_lightkube(cluster: Cluster, namespace: str, widgets: None) -> None:
    assert run("with_lightkube.py", cluster.kubeconfig, namespace) == [
        "data {'key': 'two', 'x': 'y'}",
        "watched ADDED a",
        "refused 409 AlreadyExists",
        "widget 3 ['w']",
        "left []",
    ]


@contextmanager
def operating(cluster: Cluster, namespace: str, log: Path) -> Iterator[None]:
    """Runs the operator in a namespace; it ends as a person ends it."""
    program = str(PROGRAMS / "widget_operator.py")
    words = ("-m", "kopf", "run", "--standalone", "-n", namespace, program)
    own = environment(cluster.kubeconfig, str(log.parent))
    with (
        log.open("w") as out,
        subprocess.Popen([sys.executable, *words], stdout=out, stderr=out, env=own) as it,
    ):
        try:
            yield
            assert it.poll() is None, log.read_text()
        finally:
            it.send_signal(signal.SIGINT)
            it.wait(SECONDS)


def test_an_operator_of_kopfs(
    cluster: Cluster, namespace: str, widgets: None, tmp_path: Path
) -> None:
    log = tmp_path / "operator.log"
    here = ("-n", namespace)

    def wait(size: int) -> None:
        condition = f"--for=jsonpath={{.status.replicas}}={size}"
        said = cluster.kubectl("wait", *here, condition, "widget/w", "--timeout=60s")
        assert said.code == 0, said.err + log.read_text()
        data = cluster.ok("get", *here, "configmap", "w", "-o", "jsonpath={.data.size}")
        assert data == str(size), log.read_text()

    with operating(cluster, namespace, log):
        cluster.ok("apply", *here, "-f", "-", stdin=json.dumps(widget("w", size=3)))
        wait(3)
        cluster.ok("patch", *here, "widget", "w", "--type=merge", "-p", '{"spec":{"size":5}}')
        wait(5)
        cluster.ok("wait", *here, "--for=create", "event", "--field-selector=reason=Made")
        cluster.ok("delete", *here, "widget", "w", "--timeout=60s")
        cluster.ok("wait", *here, "--for=delete", "configmap/w", "--timeout=60s")
    assert "farewell w" in log.read_text()
