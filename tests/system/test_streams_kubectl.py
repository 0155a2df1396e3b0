"""A whole cluster and the real kubectl: logs, exec, attach, cp and port-forward."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

BUSYBOX = "/usr/bin/busybox"
KUBECTL = shutil.which("kubectl")
SECONDS = 180
pytestmark = [
    pytest.mark.system,
    pytest.mark.kernel,
    pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed here"),
    pytest.mark.skipif(not os.path.exists(BUSYBOX), reason="busybox-static is not installed here"),
]
CONTAINERFILE = """\
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
ENV PATH=/bin
"""
PODS = """\
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: logs
    image: streams:1
    imagePullPolicy: Never
    stdin: true
    command: [sh, -c, 'echo one; echo two >&2; while read x; do echo got $x; done; sleep 1000']
  - name: http
    image: streams:1
    imagePullPolicy: Never
    command: [sh, -c, 'echo hello > /index.html; exec httpd -f -p 8080 -h /']
    readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: waits}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: main, image: 'nowhere:1', imagePullPolicy: Never}
"""
# kubectl speaks WebSocket first, and SPDY where it is told to
SPDY = {"KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false", "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}
OVER = pytest.mark.parametrize("over", [{}, SPDY], ids=["websocket", "spdy"])
# kubectl to 1.32 reads from the WebSocket before it has made its streams: where the server's empty
# opening message comes first, it says so in its log. Later client-go waits until all are there.
EARLY = re.compile(
    r"^E\d{4} \S+ +\d+ websocket\.go:\d+\] Unknown stream id \d, discarding message\n", re.M
)


class Cluster:
    """A cluster in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.kubeconfig = directory / "kubeconfig"

    def steer(self, command: str, *words: str) -> None:
        data = ("--data-dir", str(self.directory / "data"))
        run = [sys.executable, "-P", "-m", "steersman", command, *data, *words]
        done = subprocess.run(run, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        context = self.directory / "context"
        context.mkdir()
        shutil.copy(BUSYBOX, context / "busybox")
        (context / "Containerfile").write_text(CONTAINERFILE)
        (self.directory / "pods.yaml").write_text(PODS)
        self.steer("up", "--detach", "--store", "memory", "--kubeconfig", str(self.kubeconfig))
        self.steer("build", "-t", "streams:1", str(context))
        self.kubectl("apply", "-f", str(self.directory / "pods.yaml"))
        self.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=120s")
        reason = "{.status.containerStatuses[0].state.waiting.reason}=ErrImageNeverPull"
        self.kubectl("wait", f"--for=jsonpath={reason}", "pod/waits", "--timeout=120s")

    def begin(self, *words: str, over: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        assert KUBECTL is not None
        environment = {**os.environ, **(over or {}), "KUBECONFIG": str(self.kubeconfig)}
        pipe = subprocess.PIPE
        command = [KUBECTL, *words]
        return subprocess.Popen(
            command, bufsize=0, env=environment, stdin=pipe, stdout=pipe, stderr=pipe
        )

    def run(
        self, *words: str, given: bytes = b"", over: dict[str, str] | None = None
    ) -> tuple[int, str, str]:
        with self.begin(*words, over=over) as running:
            try:
                out, err = running.communicate(given, SECONDS)
            finally:
                running.kill()
        return running.returncode, out.decode(), EARLY.sub("", err.decode())

    def kubectl(self, *words: str, over: dict[str, str] | None = None) -> str:
        code, out, err = self.run(*words, over=over)
        assert code == 0, err
        return out


def line_of(process: subprocess.Popen[bytes]) -> bytes:
    """Returns the next line that a command prints; fails where none comes."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], SECONDS)
    if not ready:
        process.kill()
    return process.stdout.readline()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    # Not pytest's own directory: another run would remove it under a cluster that was left
    made = Cluster(Path(tempfile.mkdtemp(prefix="steer-streams-")))
    try:
        made.start()
        yield made
    finally:
        made.steer("down")
    shutil.rmtree(made.directory)


def test_logs_have_both_streams_and_follow_what_is_attached(cluster: Cluster) -> None:
    web = ("web", "-c", "logs")
    with cluster.begin("logs", *web, "-f") as following:
        # Ready says that the container runs, not that its program has said something
        assert {line_of(following), line_of(following)} == {b"one\n", b"two\n"}
        following.kill()
    assert sorted(cluster.kubectl("logs", *web).splitlines())[-2:] == ["one", "two"]
    stamped = cluster.kubectl("logs", *web, "--timestamps").splitlines()
    assert all(line.split(" ")[0].endswith("Z") for line in stamped)
    with cluster.begin("logs", *web, "-f") as following:
        assert {line_of(following), line_of(following)} == {b"one\n", b"two\n"}
        with cluster.begin("attach", "-i", *web) as attached:
            assert attached.stdin is not None
            attached.stdin.write(b"word\n")
            attached.stdin.flush()
            assert line_of(attached) == b"got word\n"
            assert line_of(following) == b"got word\n"
            attached.kill()
        following.kill()
    assert cluster.kubectl("logs", *web, "--tail=1") == "got word\n"
    assert cluster.kubectl("logs", *web, "--limit-bytes=3") in ("one", "two")


def test_logs_that_cannot_be_are_refused_in_upstreams_words(cluster: Cluster) -> None:
    for words, said in (
        (
            ("web", "-c", "logs", "--previous"),
            'previous terminated container "logs" in pod "web" not found',
        ),
        (
            ("waits",),
            'container "main" in pod "waits" is waiting to start: ErrImageNeverPull',
        ),
    ):
        code, _, err = cluster.run("logs", *words)
        assert (code, err) == (1, f"Error from server (BadRequest): {said}\n")


@OVER
def test_exec_gives_output_exit_code_and_takes_input(
    cluster: Cluster, over: dict[str, str]
) -> None:
    command = ("exec", "-i", "web", "-c", "http", "--")
    script = "cat; echo err >&2; exit 7"
    big = b"".join(b"%d\n" % number for number in range(200_000))
    code, out, err = cluster.run(*command, "sh", "-c", script, given=big, over=over)
    assert code == 7
    assert out.encode() == big
    assert err == "err\ncommand terminated with exit code 7\n"
    code, _, err = cluster.run(*command, "nothing-here", over=over)
    assert code == 1
    assert err.startswith("error: Internal error occurred: error executing command in container: ")


@OVER
def test_exec_where_nothing_runs_is_refused(cluster: Cluster, over: dict[str, str]) -> None:
    code, _, err = cluster.run("exec", "waits", "--", "true", over=over)
    assert code == 1
    refusal = 'unable to upgrade connection: container not found ("main")'
    within = "" if over else "Internal error occurred: "
    assert err == f"error: {within}{refusal}\n"


def test_files_are_copied_there_and_back(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(os.urandom(1 << 20))
    cluster.kubectl("cp", str(tmp_path / "there"), "web:/file", "-c", "http")
    cluster.kubectl("cp", "web:/file", str(tmp_path / "back"), "-c", "http")
    assert (tmp_path / "back").read_bytes() == (tmp_path / "there").read_bytes()


@OVER
def test_port_forward_reaches_what_listens_in_the_pod(
    cluster: Cluster, over: dict[str, str]
) -> None:
    words = ("port-forward", "pod/web", ":8080", "--address=127.0.0.1")
    with cluster.begin(*words, over=over) as running:
        try:
            found = re.match(rb"Forwarding from 127\.0\.0\.1:(\d+) ->", line_of(running))
            assert found
            url = f"http://127.0.0.1:{found[1].decode()}/"
            for _ in range(3):
                with urllib.request.urlopen(url, timeout=SECONDS) as answer:
                    assert answer.read() == b"hello\n"
        finally:
            running.kill()


def test_a_pod_answers_through_the_api_servers_proxy(cluster: Cluster) -> None:
    path = "/api/v1/namespaces/default/pods/web:8080/proxy/index.html"
    assert cluster.kubectl("get", "--raw", path) == "hello\n"
    nodes = cluster.kubectl("get", "nodes", "-o", "name").strip().removeprefix("node/")
    assert cluster.kubectl("get", "--raw", f"/api/v1/nodes/{nodes}/proxy/healthz") == "ok"
