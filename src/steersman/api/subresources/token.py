"""The token subresource of service accounts (KEP-1205)."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from steersman.api import body
from steersman.api.access import node_restriction, token_request
from steersman.api.access.node_restriction import Write
from steersman.api.access.tokens import Tokens
from steersman.api.call import Call
from steersman.model import decode
from steersman.model.errors import BadRequest
from steersman.model.kind import Document
from steersman.model.ref import Ref
from steersman.wire.message import Response

DEFINITION = "io.k8s.api.authentication.v1.TokenRequest"


class TokenRequest:
    """Answers `token` on service accounts."""

    def __init__(self, tokens: Tokens, find: Callable[[Ref], Document | None]) -> None:
        self._tokens = tokens
        self._find = find

    def handle(self, call: Call) -> Response:
        """Issues a token; raises NotFound, Invalid, and Forbidden for a node and another's pod."""
        try:
            given = body.parse_any(call.request, DEFINITION) if call.request.body else {}
        except ValueError as error:
            raise BadRequest(f"couldn't get version/kind; json parse error: {error}") from error
        if not isinstance(given, dict) or given.get("kind", "TokenRequest") != "TokenRequest":
            raise BadRequest("the body of the request is not a TokenRequest")
        given = decode.admit(DEFINITION, given, "TokenRequest", "v1").document
        write = Write(
            "CREATE", "", "serviceaccounts", "token", call.namespace, call.name, given, None
        )
        node_restriction.check(call.user, write, self._find)
        made = token_request.create(self._tokens, self._find, call.namespace, call.name, given)
        return Response(orjson.dumps(made), 201)
