"""What was acknowledged is there after the server was killed, at whatever moment.

Writers create objects over TLS; the server's process is killed without warning; the supervisor
starts it again. STEER_DURABILITY_ROUNDS sets how often (5 by default, 100 before a release).
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import random
import signal
import ssl
import threading
import time
from typing import Any

import pytest
import yaml

from clusters import Cluster

pytestmark = pytest.mark.system

ROUNDS = int(os.environ.get("STEER_DURABILITY_ROUNDS", "5"))
WRITERS = 4
BACK_SECONDS = 120.0
# between two tries of a writer whose server is away; nothing tells a client that it is back
RETRY_SECONDS = 0.02
# The supervisor gives a server up that dies more often than this within its first minute
YOUNG_DEATHS = 5
PATH = "/api/v1/namespaces/default/configmaps"


class Api:
    """A connection to the server with the administrator's certificate."""

    def __init__(self, cluster: Cluster) -> None:
        document = yaml.safe_load(cluster.kubeconfig.read_text())
        user, server = document["users"][0]["user"], document["clusters"][0]["cluster"]
        self._context = ssl.create_default_context(cadata=_decoded(server).decode())
        files = []
        for field in ("client-certificate-data", "client-key-data"):
            file = cluster.kubeconfig.with_name(f"{field}.pem")
            file.write_bytes(base64.b64decode(user[field]))
            files.append(str(file))
        self._context.load_cert_chain(*files)
        self._port = cluster.port

    def connect(self) -> http.client.HTTPSConnection:
        """Returns a new connection."""
        return http.client.HTTPSConnection(
            "127.0.0.1", self._port, context=self._context, timeout=BACK_SECONDS
        )

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Asks once on a connection of its own; raises OSError where nobody answers."""
        connection = self.connect()
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


def _decoded(server: dict[str, str]) -> bytes:
    return base64.b64decode(server["certificate-authority-data"])


class Writer(threading.Thread):
    """Creates objects one after the other and remembers which were acknowledged."""

    def __init__(
        self, api: Api, name: str, stop: threading.Event, heard: threading.Semaphore
    ) -> None:
        super().__init__()
        self._api = api
        self._stop_event = stop
        self._heard = heard
        self._prefix = name
        self.acknowledged: dict[str, str] = {}

    def run(self) -> None:
        """Writes until told to stop."""
        number = 0
        connection = self._api.connect()
        while not self._stop_event.is_set():
            number += 1
            name = f"{self._prefix}-{number}"
            body = json.dumps({"metadata": {"name": name}, "data": {"number": str(number)}})
            try:
                connection.request("POST", PATH, body, {"content-type": "application/json"})
                answer = connection.getresponse()
                document = json.loads(answer.read())
            except (OSError, http.client.HTTPException, ValueError):
                connection.close()
                time.sleep(RETRY_SECONDS)
                continue
            if answer.status == 201:
                self.acknowledged[name] = document["metadata"]["resourceVersion"]
                self._heard.release()
        connection.close()


def until_back(api: Api) -> None:
    """Waits until the server answers that it is ready."""
    deadline = time.monotonic() + BACK_SECONDS
    while time.monotonic() < deadline:
        try:
            connection = api.connect()
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except (OSError, http.client.HTTPException):
            time.sleep(RETRY_SECONDS)
        finally:
            connection.close()
    raise AssertionError("the server did not come back")


def test_every_acknowledged_write_survives_a_killed_server(lasting: Cluster) -> None:
    api, chance = Api(lasting), random.Random(1)
    expected: dict[str, str] = {}
    for number in range(ROUNDS):
        stop, heard = threading.Event(), threading.Semaphore(0)
        writers = [Writer(api, f"r{number}-w{n}", stop, heard) for n in range(WRITERS)]
        for writer in writers:
            writer.start()
        assert all(heard.acquire(timeout=BACK_SECONDS) for _ in range(WRITERS))
        time.sleep(0.4 * chance.random())  # the moment is what is tested
        os.kill(lasting.server(), signal.SIGKILL)
        stop.set()
        for writer in writers:
            writer.join(BACK_SECONDS)
            assert not writer.is_alive()
            expected |= writer.acknowledged
        if number % YOUNG_DEATHS == YOUNG_DEATHS - 1:
            assert lasting.down().code == 0
            assert lasting.up().code == 0
        until_back(api)
        code, listed = api.ask("GET", PATH)
        assert code == 200
        found = {
            item["metadata"]["name"]: item["metadata"]["resourceVersion"]
            for item in listed["items"]
        }
        lost = {name for name, revision in expected.items() if found.get(name) != revision}
        assert not lost, f"round {number}: lost {sorted(lost)[:5]} of {len(expected)}"
        newest = max(map(int, expected.values()), default=0)
        assert int(listed["metadata"]["resourceVersion"]) >= newest
    assert len(expected) > ROUNDS
