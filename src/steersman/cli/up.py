"""`steer up`: supervises the processes of one cluster from an empty directory to ready, and down.

The supervisor makes certificates while the server loads, and holds no state but the lock.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from steersman.cli.apiserver import options
from steersman.cli.children import HANDLED, STATUS, Children, News, move, tail
from steersman.cli.clock import option as clock
from steersman.cli.directory import Directory, Identity, Lock, default_path
from steersman.cli.failure import Failure, Progress
from steersman.cli.options import controllers, kubelet
from steersman.cli.options.scheduler import add_option, configuration

KUBECONFIG = Path("~/.kube/steer.config")
READY_SECONDS = 60.0
# epoll_wait takes milliseconds in 31 bits
LONGEST_WAIT_SECONDS = 2_000_000.0
EXAMPLE = """example:
  steer up --detach
  export KUBECONFIG=~/.kube/steer.config
  kubectl get nodes"""


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """Adds the options of `steer up`."""
    del name
    parser.epilog = EXAMPLE
    parser.add_argument("--detach", action="store_true", help="return once the cluster is ready")
    parser.add_argument("--data-dir", type=Path, default=default_path(), help="where it lives")
    parser.add_argument("--kubeconfig", type=Path, default=KUBECONFIG, help="file to write")
    parser.add_argument("--port", type=int, help="port of the API (default: 6443 or a free one)")
    parser.add_argument("--store", choices=("sqlite", "memory"), help="default: sqlite")
    parser.add_argument("--no-node", action="store_true", help="no node: the control plane alone")
    parser.add_argument("--simulated-nodes", type=int, default=0, metavar="N", help="N nodes more")
    clock.add_option(parser)
    add_option(parser)
    options.add_options(parser)
    controllers.add_options(parser)
    kubelet.add_options(parser)
    parser.add_argument("--split", action="store_true", help="controllers in their own process")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Starts the cluster and stays with it, or leaves it to a detached supervisor."""
    check(arguments)
    if arguments.detach:
        return _detach(arguments)
    return Supervisor(arguments, lambda ready: report(arguments, ready)).run()


def check(arguments: argparse.Namespace) -> None:
    """Refuses options that cannot be."""
    if arguments.simulated_nodes < 0:
        raise Failure("--simulated-nodes takes a number from 0")
    if arguments.port is not None and not 0 < arguments.port < 65536:
        raise Failure("--port takes a number from 1 to 65535")
    clock.check(arguments)
    configuration(arguments.scheduler_config)
    options.check(arguments)
    controllers.read(arguments)
    kubelet.check(arguments)


def _detach(arguments: argparse.Namespace) -> int:
    """Forks the supervisor into a session of its own and waits until it says it is ready."""
    directory = Directory(arguments.data_dir)
    directory.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = directory.logs / "supervisor.log"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        move(log, os.open(os.devnull, os.O_RDONLY), writing)
        return Supervisor(arguments, lambda ready: _tell(STATUS, ready)).run()
    os.close(writing)
    with Progress() as progress, os.fdopen(reading, "rb") as pipe:
        progress.say("starting the cluster")
        line = pipe.readline()
    if not line:
        os.waitpid(child, 0)
        raise Failure(tail(log, 1).removeprefix("steer: ") or "the supervisor ended")
    report(arguments, json.loads(line))
    return 0


def _tell(descriptor: int, ready: dict[str, Any]) -> None:
    """Tells the process that waits, which ends at that."""
    os.write(descriptor, json.dumps(ready).encode() + b"\n")
    os.close(descriptor)


def report(arguments: argparse.Namespace, ready: dict[str, Any]) -> None:
    """Tells the person what is there now."""
    if arguments.output == "json":
        print(json.dumps(ready))
        return
    for line in ready["notes"]:
        print(line)
    print(f"The cluster is ready at {ready['server']} after {ready['seconds']:.2f} s.")
    print(f"export KUBECONFIG={ready['kubeconfig']}")
    sys.stdout.flush()


