"""`steer demo`: a cluster at work, from a Containerfile to a healed, load-balanced Deployment.

Everything it shows is done with the same commands and calls that a user has; it only narrates.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from steersman.cli.failure import Failure
from steersman.client import kubeconfig
from steersman.client.client import APIClient
from steersman.client.http import HTTPTransport
from steersman.client.interface import Client
from steersman.images import demo_image
from steersman.model.kinds.deployment import DEPLOYMENT
from steersman.model.kinds.pod import POD
from steersman.model.kinds.service import SERVICE
from steersman.world.real import RealWorld

IMAGE = "steersman.local/demo:1"
NAME = "hello"
REPLICAS = 3
REQUESTS = 30
STEP_SECONDS = 60.0
ANSWER_SECONDS = 2.0
PAUSE_SECONDS = 0.05  # before a Service that nobody answers is asked again
EXAMPLE = """example:
  steer demo"""
LABELS = {"app": NAME}


def add(name: str, parser: argparse.ArgumentParser) -> None:
    """Adds the options of `steer demo`."""
    del name
    parser.epilog = EXAMPLE
    parser.add_argument("--keep", action="store_true", help="leave the cluster up afterwards")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs the demo in a cluster of its own, which is removed again."""
    place = Path(tempfile.mkdtemp(prefix="steer-demo-"))
    directory = place / "cluster"
    config = place / "kubeconfig"
    try:
        say("Starting a cluster.")
        steer("up", "--detach", "--data-dir", str(directory), "--kubeconfig", str(config))
        build_image(place, directory)
        asyncio.run(Demo(config).run())
    except BaseException:
        show_logs(directory)
        raise
    finally:
        finish(directory, place, keep=arguments.keep)
    return 0


def steer(*words: str) -> None:
    """Runs a command of steer and shows what it says."""
    done = subprocess.run([sys.executable, "-P", "-m", "steersman", *words], check=False)
    if done.returncode:
        raise Failure(f"steer {words[0]} failed")


def say(text: str) -> None:
    """Tells what happens next."""
    print(f"\n==> {text}", flush=True)


def show_logs(directory: Path) -> None:
    """Shows the end of the cluster's own output, for whoever has to find out what went wrong."""
    if (directory / "logs").is_dir():
        steer("logs", "--tail", "20", "--data-dir", str(directory))


def finish(directory: Path, place: Path, *, keep: bool) -> None:
    """Removes the cluster, or says how to."""
    if keep:
        print(f"\nThe cluster stays up: export KUBECONFIG={place / 'kubeconfig'}")
        print(f"Remove it with: steer reset --yes --data-dir {directory}")
        return
    if (directory / "cluster.json").exists():
        say("Removing the cluster.")
        steer("reset", "--yes", "--data-dir", str(directory))
    shutil.rmtree(place, ignore_errors=True)


def build_image(place: Path, directory: Path) -> None:
    """Builds the demo's image from what this machine has."""
    context = place / "context"
    context.mkdir()
    busybox = demo_image.find_busybox()
    of = "the static busybox" if busybox else "the Python interpreter"
    say(f"Building {IMAGE} FROM scratch out of {of} of this machine.")
    demo_image.make_context(context, busybox)
    steer("build", "-t", IMAGE, "--data-dir", str(directory), str(context))


