"""A cluster on this machine as a person sees it: the commands steer and kubectl, and what is left.

Nothing here knows the package's inside; waits follow the API's own watches.
"""

from __future__ import annotations

import codecs
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[3] / "src"
# What takes a second takes a minute where others have the cores
COMMAND_SECONDS = 180.0
WAIT_SECONDS = 120.0
TIMEOUT = f"--timeout={WAIT_SECONDS:.0f}s"
# How kubectl says an age of some seconds or minutes
AGE = r"(\d+m)?\d+s"
TOOLS = "tools:1"
NGINX = "nginx:1.14.2"
FLUENTD = "gcr.io/fluentd-elasticsearch/fluentd:v2.5.1"
# A shell that stays ends at SIGTERM only if it handles it, as every first process of a container
STAY = "trap 'exit 0' TERM; echo started; sleep 3600 & wait"
CONTAINERFILE = """FROM scratch
COPY busybox /bin/busybox
COPY serve /bin/serve
RUN ["/bin/busybox", "mkdir", "-p", "/www", "/tmp", "/etc"]
RUN ["/bin/busybox", "--install", "-s", "/bin"]
ENV PATH=/bin
CMD ["/bin/sh", "/bin/serve"]
"""
SERVE = """trap 'echo stopping; exit 0' TERM
hostname > /www/index.html
echo serving
httpd -f -p ${PORT:-80} -h /www &
wait
"""
Document = dict[str, Any]


class Refused(AssertionError):
    """A command that ended with an error."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        super().__init__(f"{done.args}: {done.returncode}\n{done.stdout}\n{done.stderr}")


def environment() -> dict[str, str]:
    """Returns the environment of every command: this checkout, and nobody's kubeconfig."""
    left_out = ("KUBECONFIG", "STEER_DATA_DIR", "PYTHONDONTWRITEBYTECODE")
    kept = {name: text for name, text in os.environ.items() if name not in left_out}
    return {**kept, "PYTHONPATH": str(SOURCE)}


def steer_words(*words: str) -> list[str]:
    """Returns the command that runs steer with this interpreter."""
    return [sys.executable, "-P", "-m", "steersman", *words]