class Supervisor:
    """One run of a cluster; `on_ready` is told what is there then."""

    def __init__(
        self, arguments: argparse.Namespace, on_ready: Callable[[dict[str, Any]], None]
    ) -> None:
        self._arguments = arguments
        self._on_ready = on_ready
        self._began = time.monotonic()
        self._directory = Directory(arguments.data_dir)
        self._lock = Lock(self._directory)
        self._children = Children(self._directory.logs)
        self._stopping = False
        self._notes: list[str] = []
        self._waits: set[str] = set()
        self._identity: Identity | None = None

    def run(self) -> int:
        """Starts, waits for a signal, stops."""
        self._directory.check()
        self._directory.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock.take()
        try:
            return self._run()
        finally:
            self._lock.release()

    def _prepare(self) -> Identity:
        """Returns the cluster's identity, made now where the directory is empty."""
        from steersman.cli import choose

        directory, arguments = self._directory, self._arguments
        if directory.exists():
            known = directory.identity()
            port = choose.choose_port(arguments.port, known.port)
            identity = known._replace(port=port, store=arguments.store or known.store)
            with choose.Reservations(directory.runs() / "ranges") as reservations:
                reservations.take(known.pod_cidr, directory.path, known.id)
        else:
            identity = self._choose()
        directory.create(identity)
        return identity

    def _choose(self) -> Identity:
        """Returns a new identity whose address ranges no other cluster of this machine has."""
        from steersman.cli import choose

        arguments, own = self._arguments, self._directory.path
        with choose.Reservations(self._directory.runs() / "ranges") as reservations:
            port = choose.choose_port(arguments.port, None, reservations.ports(own))
            pods, services = reservations.choose(choose.read_routes(), own)
            store, kept = arguments.store or "sqlite", clock.chosen(arguments)
            identity = Identity(choose.new_id(), port, store, services, pods, kept)
            self._directory.create(identity)
            reservations.take(pods, own, identity.id)
        return identity

    def _run(self) -> int:
        self._watch_signals()
        try:
            self._start()
            self._identity = identity = self._prepare()
            kubeconfig = self._certify(identity)
            for name in self._waits - {"control"}:
                self._children.release(name)
            with Progress() as progress:
                self._until_ready(progress)
            self._ready(identity, kubeconfig)
            self._serve()
        finally:
            self._stop()
        return 0

    def _start(self) -> None:
        """Starts the processes, which takes longest, before anything else: each loads its code
        and waits to be released."""
        self._directory.logs.mkdir(mode=0o700, exist_ok=True)
        words = ["--data-dir", str(self._directory.path)]
        machine, simulated = self._nodes()
        controls = ["--simulated-nodes", str(simulated), *controllers.words(self._arguments)]
        if (path := self._arguments.scheduler_config) is not None:
            controls += ["--scheduler-config", str(path.resolve())]
        server = [*words, *options.words(self._arguments)]
        if not machine:
            server.append("--no-node")
        if self._arguments.split:
            self._children.start("server", [*server, "--no-controllers"])
            self._children.start("control", [*words, *controls])
            self._waits.add("control")
        else:
            self._children.start("server", [*server, *controls])
        self._waits.add("server")
        if machine:
            self._children.start("node", [*words, *kubelet.words(self._arguments)])
            self._waits.add("node")

    def _nodes(self) -> tuple[bool, int]:
        """Returns whether this machine is a node, and how many are simulated."""
        arguments = self._arguments
        if arguments.no_node:
            return False, arguments.simulated_nodes
        if os.geteuid() != 0:
            self._notes.append(
                "Without root there are no real containers: one simulated node takes their place."
            )
            return False, arguments.simulated_nodes or 1
        return True, arguments.simulated_nodes

    def _certify(self, identity: Identity) -> Path:
        """Makes or renews certificates and writes the kubeconfig."""
        from steersman.cli.certify import certify, write_kubeconfig

        path: Path = self._arguments.kubeconfig.expanduser()
        write_kubeconfig(certify(self._directory, identity), identity, path)
        return path

    def _watch_signals(self) -> None:
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing)
        self._children.listen(reading)
        for number in HANDLED:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: object) -> None:
        del number, frame
        self._stopping = True

    def _until_ready(self, progress: Progress) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while self._waits and not self._stopping:
            progress.say(f"waiting for the {' and the '.join(sorted(self._waits))}")
            left = deadline - time.monotonic()
            if left <= 0:
                raise Failure(f"not ready in {READY_SECONDS:.0f} s: see `steer logs`")
            for news in self._children.news(left):
                self._hear_start(news)

    def _hear_start(self, news: News) -> None:
        if news.said is None:
            log = self._directory.logs / f"{news.child}.log"
            raise Failure(f"the {news.child} ended while starting: {tail(log, 1)}")
        if news.said.get("state") == "ready":
            self._waits.discard(news.child)
            if news.child == "server" and "control" in self._waits:
                self._children.release("control")  # its socket is there
        if note := news.said.get("note"):
            self._notes.append(note)

    def _ready(self, identity: Identity, kubeconfig: Path) -> None:
        self._on_ready(
            {
                "server": f"https://127.0.0.1:{identity.port}",
                "kubeconfig": str(kubeconfig),
                "seconds": time.monotonic() - self._began,
                "processes": self._children.processes(),
                "notes": self._notes,
            }
        )

    def _serve(self) -> None:
        """Keeps the children running until a signal comes."""
        while not self._stopping:
            seconds = self._renewal_seconds()
            if seconds <= 0:
                self._renew()
                seconds = self._renewal_seconds()
            for news in self._children.news(seconds):
                if news.said is None and not self._stopping:
                    self._restart(news)

    def _renewal_seconds(self) -> float:
        """Returns how long the certificates are good before they are to be renewed."""
        from steersman.listen import certificates

        found = self._directory.certificates.glob("*.crt")
        due = min(certificates.renewal_due(path, time.time()) for path in found)
        return max(0.0, min(due, LONGEST_WAIT_SECONDS))

    def _renew(self) -> None:
        """Makes new certificates and tells the processes to load them."""
        assert self._identity is not None
        self._certify(self._identity)
        for process in self._children.processes().values():
            os.kill(process, signal.SIGHUP)

    def _restart(self, news: News) -> None:
        how = f"signal {-news.code}" if news.code < 0 else f"exit code {news.code}"
        print(f"The {news.child} ended with {how} and is started again.", flush=True)
        if not self._children.restart(news.child):
            raise Failure(f"the {news.child} does not stay up: see `steer logs {news.child}`")

    def _stop(self) -> None:
        """Ends the node with all of its containers, then those who use the server, then it."""
        self._children.stop("node")
        if self._identity is not None and os.geteuid() == 0:
            from steersman.cli.clean import clean

            clean(self._directory, self._identity)
        self._children.stop("control")
        self._children.stop("server")
