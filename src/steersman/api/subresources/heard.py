"""Subresources that are no writes of their object: what is sent to them (a Binding, an Eviction, a
TokenRequest, a Scale), or what a stream is opened with, passes webhooks and policies here.

Follows apiserver's endpoints/handlers/create.go and rest.go (ConnectResource).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from msgspec.structs import replace

from steersman.api import body
from steersman.api.admission.chain import Chain, Change
from steersman.api.call import Call
from steersman.api.patches import Patch
from steersman.api.present import PLAIN
from steersman.api.server import Answer, Subresource
from steersman.api.subresources.scale import DEFINITION as SCALE
from steersman.model import decode
from steersman.model.kind import Document
from steersman.wire.message import Request, Response

# Group of a definition's package -> the group of its kinds
_GROUPS: Final = {"core": "", "policy": "policy", "authentication": "authentication.k8s.io"}
# subresource -> the kind of its options, and which parameters are booleans, texts and lists
_STREAM: Final = (("stdin", "stdout", "stderr", "tty"), ("container",), ("command",))
_OPTIONS: Final[Mapping[tuple[str, str], tuple[str, Any]]] = {
    ("pods", "exec"): ("PodExecOptions", _STREAM),
    ("pods", "attach"): ("PodAttachOptions", (*_STREAM[:2], ())),
    ("pods", "portforward"): ("PodPortForwardOptions", ((), (), ())),
    ("pods", "proxy"): ("PodProxyOptions", ((), ("path",), ())),
    ("services", "proxy"): ("ServiceProxyOptions", ((), ("path",), ())),
    ("nodes", "proxy"): ("NodeProxyOptions", ((), ("path",), ())),
}


class Heard:
    """Puts the question before the answer; where nobody asks, it costs a look-up."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def created(self, handle: Subresource, definition: str) -> Subresource:
        """Returns what answers a document of a definition that is sent to be created."""
        package, version, kind = definition.removeprefix("io.k8s.api.").split(".")
        head = (_GROUPS[package], version, kind)

        def answer(call: Call) -> Answer:
            if not self._chain.hears(call, "CREATE"):
                return handle(call)
            return self._create(call, handle, definition, head)

        return answer

    def connected(self, handle: Subresource) -> Subresource:
        """Returns what answers a request to connect."""

        def answer(call: Call) -> Answer:
            if not self._chain.hears(call, "CONNECT"):
                return handle(call)
            return self._connect(call, handle)

        return answer

    def scaled(self, handle: Subresource) -> Subresource:
        """Returns what answers for a Scale."""

        def answer(call: Call) -> Answer:
            if call.attributes.verb == "get" or not self._chain.hears(call, "UPDATE"):
                return handle(call)
            return self._scale(call, handle)

        return answer

    async def _scale(self, call: Call, handle: Subresource) -> Response:
        plain = replace(_with_verb(call, "get"), presentation=PLAIN)
        shown = await _awaited(handle(plain))
        assert isinstance(shown.body, bytes)
        old = orjson.loads(shown.body)
        if call.attributes.verb == "update":
            given = body.read_as(call, SCALE)
        else:
            patched = Patch.parse(call, 0.0).apply(call, old)
            given = decode.admit(SCALE, patched, "Scale", "v1").document
        document = {**given, "kind": "Scale", "apiVersion": "autoscaling/v1"}
        change = Change(call, "UPDATE", document, old, head=("autoscaling", "v1", "Scale"))
        made = (await self._chain.pass_outside(change)).new
        if made is not document:  # what was patched is now the whole
            call = replace(_with_verb(call, "update"), request=_resent(call.request, made))
        return await _awaited(handle(call))

    async def _create(
        self, call: Call, handle: Subresource, definition: str, head: tuple[str, str, str]
    ) -> Response:
        group, version, kind = head
        given = body.read_as(call, definition) if call.request.body else {}
        api_version = f"{group}/{version}" if group else version
        document = {**given, "kind": kind, "apiVersion": api_version}
        change = Change(call, "CREATE", document, None, head=head)
        made = (await self._chain.pass_outside(change)).new
        if made is not document:
            call = replace(call, request=_resent(call.request, made))
        return await _awaited(handle(call))

    async def _connect(self, call: Call, handle: Subresource) -> Response:
        document = options(call)
        change = Change(call, "CONNECT", document, None, head=("", "v1", document["kind"]))
        await self._chain.pass_outside(change)
        return await _awaited(handle(call))


def options(call: Call) -> Document:
    """Returns what a connection is asked for with, as an object."""
    kind, (flags, texts, lists) = _OPTIONS[call.kind.plural, call.subresource]
    request = call.request
    made: Document = {"kind": kind, "apiVersion": "v1"}
    made |= {name: True for name in flags if request.flag(name)}
    made |= {name: request.param(name) for name in texts if request.param(name)}
    made |= {name: list(request.params[name]) for name in lists if name in request.params}
    if "path" in texts and (path := _rest(call)):
        made["path"] = path
    return made


def _rest(call: Call) -> str:
    """Returns what of a path comes after the proxy."""
    found = call.request.path.partition(f"/{call.name}/proxy")[2]
    return found.removeprefix("/")


def _resent(request: Request, document: Document | None) -> Request:
    """Returns a request with another body."""
    headers = {**request.headers, "content-type": "application/json"}
    return Request(
        request.method,
        request.path,
        request.query,
        headers,
        orjson.dumps(document),
        peer=request.peer,
        user=request.user,
    )


def _with_verb(call: Call, verb: str) -> Call:
    return replace(call, attributes=call.attributes._replace(verb=verb))


async def _awaited(answer: Answer) -> Response:
    return answer if isinstance(answer, Response) else await answer
