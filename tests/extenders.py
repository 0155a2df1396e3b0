"""A scheduler extender for tests: keeps what it was asked, and answers what the test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson

from steersman.client.interface import Transport
from steersman.client.local import LocalTransport
from steersman.scheduler.extenders.settings import Settings
from steersman.wire.message import Request, Response, User

Document = dict[str, Any]
Answer = Callable[[Document], Any]
HEAD = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}
URL = "http://127.0.0.1:9"


class Peer:
    """An extender; `answers` by verb. A verb that hangs never answers."""

    def __init__(self, **answers: Answer) -> None:
        self.answers = answers
        self.asked: list[tuple[str, Document]] = []
        self.hangs: set[str] = set()
        self.status = 200

    async def handle(self, request: Request) -> Response:
        """Answers one question."""
        verb, question = request.path.strip("/"), orjson.loads(request.body)
        self.asked.append((verb, question))
        if verb in self.hangs:
            await asyncio.Event().wait()
        answer = self.answers[verb](question)
        body = answer if isinstance(answer, bytes) else orjson.dumps(answer)
        return Response(body, self.status)

    def questions(self, verb: str) -> list[Document]:
        """Returns what was asked by a verb, in order."""
        return [question for found, question in self.asked if found == verb]

    def reach(self, _settings: Settings) -> Transport:
        """Returns the way to it without a socket."""
        return LocalTransport(self.handle, User("scheduler"))


def only(*names: str, **failed: str) -> Answer:
    """Returns an answer to a filter's question about names: these pass, others fail with a word."""

    def answer(asked: Document) -> Document:
        passed = [name for name in asked["NodeNames"] if name in names]
        return {"NodeNames": passed, "FailedNodes": failed}

    return answer
