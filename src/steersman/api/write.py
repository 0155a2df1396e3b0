"""Create, update, patch and apply: one straight path from a body to a durable revision.

decode, prune and default, admission, prepare, check, field ownership, encode once, commit. Nothing
of a refused write is stored; an update that changes nothing is not written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import orjson
from msgspec.structs import replace

from steersman.api import body, keys, metadata, owners, templates
from steersman.api.access.authorization import Attributes
from steersman.api.admission.chain import Chain, Change
from steersman.api.cache import Cache, Entry
from steersman.api.call import Call
from steersman.api.custom import conversion
from steersman.api.effects.effect import Effects, Outcome, Taken
from steersman.api.patches import Patch
from steersman.api.present import PLAIN
from steersman.api.read import Reader
from steersman.api.templates import OBJECT_META, Sent, Template, Templates
from steersman.model import decode, errors
from steersman.model.errors import (
    BadRequest,
    Conflict,
    InsufficientStorage,
    StoredTooLarge,
    Unexplained,
)
from steersman.model.kind import Check, Document, Subresource
from steersman.store import interface as store
from steersman.store.interface import Record, Write
from steersman.wire import options
from steersman.wire.message import Response, User
from steersman.world.interface import World

# An update without a resourceVersion is tried again on the newer object this often (upstream's
# guaranteedUpdate goes on; a bound keeps a hot object from holding a request for ever)
MOST_TRIES = 16
# A generated name that is taken is drawn again this often (maxNameGenerationCreateAttempts)
MOST_NAMES = 8
_NO_WISHES = ("binding", "status")  # what is written through them is no wish of the owner's
# What etcd takes as one request (--max-request-bytes). Custom resources stand there in JSON as they
# do here; built-in kinds in Protocol Buffers, which is about half as long
MOST_STORED_BYTES = 3 * 512 * 1024


# Raises Forbidden; a write that turns out to create asks for that right too
Authorize = Callable[[User, Attributes], None]


class Decoded(msgspec.Struct, frozen=True):
    """A document in the storage version and the warnings its decoding gave."""

    document: Document
    warnings: tuple[str, ...]


class Writer:
    """Answers writes; see the module."""

    def __init__(
        self,
        cache: Cache,
        reader: Reader,
        chain: Chain,
        effects: Effects,
        world: World,
        authorize: Authorize,
    ) -> None:
        self.cache = cache
        self._authorize = authorize
        self._reader = reader
        self._chain = chain
        self._effects = effects
        self._world = world
        self.templates = Templates()

    async def create(self, call: Call) -> Response:
        """Stores a new object; raises AlreadyExists, Invalid, Forbidden."""
        options.check_write(call.request, "CreateOptions")
        sent = None
        if call.kind.templated and call.request.notes is None:  # else plugins make notes
            sent = templates.read(call, self._chain)
        if sent is not None and (known := self.templates.find(sent)) is not None:
            try:
                return self._answer(call, await self._create_known(call, sent, known), 201, ())
            except errors.AlreadyExists:
                if not _generated({"metadata": sent.metadata}):
                    raise  # else the whole way, for what the template rests on may have changed
        decoded = self.decode(call, body.parse(call))
        entry = await self.create_document(call, decoded.document)
        if sent is not None and not decoded.warnings and not call.remarks:
            self._learn(call, sent, entry)
        return self._answer(call, entry, 201, decoded.warnings)

    async def _create_known(self, call: Call, sent: Sent, known: Template) -> Entry:
        """Stores a new object of which only the metadata is new."""
        new = self._begin(call, {"metadata": sent.metadata})
        self._check(call, call.kind.metadata_check, new, None)
        meta = new["metadata"]
        value = known.object(call.form, meta, meta["creationTimestamp"])
        with self._chain.charged(Change(call, "CREATE", new, None), value):
            return await self._put_new(call, meta["name"], value, ())

    def _learn(self, call: Call, sent: Sent, entry: Entry) -> None:
        """Remembers the template of a new object, unless what it rests on changed meanwhile."""
        if self._chain.rests_on(call, sent.metadata) == sent.key.rests_on:
            self.templates.learn(call, sent, entry)

    async def create_document(
        self, call: Call, document: Document, *, applied: bool = False
    ) -> Entry:
        """Stores a new object from a decoded document and returns its entry.

        `applied` says that its managedFields are up to date.
        """
        generated = _generated(document)
        for attempt in range(MOST_NAMES):
            new = self._begin(call, document)
            try:
                return await self._store_new(call, new, applied)
            except errors.AlreadyExists:
                if not generated or attempt == MOST_NAMES - 1:
                    raise
            except Taken as error:
                if attempt == MOST_NAMES - 1:
                    raise errors.ServerTimeout(str(error), retry_after_seconds=1) from error
                await self.cache.reached(error.revision)
        raise AssertionError("the loop ends by return or raise")

    def decode(self, call: Call, document: Document) -> Decoded:
        """Returns the document pruned, with defaults, in the storage version."""
        admitted = body.admit(call.kind, call.version, document)
        return Decoded(admitted.document, body.unknown_fields(call, admitted.unknown))

    def _begin(self, call: Call, document: Document) -> Document:
        """Returns a new object before admission: metadata set, what create may not set reset."""
        kind = call.kind
        check_namespace(call, document)
        now = self._world.now()
        given = document.get("metadata") or {}
        if call.attributes.verb == "create":
            check_without_revision(given)
        meta = metadata.begin(document, kind, call.namespace, self._world.uid(), now)
        if not meta.get("name") and meta.get("generateName"):
            prefix = meta["generateName"][: metadata.GENERATED_PREFIX]
            meta["name"] = prefix + self._world.suffix(metadata.SUFFIX_LENGTH)
        return {**document, "metadata": meta}

    async def _store_new(self, call: Call, new: Document, applied: bool) -> Entry:
        kind = call.kind
        if not applied:
            new = owners.update(call, None, new, self._world.now())
        change = Change(call, "CREATE", new, None)
        new = self._chain.admit(change)
        if self._chain.changes(call, "CREATE"):
            new = await self._changed_outside(replace(change, new=new))
        new = kind.prepare(new, None, call.subresource)
        name = new["metadata"].get("name") or ""
        effect = self._effects.begin(call, new, None) if name else Outcome(new)
        new = effect.document
        self._validate(call, new, None)
        change = replace(change, new=new)
        self._chain.check(change)
        if self._chain.checks(call, change.operation):
            await self._chain.validate_outside(change)
        if call.version.shape is not None:
            await conversion.ready_to_store(call.form, new)
        with self._chain.charged(change):
            return await self._put_new(call, name, call.form.stored(new), effect.writes)

    async def _put_new(self, call: Call, name: str, value: bytes, writes: Sequence[Write]) -> Entry:
        """Commits a new object's bytes together with what else its creation writes."""
        kind = call.kind
        if call.table.get(call.namespace, name) is not None:
            raise errors.already_exists(kind.group, kind.plural, name)
        key = keys.key_of(call.table.resource, call.namespace, name)
        try:
            revision = await self.commit(call, Write(key, value, 0), *writes)
        except store.Conflict as error:
            if error.key != key:
                raise Taken(error) from error
            raise errors.already_exists(kind.group, kind.plural, name) from error
        revision = 0 if call.dry_run else revision
        record = Record(key, value, revision, revision)
        return await self._readable(call, Entry(record, value, call.namespace, name))

    @staticmethod
    async def _readable(call: Call, entry: Entry) -> Entry:
        """Returns an entry that can be read in the version of the call."""
        if call.version.shape is not None:
            await conversion.ready(call.form, (entry,))
        return entry

    async def _changed_outside(self, change: Change) -> Document:
        """Returns the object after webhooks and policies."""
        changed = (await self._chain.admit_outside(change)).new
        assert changed is not None
        check_namespace(change.call, changed)
        return changed

    def _validate(self, call: Call, new: Document, old: Document | None) -> None:
        kind = call.kind
        check: Check | None = kind.check
        if kind.metadata_check and old is not None and keeps_all_but(new, old, "metadata"):
            check = kind.metadata_check  # the rest was checked when it was written
        self._check(call, check, new, old)
        call.remarks.extend(kind.warn(new, old, call.subresource))

    @staticmethod
    def _check(call: Call, check: Check | None, new: Document, old: Document | None) -> None:
        causes = tuple(check(new, old, call.subresource)) if check else ()
        if causes:
            kind = call.kind
            name = new["metadata"].get("name") or ""
            if not name and "generateName" in new["metadata"]:
                name = new["metadata"]["generateName"]
            raise errors.invalid(kind.group, kind.name, name, causes)

    async def update(self, call: Call) -> Response:
        """Replaces an object, or what a subresource may write of it."""
        options.check_write(call.request, "UpdateOptions")
        decoded = self.decode(call, body.parse(call))
        check_namespace(call, decoded.document)
        check_name(call, decoded.document)
        entry = call.table.get(call.namespace, call.name)
        if entry is None and call.kind.create_on_update and not call.subresource:
            check_unborn(call, decoded.document)
            self._authorize(call.user, call.attributes._replace(verb="create"))
            stored = await self.create_document(call, decoded.document)
            return self._answer(call, stored, 201, decoded.warnings)
        if entry is not None:
            check_conditional(call, decoded.document)
        stored = await self.change(call, lambda _old: decoded.document)
        return self._answer(call, stored, 200, decoded.warnings)

    async def patch(self, call: Call) -> Response:
        """Changes an object by a JSON, merge, strategic merge or apply patch."""
        patch = Patch.parse(call, self._world.now())
        if patch.creates and call.table.get(call.namespace, call.name) is None:
            return await self._apply_new(call, patch)
        warnings: tuple[str, ...] = ()

        def patched(old: Document) -> Document:
            nonlocal warnings
            shown = self._shown(call, old)
            decoded = self._patched(call, patch.apply(call, shown), shown)
            warnings = decoded.warnings
            check_unmoved(call, decoded.document)
            return decoded.document

        entry = await self.change(call, patched, owned=patch.owned)
        return self._answer(call, entry, 200, warnings)

    def _patched(self, call: Call, document: Document, old: Document) -> Decoded:
        """Returns what a patch made of an object, as `decode` does: what it kept is so already."""
        version = call.version
        if (
            version.shape is None
            and version.to_storage is None
            and keeps_all_but(document, old, "metadata", "status")
            and decode.takes(OBJECT_META, document["metadata"])
            and _takes_status(call, document, old)
        ):
            return Decoded(document, body.unknown_fields(call, ()))
        return self.decode(call, document)

    async def _apply_new(self, call: Call, patch: Patch) -> Response:
        if call.subresource:
            raise call.not_found()
        decoded = self.decode(call, patch.apply(call, None))
        document = decoded.document
        check_unborn(call, document)
        check_unmoved(call, document)
        self._authorize(call.user, call.attributes._replace(verb="create"))
        entry = await self.create_document(call, document, applied=True)
        return self._answer(call, entry, 201, decoded.warnings)

    @staticmethod
    def _shown(call: Call, old: Document) -> Document:
        """Returns the stored document in the version of the call."""
        convert = call.version.from_storage
        shown = convert(old) if convert else old
        return {**shown, "kind": call.kind.name, "apiVersion": call.form.api_version}

    async def change(
        self,
        call: Call,
        make: Callable[[Document], Document],
        *,
        owned: bool = False,
    ) -> Entry:
        """Stores what `make` makes of the present object, trying again while others are faster.

        `owned` says that managedFields are as `make` left them.
        """
        for attempt in range(MOST_TRIES):
            entry = await self._readable(call, call.entry())
            old = call.form.parsed(entry)
            old["metadata"]["resourceVersion"] = str(entry.revision)
            made = make(old)
            pinned = check_preconditions(call, made, entry, old)
            try:
                return await self._store_changed(call, entry, old, made, owned)
            except store.Conflict as error:
                if pinned or attempt == MOST_TRIES - 1:
                    raise modified(call) from error
                await self.cache.reached(error.current.revision if error.current else 0)
            except Taken as error:
                if attempt == MOST_TRIES - 1:
                    raise errors.ServerTimeout(str(error), retry_after_seconds=1) from error
                await self.cache.reached(error.revision)
        raise AssertionError("the loop ends by return or raise")

    async def _store_changed(
        self, call: Call, entry: Entry, old: Document, made: Document, owned: bool
    ) -> Entry:
        kind = call.kind
        new = self._merge(call, old, made)
        if not owned:
            new = owners.update(call, old, new, self._world.now())
        change = Change(call, "UPDATE", new, old)
        new = self._chain.admit(change)
        if self._chain.changes(call, "UPDATE"):
            changed = await self._changed_outside(replace(change, new=new))
            new = self._merge(call, old, changed)
        new = kind.prepare(new, old, call.subresource)
        if call.subresource not in _NO_WISHES:
            number = metadata.generation(kind, old, new)
            if number is not None:
                new = {**new, "metadata": {**new["metadata"], "generation": number}}
        effect = self._effects.begin(call, new, old)
        new = effect.document
        self._validate(call, new, old)
        change = replace(change, new=new)
        self._chain.check(change)
        if self._chain.checks(call, change.operation):
            await self._chain.validate_outside(change)
        key = keys.key_of(call.table.resource, entry.namespace, entry.name)
        if call.version.shape is not None:
            await conversion.ready_to_store(call.form, new)
        value: bytes | None = call.form.stored(new)
        assert value is not None
        same = value == entry.value or (
            len(value) == len(entry.value)
            and is_same(new, old)  # most that differ do here: neither is read for them
            and orjson.loads(value) == orjson.loads(entry.value)
        )
        if same and key not in self.cache.stale:
            return entry
        gone = _is_gone(new)
        write = Write(key, None if gone else value, entry.revision)
        writes = self._effects.end(call, old) if gone else effect.writes
        try:
            with self._chain.charged(change):
                revision = await self.commit(call, write, *writes)
        except store.Conflict as error:
            if error.key != key:
                raise Taken(error) from error
            raise
        shown = entry.revision if call.dry_run else revision
        record = Record(key, value, shown, entry.created)
        return await self._readable(call, Entry(record, value, entry.namespace, entry.name))

    def _merge(self, call: Call, old: Document, made: Document) -> Document:
        """Returns what the call may change of the old object, taken from the made one."""
        if call.subresource:
            sub = call.kind.subresource(call.subresource)
            assert sub is not None
            changed = metadata.overlay(old, made, sub.writes)
        else:
            changed = metadata.overlay(made, old, protected(call.kind.subresources))
        meta = metadata.carry(changed.get("metadata") or {}, old["metadata"])
        if call.subresource:
            meta["managedFields"] = (made.get("metadata") or {}).get("managedFields") or []
        return {**changed, "metadata": meta}

    async def commit(self, call: Call, *writes: Write) -> int:
        """Makes writes durable and waits until the cache shows them; nothing on a dry run. Raises
        StoredTooLarge."""
        if call.dry_run:
            return self.cache.revision
        most = MOST_STORED_BYTES if call.version.shape is not None else 2 * MOST_STORED_BYTES
        if any(write.value is not None and len(write.value) > most for write in writes):
            raise StoredTooLarge
        try:
            revision = await self.cache.store.commit(*writes)
        except store.Full as error:
            raise InsufficientStorage(str(error)) from error
        await self.cache.reached(revision)
        return revision

    def _answer(self, call: Call, entry: Entry, status: int, warnings: Sequence[str]) -> Response:
        if not (warnings or call.remarks) and call.presentation is PLAIN:
            return Response(call.form.object(entry), status)
        response = self._reader.show(call, entry, status)
        response.headers = body.warnings((*warnings, *call.remarks))
        return response


