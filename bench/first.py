"""What first uses cost a client that waits for them: a definition until its kind is served, a kind
until its validators are made.

One connection and one request at a time, so that it is the server that is measured.
"""

from __future__ import annotations

import http.client
import json
import time
from pathlib import Path
from typing import Any

import lists

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
# Kinds that nobody has written before on a cluster without nodes
KINDS = {"StatefulSet": "statefulsets", "DaemonSet": "daemonsets", "ReplicaSet": "replicasets"}
LATER = 5


def ask(connection: http.client.HTTPSConnection, method: str, path: str, body: Any = None) -> int:
    """Sends a request and reads its answer; returns the code."""
    text = json.dumps(body) if body is not None else None
    connection.request(method, path, text, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def served(config: Path, definition: dict[str, Any], path: str) -> float:
    """Returns the seconds from sending a definition to the first list of what it defines."""
    connection = lists.connect(config)
    began = time.perf_counter()
    if ask(connection, "POST", DEFINITIONS, definition) != 201:
        raise RuntimeError("the definition was refused")
    while ask(connection, "GET", path) != 200:
        pass
    return time.perf_counter() - began


def compiled(config: Path, template: dict[str, Any]) -> list[float]:
    """Returns, for each kind, by how many seconds its first creation is longer than a later one."""
    connection = lists.connect(config)
    found = []
    for kind, plural in KINDS.items():
        spec = {"selector": {"matchLabels": template["metadata"]["labels"]}, "template": template}
        body = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "first"}, "spec": spec}
        if kind == "StatefulSet":
            spec["serviceName"] = "first"
        took = []
        for _ in range(1 + LATER):
            began = time.perf_counter()
            path = f"/apis/apps/v1/namespaces/default/{plural}?dryRun=All"
            if ask(connection, "POST", path, body) != 201:
                raise RuntimeError(f"the {kind} was refused")
            took.append(time.perf_counter() - began)
        found.append(took[0] - min(took[1:]))
    return found
