"""What is noted of one request, and the line of the log that tells it (audit.k8s.io/v1 Event)."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import quote

import orjson

from steersman.api.access.authorization import Attributes
from steersman.api.access.impersonation import Acted
from steersman.api.access.reviews import user_document
from steersman.api.audit.policy import LEVELS, REQUEST, RESPONSE, VERSION, Verdict
from steersman.model.kind import Document
from steersman.model.times import rfc3339_micro
from steersman.wire.message import Request, User

# Longer ones are cut (maxUserAgentLength)
AGENT_CHARACTERS: Final = 1024
CUT: Final = "...TRUNCATED"
# What Go leaves as it is in a path (url.EscapedPath)
_PLAIN: Final = "/$&+,:;=@!'()*~"
_TOLD: Final = ("status", "message", "reason", "details", "code")


class Record:
    """One request that the policy has noted; see `wire.message.Notes`."""

    __slots__ = (
        *("annotations", "asked", "closed", "id", "impersonated", "received", "request"),
        *("user", "verdict"),
    )

    def __init__(
        self, request: Request, asked: Attributes, user: User | None, verdict: Verdict, uid: str
    ) -> None:
        self.id = uid
        self.request = request
        self.asked = asked
        self.user = user
        self.verdict = verdict
        self.impersonated: Acted | None = None
        self.annotations: dict[str, str] = {}
        self.received = 0.0
        self.closed = False  # nothing more is written of it

    @property
    def has_objects(self) -> bool:
        """Whether objects are kept."""
        return self.verdict.level >= REQUEST

    def annotate(self, key: str, value: str) -> None:
        """Keeps a note; the first of a key stays, as upstream does."""
        self.annotations.setdefault(key, value)


class Answered:
    """What a request came to: the code, the document that was answered and the one sent."""

    __slots__ = ("code", "document", "sent", "told")

    def __init__(self, code: int, told: Document | None = None) -> None:
        self.code = code
        self.told = told  # a Status
        self.sent: Any = None
        self.document: Any = None


def render(record: Record, stage: str, at: float, answered: Answered | None) -> bytes:
    """Returns the event of a stage in one line of JSON, its fields in upstream's order."""
    request, asked = record.request, record.asked
    event: Document = {
        "kind": "Event",
        "apiVersion": VERSION,
        "level": LEVELS[record.verdict.level],
        "auditID": record.id,
        "stage": stage,
        "requestURI": uri(request),
        "verb": asked.verb,
        "user": user_document(record.user) if record.user else {},
    }
    if record.impersonated is not None:
        event["impersonatedUser"] = user_document(record.impersonated.user)
        if record.impersonated.constraint:
            how = {"impersonationConstraint": record.impersonated.constraint}
            event["authenticationMetadata"] = how
    event |= _filled(sourceIPs=addresses(request), userAgent=agent(request))
    if asked.is_resource:
        event["objectRef"] = reference(asked, answered.sent if answered else None)
    if answered is not None:
        told = answered.told or {}
        shown = {name: told[name] for name in _TOLD if told.get(name)}
        event["responseStatus"] = {"metadata": {}, **shown, "code": answered.code}
        event |= _objects(record.verdict, answered)
    event["requestReceivedTimestamp"] = rfc3339_micro(record.received)
    event["stageTimestamp"] = rfc3339_micro(at)
    event |= _filled(annotations=dict(sorted(record.annotations.items())))
    return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)


def _objects(verdict: Verdict, answered: Answered) -> Iterator[tuple[str, Any]]:
    for least, name, document in (
        (REQUEST, "requestObject", answered.sent),
        (RESPONSE, "responseObject", answered.document),
    ):
        if verdict.level >= least and document is not None:
            yield name, without_owners(document) if verdict.bare else document


def reference(asked: Attributes, sent: Any) -> Document:
    """Returns what a request is about; what its path leaves open its object tells."""
    meta = sent.get("metadata") if isinstance(sent, dict) else None
    meta = meta if isinstance(meta, dict) else {}
    return _filled(
        resource=asked.resource,
        namespace=asked.namespace or meta.get("namespace"),
        name=asked.object_name or meta.get("name"),
        uid=meta.get("uid"),
        apiGroup=asked.group,
        apiVersion=asked.version,
        resourceVersion=meta.get("resourceVersion"),
        subresource=asked.subresource,
    )


def without_owners(document: Any) -> Any:
    """Returns an object, list or table without the managedFields of its objects; shares the
    rest."""
    if not isinstance(document, dict):
        return document
    found = dict(document)
    if isinstance(meta := found.get("metadata"), dict) and "managedFields" in meta:
        found["metadata"] = {name: meta[name] for name in meta if name != "managedFields"}
    if isinstance(items := found.get("items"), list):
        found["items"] = [without_owners(item) for item in items]
    if isinstance(rows := found.get("rows"), list) and found.get("kind") == "Table":
        found["rows"] = [{**row, "object": without_owners(row.get("object"))} for row in rows]
    return found


def uri(request: Request) -> str:
    """Returns path and query as they were sent."""
    path = quote(request.path, safe=_PLAIN)
    return f"{path}?{request.query}" if request.query else path


def agent(request: Request) -> str:
    """Returns the client's name for itself."""
    text = request.headers.get("user-agent", "")
    return text if len(text) <= AGENT_CHARACTERS else text[:AGENT_CHARACTERS] + CUT


def addresses(request: Request) -> list[str]:
    """Returns from where a request comes: first what proxies say, last the connection's other end
    (apimachinery's SourceIPs). A part of this process has none."""
    headers = request.headers
    found = [one for one in map(_address, headers.get("x-forwarded-for", "").split(",")) if one]
    real = _address(headers.get("x-real-ip", ""))
    if real and real not in found:
        found.append(real)
    remote = _address(request.peer.address) if request.peer is not None else ""
    if remote and found[-1:] != [remote]:
        found.append(remote)
    return found


def _address(text: str) -> str:
    try:
        return str(ip_address(text.strip()))
    except ValueError:
        return ""


def _filled(**fields: Any) -> Document:
    return {name: value for name, value in fields.items() if value}