def is_same(new: Document, old: Document) -> bool:
    """Says whether two documents of one object may be stored as the same, in whatever order of
    fields: their revision is not stored, and the version in which they are is not known of them."""
    one, other = ({**it["metadata"], "resourceVersion": ""} for it in (new, old))
    if one != other:
        return False
    one, other = ({**it, "apiVersion": "", "kind": "", "metadata": {}} for it in (new, old))
    return bool(one == other)


def keeps_all_but(new: Document, old: Document, *names: str) -> bool:
    """Says whether a document holds the very parts of the one it was made from, which was read from
    the store, and may have others of these names alone."""
    if new.keys() != old.keys():
        return False
    texts = ("kind", "apiVersion")
    others = [name for name, part in old.items() if new[name] is not part and name not in names]
    return all(name in texts and new[name] == old[name] for name in others)


def _takes_status(call: Call, document: Document, old: Document) -> bool:
    """Takes the status that a patch left into its shape, in place; False where it is odd."""
    status = document.get("status")
    if status is old.get("status"):
        return True
    node = owners.node_of(call).fields.get("status")
    return node is not None and bool(node.fields) and decode.takes(node.definition, status)


def protected(subresources: Sequence[Subresource]) -> tuple[tuple[str, ...], ...]:
    """Returns the paths that only a subresource may write."""
    status = next((found for found in subresources if found.name == "status"), None)
    if status is None:
        return ()
    return tuple(path for path in status.writes if path[0] != "metadata")


def _generated(document: Document) -> bool:
    meta = document.get("metadata") or {}
    return bool(meta.get("generateName")) and not meta.get("name")


def _is_gone(document: Document) -> bool:
    """Says whether an update lets a deletion that waits for finalizers come to its end."""
    meta: dict[str, Any] = document["metadata"]
    if not meta.get("deletionTimestamp") or meta.get("finalizers"):
        return False
    if meta.get("deletionGracePeriodSeconds"):
        return False
    spec = document.get("spec")
    return not (
        isinstance(spec, dict) and document["kind"] == "Namespace" and spec.get("finalizers")
    )


def check_namespace(call: Call, document: Document) -> None:
    """Refuses a body that names another namespace than the path."""
    given = (document.get("metadata") or {}).get("namespace")
    if given and call.namespace and given != call.namespace:
        raise BadRequest(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def check_name(call: Call, document: Document) -> None:
    """Refuses a body that names another object than the path."""
    given = (document.get("metadata") or {}).get("name")
    if not given:
        raise BadRequest(
            f"the name of the object ({call.name} based on URL) was undeterminable: name must be "
            "provided"
        )
    if given != call.name:
        raise BadRequest(
            f"the name of the object ({given}) does not match the name on the URL ({call.name})"
        )


def check_unmoved(call: Call, document: Document) -> None:
    """Refuses a patch that changes an object's name or namespace."""
    check_name(call, document)
    check_namespace(call, document)


def check_preconditions(call: Call, made: Document, entry: Entry, old: Document) -> bool:
    """Refuses a write that is about another revision or another life of the object; says whether
    it was about a certain revision."""
    meta = made.get("metadata") or {}
    uid = meta.get("uid")
    if uid and uid != old["metadata"].get("uid"):
        raise other_life(call, uid, old["metadata"].get("uid") or "")
    revision = revision_of(meta)
    if revision and revision != entry.revision:
        raise modified(call)
    return bool(revision) and call.request.method == "PUT"


def check_conditional(call: Call, document: Document) -> None:
    """Refuses an update that names no revision where the kind asks for one."""
    if not call.kind.conditional or revision_of(document["metadata"]):
        return
    text = "Invalid value: 0: must be specified for an update"
    cause = errors.Cause("FieldValueInvalid", text, "metadata.resourceVersion")
    kind = call.kind
    raise errors.invalid(kind.group, kind.plural, call.name, [cause])


def check_unborn(call: Call, document: Document) -> None:
    """Refuses to create by update or apply what is named by the uid of an earlier life, or by a
    revision that is none."""
    meta = document.get("metadata") or {}
    if uid := meta.get("uid"):
        raise other_life(call, uid, "")
    revision_of(meta)


def check_without_revision(meta: Mapping[str, Any]) -> None:
    """Refuses a new object that has a revision; what is no number is none, as upstream's store
    has it."""
    try:
        revision = revision_of(meta)
    except Unexplained:
        return
    if revision:
        raise Unexplained("resourceVersion should not be set on objects to be created")


def other_life(call: Call, wanted: str, found: str) -> Conflict:
    """Returns the error that says that another object of this name was meant."""
    kind = call.kind
    place = f"/{call.namespace}" if call.namespace else ""
    key = f"/registry/{kind.plural}{place}/{call.name}"
    why = (
        f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, "
        f"AdditionalErrorMsg: Precondition failed: UID in precondition: {wanted}, UID in object "
        f"meta: {found}"
    )
    return errors.conflict(kind.group, kind.plural, call.name, why)


def revision_of(meta: Mapping[str, Any]) -> int:
    """Returns the revision that metadata names, 0 for none; raises Unexplained."""
    text: str = meta.get("resourceVersion") or ""
    try:
        return options.unsigned(text) if text else 0
    except ValueError as error:
        raise Unexplained(str(error)) from error


def modified(call: Call) -> Conflict:
    """Returns the error that says that another write was faster."""
    kind = call.kind
    return errors.conflict(kind.group, kind.plural, call.name, errors.MODIFIED)
