"""Errors to responses and back: the one place where an `APIError` becomes a Status document on
the wire, and the one where it is rebuilt. Not a list of errors; that is `model.errors`.
"""

from __future__ import annotations

import msgspec

from steersman.model.errors import APIError, InternalError, UnknownPath, from_status
from steersman.wire.message import Response

# What the client learns of an unexpected error; the rest is for the server's log
UNEXPECTED = "Internal error occurred: the log of the server says more"
# A body that is no Status is quoted in the error, but not a whole page of it
QUOTED_CHARACTERS = 512
# What Go's http.NotFound says
NO_PAGE = b"404 page not found\n"


def to_response(error: Exception) -> Response:
    """Returns the answer that tells an error; anything but an APIError becomes a bare 500.

    `Retry-After` is the header that client-go reads (ErrorNegotiated); upstream sends no
    WWW-Authenticate with a 401.
    """
    if not isinstance(error, APIError):
        error = InternalError(UNEXPECTED)
    headers = dict(error.headers)
    if error.retry_after_seconds:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, UnknownPath) and not error.is_routed:
        headers["X-Content-Type-Options"] = "nosniff"
        return Response(NO_PAGE, error.code, "text/plain; charset=utf-8", headers)
    return Response(msgspec.json.encode(error.status()), error.code, headers=headers)


def from_body(code: int, body: bytes) -> APIError:
    """Rebuilds the error of an answer with this HTTP code; a body that is no Status is quoted, but
    for the line that stands for an unknown path."""
    if code == UnknownPath.code and body == NO_PAGE:
        return UnknownPath()
    try:
        document = msgspec.json.decode(body)
    except msgspec.DecodeError:
        document = None
    if isinstance(document, dict) and document.get("kind") == "Status":
        return from_status({"code": code, **document})
    text = body[:QUOTED_CHARACTERS].decode("utf-8", "replace").strip()
    return from_status({"code": code, "message": text or f"the server answered {code}"})
