"""Clusters from the first `steer up` to the last trace: down, up again, side by side, reset."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from steered import (
    COMMAND_SECONDS,
    TIMEOUT,
    TOOLS,
    Cluster,
    Document,
    commands,
    deployment,
    environment,
    is_ready,
    pod,
    read_until,
    run,
    service,
    started,
    steer_words,
)


def test_down_leaves_nothing_and_a_second_up_continues(own: Cluster, context: Path) -> None:
    ready = own.up()
    assert set(ready["processes"]) == {"server", "node"}
    own.steer("build", "-t", TOOLS, str(context))
    own.apply("default", deployment("web", 2), service("web"), pod("alone"))
    own.wait("deployment/web", "condition=Available")
    own.wait("pod/alone", "condition=Ready")
    before = {each["metadata"]["uid"] for each in own.json("pods")["items"]}
    own.steer("down")
    assert not any(own.traces().values()), own.traces()
    assert own.try_steer("status").returncode == 1
    assert own.up()["server"] == ready["server"]
    assert {each["metadata"]["uid"] for each in own.json("pods")["items"]} == before
    own.until(running_again, "pod", "alone")
    own.kubectl("rollout", "status", "deployment/web", TIMEOUT)
    assert own.kubectl("exec", "alone", "--", "echo", "back") == "back\n"


def running_again(found: Document) -> bool:
    """Says whether a pod is ready with a container that was started anew."""
    statuses = found["status"]["containerStatuses"]
    return is_ready(found) and bool(statuses[0]["restartCount"] == 1)


def test_reset_removes_the_cluster_and_its_data(own: Cluster) -> None:
    own.up("--no-node")
    name, data = own.id, own.data
    refused = own.try_steer("reset", stdin=subprocess.DEVNULL)
    assert refused.returncode != 0 and data.exists()
    own.steer("reset", "--yes")
    assert not data.exists()
    assert not Path("/run/steersman", name).exists()


def test_an_interrupt_stops_a_cluster_in_the_foreground(own: Cluster) -> None:
    config = ("--data-dir", str(own.data), "--kubeconfig", str(own.kubeconfig))
    with started(steer_words("up", *config), stdout=subprocess.PIPE) as process:
        text = read_until(process, "export KUBECONFIG=")
        assert text.startswith("The cluster is ready at https://127.0.0.1:")
        assert f"export KUBECONFIG={own.kubeconfig}" in text
        process.send_signal(signal.SIGINT)
        assert process.wait(COMMAND_SECONDS) == 0
    assert not any(own.traces().values()), own.traces()


def test_two_clusters_run_side_by_side(cluster: Cluster, own: Cluster, context: Path) -> None:
    own.up()
    own.steer("build", "-t", TOOLS, str(context))
    for each in (cluster, own):
        each.apply("default", pod("neighbour"))
        each.wait("pod/neighbour", "condition=Ready")
    one, two = (each.json("pod", "neighbour")["status"]["podIP"] for each in (cluster, own))
    assert one != two and cluster.id != own.id
    own.steer("down")
    assert cluster.kubectl("exec", "neighbour", "--", "echo", "here") == "here\n"
    cluster.kubectl("delete", "pod", "neighbour", "--wait=false")


def test_the_files_of_a_cluster_are_their_owners_alone(own: Cluster) -> None:
    own.up("--no-node")
    assert stat.S_IMODE(own.data.stat().st_mode) == 0o700
    keys = [own.kubeconfig, *own.data.glob("certificates/*.key")]
    assert len(keys) > 2
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """Returns the one line that a failed command says on standard error."""
    assert done.returncode != 0, done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith("steer: "), line
    return line.removeprefix("steer: ")


def test_a_port_in_use_is_refused_in_one_line(own: Cluster) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = ("--kubeconfig", str(own.kubeconfig), "--port", str(port))
        line = one_line(own.try_steer("up", "--detach", "--no-node", *config))
    assert str(port) in line and "in use" in line


def test_a_second_up_is_refused_while_the_first_runs(own: Cluster) -> None:
    own.up("--no-node")
    config = ("--kubeconfig", str(own.kubeconfig))
    line = one_line(own.try_steer("up", "--detach", "--no-node", *config))
    assert line.startswith("this cluster is up already (process ")


def test_data_of_a_newer_format_is_refused_in_one_line(own: Cluster) -> None:
    own.up("--no-node")
    own.steer("down")
    file = own.data / "cluster.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 99}))
    for words in (("up", "--detach", "--kubeconfig", str(own.kubeconfig)), ("status",), ("logs",)):
        line = one_line(own.try_steer(*words))
        assert line == f"{own.data} has format 99, this steer knows 1: use a newer steer"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 1}))


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster of somebody without root."""
    found = Cluster(tmp_path)
    yield found
    without_root(found, "down")
    assert not list(commands(str(found.data)))


def without_root(own: Cluster, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs steer in a user namespace: no capability, and the user is nobody.

    Files stay the caller's, so that an interpreter in a closed home can be run.
    """
    home = str(own.data.parent)
    variables = {**environment(), "HOME": home, "XDG_RUNTIME_DIR": home}
    command = steer_words(*words, "--data-dir", str(own.data))
    return run(["unshare", "--user", *command], env=variables)


def test_without_root_nodes_are_simulated_and_the_command_says_so(unprivileged: Cluster) -> None:
    done = without_root(
        unprivileged, "up", "--detach", "--kubeconfig", str(unprivileged.kubeconfig)
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == (
        "Without root there are no real containers: one simulated node takes their place."
    )
    unprivileged.apply("default", deployment("web", 3))
    unprivileged.kubectl("rollout", "status", "deployment/web", TIMEOUT)
    (node,) = unprivileged.json("nodes")["items"]
    assert node["metadata"]["name"] == "simulated-0"


def test_a_node_without_root_is_refused_in_one_line(unprivileged: Cluster) -> None:
    line = one_line(without_root(unprivileged, "node"))
    assert line == "a node makes namespaces and mounts, which needs root: run it with sudo"