def run(words: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end, bounded in time."""
    options.setdefault("env", environment())
    return subprocess.run(
        words, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False, **options
    )


class Cluster:
    """One cluster in a data directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.data = directory / "data"
        self.kubeconfig = directory / "kubeconfig"

    def try_steer(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Runs a steer command on the data directory."""
        return run(steer_words(*words, "--data-dir", str(self.data)), **options)

    def steer(self, *words: str) -> str:
        """Runs a steer command that succeeds; returns what it printed."""
        return succeeded(self.try_steer(*words))

    def up(self, *words: str) -> Document:
        """Starts the cluster; returns what `steer up -o json` says."""
        config = ("--kubeconfig", str(self.kubeconfig))
        found: Document = json.loads(self.steer("up", "--detach", "-o", "json", *config, *words))
        return found

    @property
    def id(self) -> str:
        """The cluster's id, which all that it makes bears."""
        return str(json.loads((self.data / "cluster.json").read_text())["id"])

    def kubectl_words(self, *words: str) -> list[str]:
        """Returns a kubectl command against this cluster."""
        return ["kubectl", "--kubeconfig", str(self.kubeconfig), *words]

    def try_kubectl(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Runs kubectl."""
        return run(self.kubectl_words(*words), **options)

    def kubectl(self, *words: str, **options: Any) -> str:
        """Runs a kubectl command that succeeds; returns what it printed."""
        return succeeded(self.try_kubectl(*words, **options))

    def json(self, *words: str) -> Document:
        """Returns the document of `kubectl get ... -o json`."""
        found: Document = json.loads(self.kubectl("get", "-o", "json", *words))
        return found

    def apply(self, namespace: str, *documents: Document) -> None:
        """Applies documents in a namespace."""
        text = "".join(f"---\n{json.dumps(each)}\n" for each in documents)
        self.kubectl("apply", "-n", namespace, "-f", "-", input=text)

    def wait(self, what: str, condition: str, *words: str) -> None:
        """Waits until `kubectl wait` sees a condition."""
        self.kubectl("wait", what, f"--for={condition}", TIMEOUT, *words)

    def watch_words(self, *words: str) -> list[str]:
        """Returns the command that prints objects and all their changes, as JSON documents.

        One object is chosen by a selector: of one that is named kubectl gets the present state,
        and again as the first event of its watch, which it leaves out. What has changed between
        the two is never printed.
        """
        kind, *rest = words
        if rest and not rest[0].startswith("-"):
            rest[:1] = ["--field-selector", f"metadata.name={rest[0]}"]
        return self.kubectl_words("get", "-o", "json", "--watch", kind, *rest)

    def until(self, holds: Callable[[Document], bool], *words: str) -> Document:
        """Follows `kubectl get --watch` until something holds of an object; returns it."""
        command = self.watch_words(*words)
        last: Document = {}
        began = time.monotonic()
        with started(command, stdout=subprocess.PIPE) as process:
            for last in documents(process):
                if holds(last):
                    return last
            waited = f"{time.monotonic() - began:.0f} s, kubectl's code is {process.poll()}"
        told = f"not seen in {waited}: {json.dumps(last.get('status'))}"
        raise AssertionError(f"{told}\n{self.evidence(*words)}")

    def evidence(self, *words: str) -> str:
        """Returns what helps to see why something did not come: what the API shows when it is
        asked anew, which tells a lost watch from a status that was not written, and the logs."""
        asked = self.try_kubectl("get", "-o", "json", *words)
        logs = [
            f"==> {name}\n" + "\n".join(lines(str(self.data / "logs" / name))[-20:])
            for name in ("node.log", "server.log", "supervisor.log")
        ]
        return "\n".join(["asked anew:", asked.stdout or asked.stderr, *logs])

    def wait_endpoints(self, name: str, namespace: str, count: int) -> None:
        """Waits until a service has so many ready endpoints."""
        self.until(
            lambda found: (
                sum(bool(each["conditions"]["ready"]) for each in found.get("endpoints") or ())
                == count
            ),
            *("endpointslices", "-n", namespace, "-l", f"kubernetes.io/service-name={name}"),
        )

    def until_event(self, pod: str, reason: str, *words: str) -> Document:
        """Waits for an event of a pod; returns it."""
        chosen = f"involvedObject.name={pod},reason={reason}"
        return self.until(lambda _: True, "events", "--field-selector", chosen, *words)

    def process(self, pod: str, namespace: str) -> int:
        """Returns the process, on this machine, of a pod's first container."""
        found = self.json("pod", pod, "-n", namespace)
        uid, name = found["metadata"]["uid"], found["spec"]["containers"][0]["name"]
        group = f"pod{uid}/{name}."
        processes = [process for process, groups in self.processes() if group in groups]
        assert processes, f"no process of {pod} in {group}"
        return min(processes)

    def processes(self) -> Iterator[tuple[int, str]]:
        """Yields the processes in the cluster's control groups."""
        for path in Path("/proc").glob("[0-9]*/cgroup"):
            try:
                groups = path.read_text()
            except OSError:
                continue
            if f"/steersman-{self.id}" in groups:
                yield int(path.parent.name), groups

    def traces(self) -> dict[str, set[str]]:
        """Returns all that bears the cluster's name on this machine, by what it is."""
        name, data = self.id, str(self.data)
        links = json.loads(succeeded(run(["ip", "-json", "link"])))
        rules = succeeded(run(["nft", "list", "ruleset"]))
        return {
            "processes": set(commands(name, data)) | {str(pid) for pid, _ in self.processes()},
            "mounts": {line for line in lines("/proc/self/mountinfo") if data in line},
            "links": {link["ifname"] for link in links if name in link["ifname"]},
            "groups": set(groups_of(name)),
            "rules": rules_of(rules, name),
            "sockets": {str(path) for path in Path("/run/steersman").glob(name)},
            "namespaces": {line for line in lines("/proc/self/mountinfo") if name in line},
        }


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    """Returns what a command printed; fails the test where the command failed."""
    if done.returncode:
        raise Refused(done)
    return done.stdout


def lines(path: str) -> list[str]:
    """Returns the lines of a file of the kernel's."""
    return Path(path).read_text().splitlines()


def commands(*names: str) -> Iterator[str]:
    """Yields process and command line of those whose command line has one of the names."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        own = path.parent.name == str(os.getpid())
        if not own and "steersman" in text and any(name in text for name in names):
            yield f"{path.parent.name} {text}"


def groups_of(name: str) -> Iterator[str]:
    """Yields all control groups of a cluster."""
    for path, _, _ in os.walk("/sys/fs/cgroup"):  # other clusters' groups go meanwhile, it takes
        if f"/steersman-{name}" in path:
            yield path


def rules_of(ruleset: str, name: str) -> set[str]:
    """Returns the lines of a cluster's tables."""
    tables = ruleset.split("\ntable ")
    return {
        line
        for table in tables
        if name in table.partition("\n")[0]
        for line in [*table.split("\n")]
    }


def from_here(url: str) -> str:
    """Asks from this machine; returns the answer, or the reason why there is none."""
    done = run(["busybox", "timeout", "60", "busybox", "wget", "-qO-", url])
    return (done.stdout or done.stderr).strip()


@contextmanager
def started(words: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a process beside the test and ends it afterwards."""
    options.setdefault("env", environment())
    process = subprocess.Popen(words, **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(COMMAND_SECONDS)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def pieces(process: subprocess.Popen[bytes], seconds: float = WAIT_SECONDS) -> Iterator[str]:
    """Yields what a process prints as it comes, until it ends or the time is over."""
    assert process.stdout is not None
    deadline = time.monotonic() + seconds
    decoder = codecs.getincrementaldecoder("utf-8")()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0 and selector.select(left):
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                return
            yield decoder.decode(data)


def documents(process: subprocess.Popen[bytes]) -> Iterator[Document]:
    """Yields the JSON documents that a process prints."""
    decoder, text = json.JSONDecoder(), ""
    for piece in pieces(process):
        text = (text + piece).lstrip()
        while text:
            try:
                document, end = decoder.raw_decode(text)
            except json.JSONDecodeError:
                break
            text = text[end:].lstrip()
            yield document


def read_until(process: subprocess.Popen[bytes], wanted: str) -> str:
    """Reads what a process prints until some text is there; returns all of it."""
    text = ""
    for piece in pieces(process):
        text += piece
        if wanted in text:
            return text
    raise AssertionError(f"{wanted!r} is not in {text!r}")


def wait_gone(*processes: int, seconds: float = WAIT_SECONDS) -> None:
    """Waits until processes have ended."""
    for process in processes:
        try:
            handle = os.pidfd_open(process)
        except ProcessLookupError:
            continue
        with open(handle, "rb", buffering=0), selectors.DefaultSelector() as selector:
            selector.register(handle, selectors.EVENT_READ)
            assert selector.select(seconds), f"process {process} stays"


def kill(process: int) -> None:
    """Kills a process from outside and waits until it is gone."""
    handle = os.pidfd_open(process)
    with open(handle, "rb", buffering=0), selectors.DefaultSelector() as selector:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        selector.register(handle, selectors.EVENT_READ)
        assert selector.select(WAIT_SECONDS), f"process {process} does not end"


def make_context(directory: Path) -> Path:
    """Makes what the images of these tests are built of: a static busybox that serves."""
    directory.mkdir()
    shutil.copy(shutil.which("busybox") or "/bin/busybox", directory / "busybox")
    (directory / "Containerfile").write_text(CONTAINERFILE)
    (directory / "serve").write_text(SERVE)
    return directory


def container(script: str = STAY, **more: Any) -> Document:
    """Returns a container that runs a shell script."""
    return {"name": "main", "image": TOOLS, "command": ["/bin/sh", "-c", script], **more}


def pod(
    name: str, *containers: Document, labels: dict[str, str] | None = None, **spec: Any
) -> Document:
    """Returns a Pod of the default kind of container where none is given."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {"containers": list(containers) or [container()], **spec},
    }


def deployment(name: str, replicas: int, *containers: Document, **spec: Any) -> Document:
    """Returns a Deployment whose pods bear `app: name`."""
    template = {"metadata": {"labels": {"app": name}}, "spec": pod(name, *containers)["spec"]}
    selector = {"matchLabels": {"app": name}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": selector, "template": template, **spec},
    }


def service(name: str, **spec: Any) -> Document:
    """Returns a Service of the pods that bear `app: name`."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}], **spec},
    }


def is_ready(found: Document) -> bool:
    """Says whether a pod's Ready condition is true and it stays."""
    conditions = found.get("status", {}).get("conditions", [])
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and "deletionTimestamp" not in found["metadata"]


def state(found: Document, which: str = "state") -> Document:
    """Returns the state of a pod's first container."""
    statuses = found.get("status", {}).get("containerStatuses", [{}])
    answer: Document = statuses[0].get(which, {})
    return answer


def waiting(found: Document) -> str:
    """Returns the reason for which a pod's first container waits."""
    return str(state(found).get("waiting", {}).get("reason", ""))


def restarts(found: Document) -> int:
    """Returns how often a pod's first container was started again."""
    statuses = found.get("status", {}).get("containerStatuses", [{}])
    return int(statuses[0].get("restartCount", 0))
