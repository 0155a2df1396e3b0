"""The token subresource of service accounts (KEP-1205)."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from steersman.api import body
from steersman.api.access import node_audience, node_restriction, token_request
from steersman.api.access.authorization import Authorizer
from steersman.api.access.node_restriction import Write
from steersman.api.access.tokens import Tokens
from steersman.api.call import Call
from steersman.model.kind import Document
from steersman.model.ref import Ref
from steersman.wire.message import Response

DEFINITION = "io.k8s.api.authentication.v1.TokenRequest"


class TokenRequest:
    """Answers `token` on service accounts."""

    def __init__(
        self, tokens: Tokens, find: Callable[[Ref], Document | None], authorizer: Authorizer
    ) -> None:
        self._tokens = tokens
        self._find = find
        self._authorizer = authorizer

    def handle(self, call: Call) -> Response:
        """Issues a token; raises NotFound, Invalid, and Forbidden for a node and another's pod or
        for somebody whom its pod does not name."""
        given = body.read_as(call, DEFINITION) if call.request.body else {}
        write = Write(
            "CREATE", "", "serviceaccounts", "token", call.namespace, call.name, given, None
        )
        node_restriction.check(call.user, write, self._find)
        where = call.namespace, call.name
        node_audience.check(call.user, *where, given, self._find, self._authorizer)
        made = token_request.create(self._tokens, self._find, call.namespace, call.name, given)
        return Response(orjson.dumps(made), 201)
