"""Kinds that are asked and answered but never stored: access reviews, token reviews."""

from __future__ import annotations

import orjson

from steersman.api import body
from steersman.api.access.reviews import Reviews
from steersman.api.call import Call
from steersman.model import decode
from steersman.model.errors import MethodNotAllowed
from steersman.wire.message import Response


class Review:
    """Answers the creation of a review with the review, its status filled in."""

    def __init__(self, reviews: Reviews) -> None:
        self._reviews = reviews

    def handle(self, call: Call) -> Response:
        """Answers; raises Invalid, MethodNotAllowed."""
        if call.attributes.verb not in call.kind.verbs or call.attributes.verb != "create":
            raise MethodNotAllowed(
                "the server does not allow this method on the requested resource"
            )
        version = call.version
        given = body.parse(call)
        admitted = decode.admit(version.definition, given, call.kind.name, version.name)
        warnings = body.unknown_fields(call, admitted.unknown)
        made = self._reviews.create(call.kind.name, admitted.document, call.user, call.namespace)
        return Response(orjson.dumps(made), 201, headers=body.warnings(warnings))
