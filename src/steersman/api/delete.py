"""Deletion: at once, after a grace period, or once every finalizer is gone.

Follows apiserver's rest.BeforeDelete and the generic registry: options, preconditions, propagation
policies as finalizers, and the graceful deletion of pods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from steersman.api import body, keys, metadata
from steersman.api.admission.chain import Chain, Change
from steersman.api.cache import Entry
from steersman.api.call import Call
from steersman.api.effects.effect import Effects
from steersman.api.read import Reader, finish
from steersman.api.select import selection_of
from steersman.api.write import MOST_TRIES, Writer, modified
from steersman.model import decode, errors
from steersman.model.errors import BadRequest, NotFound
from steersman.model.kind import Document
from steersman.store import interface as store
from steersman.store.interface import Write
from steersman.wire.message import Response
from steersman.world.interface import World

DEFINITION = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
REVISION_HEADER = "x-steersman-revision"
PROPAGATION = ("", "Orphan", "Background", "Foreground")
# pods end after this long where nobody says otherwise (core/v1 DefaultTerminationGracePeriod)
# 136 years; later ends cannot be written as a time, and such a pod could never be deleted
MOST_GRACE_SECONDS = 1 << 32
POD_GRACE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Options:
    """metav1.DeleteOptions; `grace_seconds` is None where none was given."""

    grace_seconds: int | None = None
    propagation: str = ""
    uid: str = ""
    revision: str = ""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Fate:
    """What a deletion comes to: the document that remains, or None where the object goes."""

    document: Document | None


class Deleter:
    """Answers deletions; see the module."""

    def __init__(
        self, writer: Writer, reader: Reader, chain: Chain, effects: Effects, world: World
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._chain = chain
        self._effects = effects
        self._world = world

    async def delete(self, call: Call) -> Response:
        """Deletes one object; the answer is what remains of it, or a Status."""
        options = parse_options(call)
        old, remains, revision = await self.delete_entry(call, options)
        headers = {REVISION_HEADER: str(revision)} if revision else None
        if remains is not None or call.kind.returns_deleted:
            entry = remains or old.at(revision or old.revision)
            response = self._reader.show(call, entry)
            response.headers = headers
            return response
        return Response(orjson.dumps(success(call, old)), headers=headers)

    async def delete_entry(
        self, call: Call, options: Options, name: str = "", namespace: str = ""
    ) -> tuple[Entry, Entry | None, int]:
        """Deletes an object; returns what it was, what remains of it and the revision (0 where
        nothing was written)."""
        name, namespace = name or call.name, namespace or call.namespace
        for attempt in range(MOST_TRIES):
            entry = call.table.get(namespace, name)
            if entry is None:
                raise call.not_found()
            old = entry.document()
            check_preconditions(call, options, entry, old)
            self._chain.check(Change(call, "DELETE", None, old))
            now = self._world.now()
            fate = decide(call.kind.name, call.kind.plural, old, options, now)
            try:
                return await self._carry_out(call, options, entry, old, fate)
            except store.Conflict as error:
                if attempt == MOST_TRIES - 1:
                    raise modified(call) from error
                await self._writer.cache.reached(error.current.revision if error.current else 0)
        raise AssertionError("the loop ends by return or raise")

    async def _carry_out(
        self, call: Call, options: Options, entry: Entry, old: Document, fate: Fate
    ) -> tuple[Entry, Entry | None, int]:
        key = keys.key_of(call.table.resource, entry.namespace, entry.name)
        if fate.document is None:
            writes = [Write(key, None, entry.revision), *self._effects.end(call, old)]
            if options.dry_run:
                return entry, None, 0
            return entry, None, await self._writer.commit(call, *writes)
        document = fate.document
        if (number := old["metadata"].get("generation")) is not None and document is not old:
            document["metadata"]["generation"] = number + 1
        value = call.form.stored(document)
        if value == entry.value or options.dry_run:
            return entry, entry, 0
        revision = await self._writer.commit(call, Write(key, value, entry.revision))
        record = store.Record(key, value, revision, entry.created)
        return entry, Entry(record, value, entry.namespace, entry.name), revision

    async def delete_collection(self, call: Call) -> Response:
        """Deletes all selected objects and answers with what they were."""
        options = parse_options(call)
        selection = selection_of(call.kind, call.request)
        entries = [
            entry for entry in call.table.ordered(call.namespace) if selection.matches(entry)
        ]
        for entry in entries:
            try:
                await self.delete_entry(call, options, entry.name, entry.namespace)
            except NotFound:
                continue  # somebody else was faster; it is gone all the same
        head = {
            "kind": f"{call.kind.name}List",
            "apiVersion": call.form.api_version,
            "metadata": {"resourceVersion": str(self._writer.cache.revision)},
        }
        items = b",".join(map(call.form.item, entries))
        return finish(orjson.dumps(head)[:-1] + b',"items":[' + items + b"]}", call)


def parse_options(call: Call) -> Options:
    """Returns the options of the body or the query; raises BadRequest, Invalid."""
    request = call.request
    given: dict[str, Any] = {}
    if request.body:
        given = _parse_body(call)
    grace = given.get("gracePeriodSeconds", _number(request.param("gracePeriodSeconds")))
    propagation = given.get("propagationPolicy") or request.param("propagationPolicy")
    orphan = given.get("orphanDependents")
    if orphan is None and "orphanDependents" in request.params:
        orphan = request.flag("orphanDependents")
    if propagation not in PROPAGATION:
        listed = '"Background", "Foreground", "Orphan"'
        text = f'Unsupported value: "{propagation}": supported values: {listed}'
        cause = errors.Cause("FieldValueNotSupported", text, "propagationPolicy")
        raise errors.invalid("meta.k8s.io", "DeleteOptions", "", [cause])
    if orphan is not None and not propagation:
        propagation = "Orphan" if orphan else "Background"
    conditions = given.get("preconditions") or {}
    dry = call.dry_run or "All" in (given.get("dryRun") or ())
    return Options(
        grace,
        propagation,
        conditions.get("uid") or "",
        conditions.get("resourceVersion") or "",
        dry,
    )


def _parse_body(call: Call) -> dict[str, Any]:
    try:
        value = body.parse_any(call.request, DEFINITION)
    except ValueError as error:
        raise BadRequest(f"couldn't get version/kind; json parse error: {error}") from error
    if not isinstance(value, dict) or value.get("kind", "DeleteOptions") != "DeleteOptions":
        raise BadRequest("decoded object cannot be converted to DeleteOptions")
    document: dict[str, Any] = decode.admit(DEFINITION, value, "DeleteOptions", "v1").document
    return document


def _number(text: str) -> int | None:
    try:
        return int(text) if text else None
    except ValueError as error:
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax') from error


def check_preconditions(call: Call, options: Options, entry: Entry, old: Document) -> None:
    """Raises Conflict where the object is another than the one meant."""
    kind = call.kind
    uid = old["metadata"].get("uid")
    if options.uid and options.uid != uid:
        why = f"Precondition failed: UID in precondition: {options.uid}, UID in object meta: {uid}"
        raise errors.conflict(kind.group, kind.plural, entry.name, why)
    if options.revision and options.revision != str(entry.revision):
        why = (
            f"Precondition failed: ResourceVersion in precondition: {options.revision}, "
            f"ResourceVersion in object meta: {entry.revision}"
        )
        raise errors.conflict(kind.group, kind.plural, entry.name, why)


def decide(name: str, plural: str, old: Document, options: Options, now: float) -> Fate:
    """Decides what a deletion comes to. Pure: `old` is not changed."""
    meta = dict(old["metadata"])
    meta["finalizers"] = _finalizers(meta.get("finalizers") or [], options.propagation)
    grace = _grace(plural, old, options)
    waits = bool(meta["finalizers"]) or bool(grace) or _is_live_namespace(name, old)
    if not waits:
        return Fate(None)
    if meta.get("deletionTimestamp"):
        before = meta.get("deletionGracePeriodSeconds") or 0
        if grace < before:  # a shorter period moves the end closer, a longer one changes nothing
            meta["deletionGracePeriodSeconds"] = grace
            meta["deletionTimestamp"] = metadata.timestamp(now + grace)
    else:
        meta["deletionTimestamp"] = metadata.timestamp(now + grace)
        meta["deletionGracePeriodSeconds"] = grace
    if not meta["finalizers"]:
        del meta["finalizers"]
    return Fate(_terminating(name, {**old, "metadata": meta}))


def _finalizers(present: list[str], propagation: str) -> list[str]:
    """Returns the finalizers after a propagation policy: each policy takes the other's away."""
    wanted = {"Foreground": FOREGROUND, "Orphan": ORPHAN}.get(propagation)
    if not propagation:
        return present
    kept = [item for item in present if item not in (FOREGROUND, ORPHAN)]
    return [*kept, wanted] if wanted else kept


def _grace(plural: str, old: Document, options: Options) -> int:
    """Returns the grace period in seconds; only pods have one (pod strategy)."""
    if plural != "pods":
        return 0
    spec, status = old.get("spec") or {}, old.get("status") or {}
    grace = options.grace_seconds
    if grace is None:
        grace = spec.get("terminationGracePeriodSeconds", POD_GRACE_SECONDS)
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    return max(int(grace), 1) if grace < 0 else min(int(grace), MOST_GRACE_SECONDS)


def _is_live_namespace(name: str, old: Document) -> bool:
    return name == "Namespace" and bool((old.get("spec") or {}).get("finalizers"))


def _terminating(name: str, document: Document) -> Document:
    if name != "Namespace":
        return document
    return {**document, "status": {**(document.get("status") or {}), "phase": "Terminating"}}


def success(call: Call, entry: Entry) -> Document:
    """Returns the Status that says an object is gone."""
    uid = entry.document()["metadata"].get("uid", "")
    details = {"name": entry.name, "group": call.kind.group, "kind": call.kind.plural, "uid": uid}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }
