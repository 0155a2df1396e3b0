"""Virtual time as its users see it: `steer clock` drives the cluster, kubectl looks on."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from clusters import Cluster
from ports import free_port

pytestmark = pytest.mark.system
NIGHTLY = """
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "0 3 * * *"
  successfulJobsHistoryLimit: 100
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: c, image: example.com/c:1}]
"""
DAYS = 30


@pytest.fixture(scope="module")
def virtual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster whose time is virtual and stands."""
    home = tmp_path_factory.mktemp("virtual")
    made = Cluster(home / "data", home / "kubeconfig", free_port())
    started = made.up("--clock", "virtual")
    assert started.code == 0, started.err
    made.ok("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=60s")
    clock(made, "freeze")
    yield made
    assert made.down().code == 0


def clock(cluster: Cluster, *words: str) -> Any:
    """Tells the clock something; returns what it reads then."""
    said = cluster.steer("clock", *words, "-o", "json", "--kubeconfig", str(cluster.kubeconfig))
    assert said.code == 0, said.err
    return json.loads(said.out)


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def items(cluster: Cluster, *words: str) -> list[Any]:
    found: list[Any] = json.loads(cluster.ok("get", *words, "-o", "json"))["items"]
    return found


def test_a_month_of_nights_passes_in_order(virtual: Cluster) -> None:
    virtual.ok("apply", "-f", "-", stdin=NIGHTLY)
    before = moment(clock(virtual)["now"])
    after = clock(virtual, "advance", f"{DAYS}d")
    assert moment(after["now"]) - before == DAYS * 86400
    jobs = items(virtual, "jobs")
    assert len(jobs) == DAYS
    for job in jobs:
        began = datetime.fromisoformat(job["metadata"]["creationTimestamp"])
        assert (began.hour, began.minute, began.second) == (3, 0, 0)
        assert job["status"]["succeeded"] == 1
        ended = datetime.fromisoformat(job["status"]["completionTime"])
        assert 0 <= (ended - began).total_seconds() <= 5
    assert len({job["metadata"]["creationTimestamp"] for job in jobs}) == DAYS
    virtual.ok("delete", "cronjob", "nightly")


def test_nodes_stay_ready_and_their_leases_are_fresh(virtual: Cluster) -> None:
    clock(virtual, "advance", "90d")
    now = moment(clock(virtual)["now"])
    assert "NotReady" not in virtual.ok("get", "nodes")
    for lease in items(virtual, "leases", "-n", "kube-node-lease"):
        assert -1 < now - moment(lease["spec"]["renewTime"]) <= 10


def test_what_needs_no_time_happens_while_the_clock_stands(virtual: Cluster) -> None:
    before = clock(virtual)
    virtual.ok("create", "deployment", "web", "--image=example.com/web:1", "--replicas=5")
    virtual.ok("rollout", "status", "deployment/web", "--timeout=30s")
    assert clock(virtual) == before
    virtual.ok("delete", "deployment", "web")


def test_a_rate_makes_time_pass_by_itself(virtual: Cluster) -> None:
    before = moment(clock(virtual, "rate", "3600")["now"])
    virtual.ok("create", "job", "--image=example.com/c:1", "quick")
    virtual.ok("wait", "job/quick", "--for=condition=Complete", "--timeout=30s")
    assert clock(virtual, "freeze")["frozen"]
    assert moment(clock(virtual)["now"]) - before > 600
    virtual.ok("delete", "job", "quick")


def test_tokens_and_certificates_stay_in_real_time(virtual: Cluster) -> None:
    clock(virtual, "advance", "400d")
    request = "/api/v1/namespaces/default/serviceaccounts/default/token"
    body = json.dumps({"spec": {"expirationSeconds": 3600}})
    made = json.loads(virtual.ok("create", "--raw", request, "-f", "-", stdin=body))
    expires = moment(made["status"]["expirationTimestamp"])
    assert 3000 < expires - time.time() < 3700
    token = made["status"]["token"]
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
    asked = json.dumps({**review, "spec": {"token": token}})
    answer = json.loads(virtual.ok("create", "-f", "-", "-o", "json", stdin=asked))
    assert answer["status"]["authenticated"]


def test_a_clock_never_goes_back_when_the_server_is_killed(virtual: Cluster) -> None:
    clock(virtual, "rate", "1000")
    clock(virtual, "advance", "10d")
    before = moment(clock(virtual)["now"])
    os.kill(virtual.server(), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while virtual.kubectl("get", "--raw", "/readyz").code != 0:
        assert time.monotonic() < deadline
    assert moment(clock(virtual)["now"]) >= before
    assert clock(virtual)["rate"] == 1000


def test_a_clock_goes_on_where_it_was_after_a_restart(virtual: Cluster) -> None:
    before = clock(virtual, "freeze")["now"]
    said = virtual.steer(
        *("clock", "advance", "--to", "2020-01-01T00:00:00Z"),
        *("--kubeconfig", str(virtual.kubeconfig)),
    )
    assert said.code == 1
    assert said.err.startswith(f"steer: the clock never goes back: it reads {before}")
    assert virtual.down().code == 0
    assert virtual.up().code == 0
    assert clock(virtual) == {"now": before, "rate": 0.0, "frozen": True}
    said = virtual.steer("up", "--data-dir", str(virtual.directory), "--clock", "real", "--no-node")
    assert "the clock of this cluster is virtual" in said.err


def test_a_real_clock_cannot_be_told(cluster: Cluster) -> None:
    said = cluster.steer("clock", "freeze", "--kubeconfig", str(cluster.kubeconfig))
    assert (said.code, said.err) == (
        1,
        "steer: this cluster's clock is real: one that can be told is had with "
        "steer up --clock virtual\n",
    )
