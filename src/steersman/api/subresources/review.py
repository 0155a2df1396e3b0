"""Kinds that are asked and answered but never stored: access reviews, token reviews."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import orjson

from steersman.api import body, owners
from steersman.api.access.reviews import Reviews
from steersman.api.call import Call
from steersman.api.write import check_namespace
from steersman.model import decode
from steersman.model.errors import MethodNotAllowed
from steersman.model.kind import Document
from steersman.wire.message import Response

# What the server alone sets (WipeObjectMetaSystemFields), and the namespace, which the path names
_WIPED: Final = frozenset(
    (
        *("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"),
        *("selfLink", "namespace"),
    )
)


class Review:
    """Answers the creation of a review with the review, its status filled in."""

    def __init__(self, reviews: Reviews, now: Callable[[], float]) -> None:
        self._reviews = reviews
        self._now = now

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
        asked = self._begun(call, admitted.document)
        made = self._reviews.create(call.kind.name, asked, call.user, call.namespace)
        return Response(orjson.dumps(made), 201, headers=body.warnings(warnings))

    def _begun(self, call: Call, review: Document) -> Document:
        """Returns a review with its namespace and its writer, which it has like a stored object."""
        check_namespace(call, review)
        given = (review.get("metadata") or {}).items()
        metadata = {name: value for name, value in given if name not in _WIPED}
        if call.namespace:
            metadata["namespace"] = call.namespace
        return owners.update(call, None, {**review, "metadata": metadata}, self._now())
