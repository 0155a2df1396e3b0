"""The errors that a client of the API can be given; each knows its HTTP code and reason.

They become a `Status` document at one place (the HTTP edge) and are rebuilt at one place (the
client). Messages are upstream's (apimachinery/pkg/api/errors). Nothing else is raised on purpose
while a request is served.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from steersman.model.gotext import aggregate


class Cause(msgspec.Struct, frozen=True):
    """One reason why an object is invalid (metav1.StatusCause); `field` is a path like
    `spec.containers[0].name`."""

    reason: str
    message: str
    field: str = ""

    def document(self) -> dict[str, Any]:
        """Returns the cause as it stands in a Status."""
        document = {"reason": self.reason, "message": self.message, "field": self.field}
        return {name: value for name, value in document.items() if value or name == "message"}


class APIError(Exception):
    """An answer other than success; `details` is metav1.StatusDetails without the causes, `headers`
    what the answer says beside its Status."""

    code: int = 500
    reason: str = "InternalError"

    def __init__(
        self,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        causes: Iterable[Cause] = (),
        retry_after_seconds: int = 0,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details = dict(details or {})
        self.causes = tuple(causes)
        self.retry_after_seconds = retry_after_seconds
        self.headers: Mapping[str, str] = {}

    def status(self) -> dict[str, Any]:
        """Returns the metav1.Status document."""
        document: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            document["reason"] = self.reason
        details = dict(self.details)
        if self.causes:
            details["causes"] = [cause.document() for cause in self.causes]
        if self.retry_after_seconds:
            details["retryAfterSeconds"] = self.retry_after_seconds
        if details or self.reason in ("NotFound", "MethodNotAllowed"):
            document["details"] = details
        document["code"] = self.code
        return document


class Denied(APIError):
    """Who was asked about the request denies it, with a code and a reason of their own."""

    def __init__(self, message: str, code: int, reason: str, **more: Any) -> None:
        super().__init__(message, **more)
        self.code = code
        self.reason = reason


class BadRequest(APIError):
    """The request cannot be understood."""

    code = 400
    reason = "BadRequest"


class Unauthorized(APIError):
    """Nobody knows who asks."""

    code = 401
    reason = "Unauthorized"

    def __init__(self, message: str = "Unauthorized") -> None:
        super().__init__(message)


class Forbidden(APIError):
    """Who asks may not."""

    code = 403
    reason = "Forbidden"


class NotFound(APIError):
    """The object or the path does not exist."""

    code = 404
    reason = "NotFound"


class UnknownPath(NotFound):
    """Nobody answers this path. `is_routed` says whether upstream's router has a service that
    claims it: that one tells a Status, the plain handler behind it a line of text."""

    def __init__(self, *, is_routed: bool = False) -> None:
        super().__init__("the server could not find the requested resource")
        self.is_routed = is_routed


class MethodNotAllowed(APIError):
    """The resource does not have this verb."""

    code = 405
    reason = "MethodNotAllowed"


def not_allowed() -> MethodNotAllowed:
    """Says that nothing answers this method here."""
    return MethodNotAllowed("the server does not allow this method on the requested resource")


class NotAcceptable(APIError):
    """None of the media types asked for can be served."""

    code = 406
    reason = "NotAcceptable"


class Conflict(APIError):
    """The object stands at another revision, or another field manager owns a field."""

    code = 409
    reason = "Conflict"


class AlreadyExists(APIError):
    """The name is taken."""

    code = 409
    reason = "AlreadyExists"


class Expired(APIError):
    """The revision asked for is no longer kept; `goes_on` continues a list without it."""

    code = 410
    reason = "Expired"

    def __init__(self, message: str, *, goes_on: str = "") -> None:
        super().__init__(message)
        self.goes_on = goes_on

    def status(self) -> dict[str, Any]:
        """Returns the metav1.Status document, its list metadata with the token."""
        document = super().status()
        return {**document, "metadata": {"continue": self.goes_on}} if self.goes_on else document


class Gone(APIError):
    """The resource was here and is not served any more."""

    code = 410
    reason = "Gone"


class StoredTooLarge(APIError):
    """An object that is too large to be stored: a plain error upstream, in etcd's words, code 500,
    no reason. Defaults, and who is asked about a change, may make an object larger than it came."""

    reason = ""

    def __init__(self) -> None:
        super().__init__("etcdserver: request is too large")


class RequestTooLarge(APIError):
    """The body is over the bound."""

    code = 413
    reason = "RequestEntityTooLarge"


class UnsupportedMediaType(APIError):
    """The body's content type is not one that the verb takes."""

    code = 415
    reason = "UnsupportedMediaType"