class Demo:
    """The part that talks to the API."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._world = RealWorld()

    async def run(self) -> None:
        """Deploys, asks, kills, shows the replacement."""
        client = APIClient(HTTPTransport(kubeconfig.read(self._config)), self._world)
        try:
            pods = await self._deploy(client)
            address = await self._address(client)
            real = os.geteuid() == 0
            if real:
                await self._ask(address, pods)
            else:
                print("Without root the pods are simulated: nothing answers behind the Service.")
            pods = await self._heal(client)
            if real:
                await self._ask(address, pods)
        finally:
            await client.close()

    async def _deploy(self, client: Client) -> list[Any]:
        """Returns the pods of the Deployment, once they are ready."""
        say(f"Deploying {REPLICAS} replicas and a Service.")
        await client.create(DEPLOYMENT, deployment(), namespace="default")
        await client.create(SERVICE, service(), namespace="default")
        pods = await self._until(client, lambda pods: len(ready(pods)) == REPLICAS)
        for pod in sorted(ready(pods), key=lambda pod: str(pod.metadata.name)):
            status = pod.status
            print(f"{pod.metadata.name}  {status.phase}  {status.pod_ip}  {pod.spec.node_name}")
        return ready(pods)

    async def _until(self, client: Client, holds: Callable[[list[Any]], bool]) -> list[Any]:
        """Follows the demo's pods until something holds of them; returns them."""
        selector = f"app={NAME}"
        listing = await client.list(POD, "default", labels=selector)
        pods = {pod.metadata.uid: pod for pod in listing.items}
        try:
            async with self._world.timeout(STEP_SECONDS):
                if holds(list(pods.values())):
                    return list(pods.values())
                watching = client.watch(POD, "default", after=listing.revision, labels=selector)
                async for changes in watching:
                    for change in changes:
                        take(pods, change.type, change.object)
                    if holds(list(pods.values())):
                        return list(pods.values())
        except TimeoutError:
            states = ", ".join(f"{pod.metadata.name} {pod.status.phase}" for pod in pods.values())
            raise Failure(f"not there after {STEP_SECONDS:.0f} s: {states}") from None
        raise Failure("the API ended the watch")

    async def _address(self, client: Client) -> str:
        found = await client.get(SERVICE.ref("default", NAME))
        return str(found.spec.cluster_ip)

    async def _ask(self, address: str, pods: list[Any]) -> None:
        say(f"Asking http://{address}/ {REQUESTS} times.")
        await self._reach(address, {str(pod.metadata.name) for pod in pods})
        answers: Counter[str] = Counter()
        for _ in range(REQUESTS):
            answers[await ask(address, self._world)] += 1
        for name, count in sorted(answers.items()):
            print(f"{count:3} answers from {name}")

    async def _reach(self, address: str, names: set[str]) -> None:
        """Waits until every pod has answered once: a Service's rules follow its pods a moment
        later, and nobody tells when they hold."""
        missing, last = set(names), ""
        try:
            async with self._world.timeout(STEP_SECONDS):
                while missing:
                    last = await ask(address, self._world)
                    if last not in names:
                        await self._world.sleep(PAUSE_SECONDS)
                    missing.discard(last)
        except TimeoutError:
            silent = ", ".join(sorted(missing))
            raise Failure(
                f"the Service does not reach {silent} after {STEP_SECONDS:.0f} s; last: {last}"
            ) from None

    async def _heal(self, client: Client) -> list[Any]:
        """Returns the pods after one of them was killed and replaced."""
        pods = list((await client.list(POD, "default", labels=f"app={NAME}")).items)
        victim = min(ready(pods), key=lambda pod: str(pod.metadata.name))
        say(f"Killing {victim.metadata.name}.")
        began = self._world.monotonic()
        await client.delete(POD.ref("default", victim.metadata.name), grace_seconds=0)
        uid = victim.metadata.uid

        def healed(pods: list[Any]) -> bool:
            return len([pod for pod in ready(pods) if pod.metadata.uid != uid]) == REPLICAS

        pods = await self._until(client, healed)
        seconds = self._world.monotonic() - began
        new = max(ready(pods), key=lambda pod: str(pod.metadata.creation_timestamp))
        print(f"{new.metadata.name} took its place after {seconds:.2f} s.")
        return [pod for pod in ready(pods) if pod.metadata.uid != uid]


def take(pods: dict[str, Any], kind: str, pod: Any) -> None:
    """Takes one change into a set of pods."""
    if kind == "DELETED":
        pods.pop(pod.metadata.uid, None)
    elif pod is not None:
        pods[pod.metadata.uid] = pod


def ready(pods: list[Any]) -> list[Any]:
    """Returns the pods that are ready and stay."""
    return [
        pod
        for pod in pods
        if not pod.metadata.deletion_timestamp
        and any(item.type == "Ready" and item.status == "True" for item in pod.status.conditions)
    ]


async def ask(address: str, world: RealWorld) -> str:
    """Sends one HTTP request and returns the body, or says why there is none."""
    try:
        async with world.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(address, 80)
            writer.write(b"GET / HTTP/1.0\r\nHost: hello\r\n\r\n")
            answer = await reader.read()
            writer.close()
    except (OSError, TimeoutError) as error:
        return f"nobody ({error or 'no answer in time'})"
    return answer.partition(b"\r\n\r\n")[2].decode(errors="replace").strip()


def deployment() -> dict[str, Any]:
    """Returns the demo's Deployment."""
    port = demo_image.PORT
    probe = {"httpGet": {"path": "/", "port": port}, "periodSeconds": 1}
    container = {
        "name": "web",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"containerPort": port}],
        "readinessProbe": probe,
    }
    pod = {"metadata": {"labels": LABELS}, "spec": {"containers": [container]}}
    spec = {"replicas": REPLICAS, "selector": {"matchLabels": LABELS}, "template": pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME},
        "spec": spec,
    }


def service() -> dict[str, Any]:
    """Returns the demo's Service."""
    ports = [{"port": 80, "targetPort": demo_image.PORT}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME},
        "spec": {"selector": LABELS, "ports": ports},
    }
