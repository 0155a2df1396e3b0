"""Which form of a published document a client takes, and whether it has it already.

Not for objects: what those are shown as is `api.present`. Follows RFC 9110 (Accept, If-None-Match)
as far as Kubernetes' clients use it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from steersman.model.errors import NotAcceptable
from steersman.wire.message import Request, Response

JSON = "application/json"
# Choices looked at in one Accept header; clients send fewer than ten
MAX_CHOICES = 64
_ANYTHING = ("*/*", "application/*")


class Form(NamedTuple):
    """A media type with the parameters that make it what it is."""

    media: str
    parameters: Mapping[str, str]

    def __str__(self) -> str:
        return ";".join([self.media, *(f"{key}={value}" for key, value in self.parameters.items())])


class Published(NamedTuple):
    """A document as bytes, with its entity tag."""

    body: bytes
    tag: str
    content_type: str


def publish(body: bytes, content_type: str = JSON) -> Published:
    """Returns bytes with their tag: the hash, in quotes."""
    return Published(body, f'"{hashlib.sha512(body).hexdigest().upper()}"', content_type)


def choose(accept: str, forms: Sequence[Form]) -> Form:
    """Returns the first form that the header accepts, in the header's order; of equal rank, in
    ours. Raises NotAcceptable."""
    if not accept.strip():
        return forms[0]
    for choice in accept.split(",")[:MAX_CHOICES]:
        media, *rest = (part.strip() for part in choice.split(";"))
        parameters = dict(part.split("=", 1) for part in rest if "=" in part)
        if parameters.pop("q", "1").strip("0.") == "":
            continue
        for name in ("charset", "profile"):  # one server has no peers to be left out (nopeer)
            parameters.pop(name, None)
        for form in forms:
            if media in (form.media, *_ANYTHING) and parameters == form.parameters:
                return form
    shown = ", ".join(dict.fromkeys(form.media for form in forms if not form.parameters))
    raise NotAcceptable(f"only the following media types are accepted: {shown}")


def respond(request: Request, published: Published, headers: Mapping[str, str]) -> Response:
    """Answers with a document, or with 304 where the client's is the same."""
    sent = {"etag": published.tag, **headers}
    known = request.headers.get("if-none-match", "")
    if published.tag in (tag.strip() for tag in known.split(",")):
        return Response(b"", 304, published.content_type, sent)
    return Response(published.body, 200, published.content_type, sent)