class Invalid(APIError):
    """The object breaks the rules of its kind; the causes say where."""

    code = 422
    reason = "Invalid"


class TooManyRequests(APIError):
    """The caller must wait."""

    code = 429
    reason = "TooManyRequests"


class InternalError(APIError):
    """The server failed."""

    code = 500
    reason = "InternalError"


class Unexplained(APIError):
    """The server failed in a way that upstream has no reason for."""

    code = 500
    reason = ""


class ServiceUnavailable(APIError):
    """The server cannot serve this now."""

    code = 503
    reason = "ServiceUnavailable"


class ServerTimeout(APIError):
    """The server could not do it in time, a new try may help."""

    code = 500
    reason = "ServerTimeout"


class Timeout(APIError):
    """The request was not done in the time it had."""

    code = 504
    reason = "Timeout"


class InsufficientStorage(APIError):
    """The store is full: writes are refused, reads go on."""

    code = 507
    reason = "InsufficientStorage"


CLASSES: Mapping[str, type[APIError]] = {
    kind.reason: kind
    for kind in (
        BadRequest,
        Unauthorized,
        Forbidden,
        NotFound,
        MethodNotAllowed,
        NotAcceptable,
        Conflict,
        AlreadyExists,
        Expired,
        Gone,
        RequestTooLarge,
        UnsupportedMediaType,
        Invalid,
        TooManyRequests,
        InternalError,
        ServiceUnavailable,
        ServerTimeout,
        Timeout,
        InsufficientStorage,
    )
}
_BY_CODE = {kind.code: kind for kind in reversed(list(CLASSES.values()))}


def from_status(document: Mapping[str, Any]) -> APIError:
    """Rebuilds the error that a Status document stands for."""
    code = int(document.get("code") or 500)
    kind = CLASSES.get(document.get("reason", "")) or _BY_CODE.get(code, InternalError)
    details = dict(document.get("details") or {})
    causes = [
        Cause(item.get("reason", ""), item.get("message", ""), item.get("field", ""))
        for item in details.pop("causes", None) or ()
    ]
    error: APIError = kind.__new__(kind)
    APIError.__init__(
        error,
        document.get("message", ""),
        retry_after_seconds=int(details.pop("retryAfterSeconds", 0)),
        details=details,
        causes=causes,
    )
    if isinstance(error, Expired):
        error.goes_on = (document.get("metadata") or {}).get("continue", "")
    return error


def _qualified(group: str, plural: str) -> str:
    return f"{plural}.{group}" if group else plural


def _details(group: str, kind: str, name: str) -> dict[str, Any]:
    found = {"name": name, "group": group, "kind": kind}
    return {key: value for key, value in found.items() if value}


def not_found(group: str, plural: str, name: str) -> NotFound:
    """Says that an object does not exist (errors.NewNotFound)."""
    message = f'{_qualified(group, plural)} "{name}" not found'
    return NotFound(message, details=_details(group, plural, name))


def already_exists(group: str, plural: str, name: str) -> AlreadyExists:
    """Says that a name is taken (errors.NewAlreadyExists)."""
    message = f'{_qualified(group, plural)} "{name}" already exists'
    return AlreadyExists(message, details=_details(group, plural, name))


def conflict(group: str, plural: str, name: str, why: str) -> Conflict:
    """Says that a write came too late (errors.NewConflict)."""
    message = f'Operation cannot be fulfilled on {_qualified(group, plural)} "{name}": {why}'
    return Conflict(message, details=_details(group, plural, name))


MODIFIED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


def forbidden(group: str, plural: str, name: str, why: str) -> Forbidden:
    """Says that a write is not allowed (errors.NewForbidden)."""
    if name:
        message = f'{_qualified(group, plural)} "{name}" is forbidden: {why}'
    else:
        message = f"{_qualified(group, plural)} is forbidden: {why}"
    return Forbidden(message, details=_details(group, plural, name))


def internal(why: str) -> InternalError:
    """Says that the server, or who it asked, failed (errors.NewInternalError)."""
    return InternalError(f"Internal error occurred: {why}", causes=[Cause("", why)])


def invalid(group: str, kind: str, name: str, causes: Iterable[Cause]) -> Invalid:
    """Says what is wrong with an object (errors.NewInvalid)."""
    causes = tuple(causes)
    listed = told(causes)
    name_shown = _qualified(group, kind)
    message = f'{name_shown} "{name}" is invalid: {listed}'
    return Invalid(message, details=_details(group, kind, name), causes=causes)


def told(causes: Iterable[Cause]) -> str:
    """Returns causes as one text (field.ErrorList's ToAggregate)."""
    return aggregate(f"{cause.field}: {cause.message}" for cause in causes)
