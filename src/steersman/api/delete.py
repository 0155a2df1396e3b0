"""Deletion: at once, after a grace period, or once every finalizer is gone.

Follows apiserver's rest.BeforeDelete and the generic registry: options, preconditions, propagation
policies as finalizers, and the graceful deletion of pods.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import orjson
from msgspec.structs import replace

from steersman.api import body, keys
from steersman.api.admission.chain import Chain, Change
from steersman.api.cache import Entry
from steersman.api.call import Call
from steersman.api.custom import conversion
from steersman.api.effects.effect import Effects
from steersman.api.read import Reader, Selected
from steersman.api.write import MOST_TRIES, Writer, modified
from steersman.model import decode, errors
from steersman.model.errors import BadRequest, NotFound
from steersman.model.gotext import quote
from steersman.model.kind import Document
from steersman.model.times import rfc3339, seconds_of
from steersman.store import interface as store
from steersman.store.interface import Write
from steersman.wire.message import Request, Response
from steersman.wire.options import check_dry_run, refuse, unsupported, whole
from steersman.world.interface import World

DEFINITION = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
REVISION_HEADER = "x-steersman-revision"
# 136 years; later ends cannot be written as a time, and such a pod could never be deleted
MOST_GRACE_SECONDS = 1 << 32
PROPAGATION = ("Foreground", "Background", "Orphan")
SUPPORTED = (*PROPAGATION, "nil")
# What leaves its dependents behind where nobody says otherwise: it did before there was a garbage
# collector (DefaultGarbageCollectionPolicy of the strategies; of removed versions, when they went)
ORPHANING: Final[Mapping[str, tuple[str, ...]]] = {
    "v1": ("replicationcontrollers",),
    "batch/v1": ("jobs",),
    "batch/v1beta1": ("cronjobs",),
    "apps/v1beta1": ("deployments", "statefulsets"),
    "apps/v1beta2": ("daemonsets", "deployments", "replicasets", "statefulsets"),
    "extensions/v1beta1": ("daemonsets", "deployments", "replicasets"),
}
_EVENTS = ("v1", "events.k8s.io/v1")
JOB_WARNING = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background "
    "to remove them or set propagationPolicy=Orphan to suppress this warning"
)


class Options(msgspec.Struct, frozen=True):
    """metav1.DeleteOptions; `grace_seconds` is None where none was given."""

    grace_seconds: int | None = None
    propagation: str = ""
    uid: str = ""
    revision: str = ""
    dry_run: bool = False

    def document(self) -> Document:
        """Returns the options as fields of metav1.DeleteOptions."""
        conditions = {"uid": self.uid, "resourceVersion": self.revision}
        conditions = {name: value for name, value in conditions.items() if value}
        made: Document = {
            "gracePeriodSeconds": self.grace_seconds,
            "preconditions": conditions or None,
            "propagationPolicy": self.propagation or None,
            "dryRun": ["All"] if self.dry_run else None,
        }
        return {name: value for name, value in made.items() if value is not None}


class Fate(msgspec.Struct, frozen=True):
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
        headers = {REVISION_HEADER: str(revision)} if revision else {}
        headers |= body.warnings((*_told(call, options), *call.remarks)) or {}
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
            if call.version.shape is not None:
                await conversion.ready(call.form, (entry,))
            old = call.form.parsed(entry)
            check_preconditions(call, options, entry, old)
            await self._check(call, options, entry, old)
            now = self._world.now()
            fate = decide(
                call.form.api_version, call.kind.plural, begun(call, old, now), options, now
            )
            try:
                return await self._carry_out(call, options, entry, old, fate)
            except store.Conflict as error:
                if attempt == MOST_TRIES - 1:
                    raise modified(call) from error
                await self._writer.cache.reached(error.current.revision if error.current else 0)
        raise AssertionError("the loop ends by return or raise")

    async def _check(self, call: Call, options: Options, entry: Entry, old: Document) -> None:
        """Raises the first refusal of plugins, policies and webhooks."""
        change = Change(call, "DELETE", None, old)
        self._chain.check(change)
        changes, checks = self._chain.changes(call, "DELETE"), self._chain.checks(call, "DELETE")
        if not changes and not checks:
            return
        meta = {**old["metadata"], "resourceVersion": str(entry.revision)}
        told = replace(
            change,
            old={**old, "metadata": meta},
            options=options.document(),
            dry_run=options.dry_run,
        )
        if changes:
            await self._chain.admit_outside(told)
        if checks:
            await self._chain.validate_outside(told)

    async def _carry_out(
        self, call: Call, options: Options, entry: Entry, old: Document, fate: Fate
    ) -> tuple[Entry, Entry | None, int]:
        key = keys.key_of(call.table.resource, entry.namespace, entry.name)
        if fate.document is None:
            writes = [Write(key, None, entry.revision), *self._effects.end(call, old)]
            if options.dry_run:
                return entry, None, 0
            return entry, None, await self._writer.commit(call, *writes)
        await conversion.ready_to_store(call.form, fate.document)
        value = call.form.stored(fate.document)
        if value == entry.value:
            return entry, entry, 0
        revision = 0
        if not options.dry_run:
            revision = await self._writer.commit(call, Write(key, value, entry.revision))
        record = store.Record(key, value, revision or entry.revision, entry.created)
        remains = Entry(record, value, entry.namespace, entry.name)
        await conversion.ready(call.form, (remains,))
        return entry, remains, revision

    async def delete_collection(self, call: Call) -> Response:
        """Deletes all selected objects, or one page of them, and answers with what they were."""
        options = parse_options(call)
        found = self._reader.select(call, paged=True)
        selected = found if isinstance(found, Selected) else await found
        for entry in selected.entries:
            try:
                await self.delete_entry(call, options, entry.name, entry.namespace)
            except NotFound:
                continue  # somebody else was faster; it is gone all the same
        response = self._reader.answer(call, selected)
        response.headers = body.warnings(_told(call, options))
        return response


def _told(call: Call, options: Options) -> tuple[str, ...]:
    """Returns what is told of a deletion that does not say what becomes of dependents."""
    of_jobs = (call.form.api_version, call.kind.plural) == ("batch/v1", "jobs")
    return (JOB_WARNING,) if of_jobs and not options.propagation else ()


def parse_options(call: Call) -> Options:
    """Returns the options of the body or the query; raises BadRequest, Invalid."""
    request = call.request
    return options_of(call, _parse_body(call) if request.body else _of_query(request))


def options_of(call: Call, given: Document) -> Options:
    """Returns what a metav1.DeleteOptions says; raises Invalid."""
    propagation = given.get("propagationPolicy")
    orphan = given.get("orphanDependents")
    causes = []
    if orphan is not None and propagation is not None:
        why = "orphanDependents and deletionPropagation cannot be both set"
        text = f"Invalid value: {quote(propagation)}: {why}"
        causes.append(errors.Cause("FieldValueInvalid", text, "propagationPolicy"))
    if propagation is not None and propagation not in PROPAGATION:
        causes.append(unsupported("propagationPolicy", propagation, SUPPORTED))
    causes += check_dry_run(given.get("dryRun") or [])
    refuse("DeleteOptions", causes)
    if orphan is not None:
        propagation = "Orphan" if orphan else "Background"
    conditions = given.get("preconditions") or {}
    return Options(
        given.get("gracePeriodSeconds"),
        propagation or "",
        conditions.get("uid") or "",
        conditions.get("resourceVersion") or "",
        call.dry_run or bool(given.get("dryRun")),
    )


def _parse_body(call: Call) -> Document:
    value = body.read(call, DEFINITION)
    if (value.get("kind") or "DeleteOptions") != "DeleteOptions":
        raise BadRequest("decoded object cannot be converted to DeleteOptions")
    return decode.admit(DEFINITION, value, "DeleteOptions", "v1").document


def _of_query(request: Request) -> Document:
    given: Document = {"gracePeriodSeconds": _number(request.param("gracePeriodSeconds"))}
    given["propagationPolicy"] = request.param("propagationPolicy") or None
    if "orphanDependents" in request.params:
        given["orphanDependents"] = request.flag("orphanDependents")
    given["dryRun"] = list(request.params.get("dryRun", ()))
    return given


def _number(text: str) -> int | None:
    return whole(text) if text else None


def check_preconditions(call: Call, options: Options, entry: Entry, old: Document) -> None:
    """Raises Conflict where the object is another than the one meant (rest.BeforeDelete)."""
    kind = call.kind
    uid, why = old["metadata"].get("uid"), ""
    if options.uid and options.uid != uid:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record "
            f"({uid}). The object might have been deleted and then recreated"
        )
    elif options.revision and options.revision != str(entry.revision):
        why = (
            f"the ResourceVersion in the precondition ({options.revision}) does not match the "
            f"ResourceVersion in record ({entry.revision}). The object might have been modified"
        )
    if why:
        raise errors.conflict(kind.group, kind.name, entry.name, why)


def begun(call: Call, old: Document, now: float) -> Document:
    """Returns the object as its kind wants it where its deletion begins."""
    if call.kind.retire is None or old["metadata"].get("deletionTimestamp"):
        return old
    return call.kind.retire(old, rfc3339(now))


def decide(api_version: str, plural: str, old: Document, options: Options, now: float) -> Fate:
    """Decides what a deletion comes to, through a version of a kind. Pure: `old` is not changed."""
    meta = dict(old["metadata"])
    if (api_version, plural) == ("v1", "pods"):
        pending = _end_pod(meta, old, options, now)
        if pending:
            return Fate(old)
    present = meta.get("finalizers") or []
    meta["finalizers"] = finalizers(api_version, plural, present, options.propagation)
    of_space = (api_version, plural) == ("v1", "namespaces")
    waits = bool(meta["finalizers"] or (of_space and (old.get("spec") or {}).get("finalizers")))
    if not waits and not meta.get("deletionGracePeriodSeconds"):
        return Fate(None)
    if not meta.get("deletionTimestamp"):
        meta["deletionTimestamp"] = rfc3339(now)
        meta["deletionGracePeriodSeconds"] = 0
    if not old["metadata"].get("deletionTimestamp") and meta.get("generation"):
        meta["generation"] += 1
    if not meta["finalizers"]:
        del meta["finalizers"]
    made = {**old, "metadata": meta}
    return Fate(_terminating(made) if of_space else made)


def finalizers(api_version: str, plural: str, present: list[str], propagation: str) -> list[str]:
    """Returns the finalizers after a propagation policy: each policy takes the other's away."""
    if plural == "events" and api_version in _EVENTS:
        return present  # the garbage collector does not know them (Unsupported)
    if not propagation:
        orphans = plural in ORPHANING.get(api_version, ())
        if not orphans or FOREGROUND in present or ORPHAN in present:
            return present
        propagation = "Orphan"
    wanted = {"Foreground": FOREGROUND, "Orphan": ORPHAN}.get(propagation)
    kept = [item for item in present if item not in (FOREGROUND, ORPHAN)]
    return [*kept, wanted] if wanted else kept


def _end_pod(meta: dict[str, Any], old: Document, options: Options, now: float) -> bool:
    """Sets when a pod's grace period ends; says whether its end is near enough already."""
    grace = options.grace_seconds
    if grace is not None and grace < 0:
        grace = 1
    before = meta.get("deletionGracePeriodSeconds") or 0
    if meta.get("deletionTimestamp"):
        if not before:
            return False
        if grace is None or grace >= before:
            return True
        end = seconds_of(meta["deletionTimestamp"]) - before + grace
        if end < int(now):  # a shorter period never ends in the past
            end, grace = now, min(grace, 1)
    else:
        grace = pod_grace(old, grace)
        end = now + grace
    meta["deletionTimestamp"] = rfc3339(end)
    meta["deletionGracePeriodSeconds"] = grace
    return False


def pod_grace(pod: Document, wanted: int | None) -> int:
    """Returns the grace period of a pod in seconds (podStrategy.CheckGracefulDelete)."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    grace = spec.get("terminationGracePeriodSeconds", 0) if wanted is None else wanted
    return 1 if grace < 0 else min(int(grace), MOST_GRACE_SECONDS)


def _terminating(document: Document) -> Document:
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
