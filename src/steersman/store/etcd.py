"""The store in etcd: each method is one call of etcd's API, as docs/adr/0003 maps them.

A sketch that keeps the interface right: it reconnects no lost stream and pages no large answer.
etcd's first revision is 1 for an empty history, ours is 0: they differ by one everywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar

import grpc  # type: ignore[import-untyped]
from aetcd import rpc

from steersman.store.checks import check_key, check_limit, check_writes
from steersman.store.interface import (
    Batch,
    Closed,
    Compacted,
    Conflict,
    Full,
    Page,
    Record,
    Write,
)

Answer = TypeVar("Answer")
EVERYTHING = b"\0"  # as key and as range_end: the whole keyspace
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
# etcd's api/v3rpc/rpctypes/error.go
COMPACTED = "etcdserver: mvcc: required revision has been compacted"
FUTURE = "etcdserver: mvcc: required revision is a future revision"
NO_SPACE = "etcdserver: mvcc: database space exceeded"


async def open_etcd(address: str) -> EtcdStore:
    """Connects to the etcd at host:port; raises grpc.aio.AioRpcError when it does not answer."""
    store = EtcdStore(grpc.aio.insecure_channel(address, options=UNLIMITED))
    await store.revision()
    return store


class _Follower:
    """How far a watch has come, and whether somebody waits for more."""

    def __init__(self, position: int, call: Any) -> None:
        self.position = position
        self.waits = False
        self.call = call


class EtcdStore:
    """See `store.interface.Store`; made by `open_etcd`."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self._kv = rpc.KVStub(channel)
        self._watch = rpc.WatchStub(channel)
        self._followers: set[_Follower] = set()
        self._moved = asyncio.Event()
        self._commits: set[asyncio.Future[None]] = set()
        self._closed = False

    async def revision(self) -> int:
        """See `Store.revision`: a linearizable Range of nothing, for its header."""
        self._check_open()
        answer = await self._kv.Range(rpc.RangeRequest(key=EVERYTHING, count_only=True))
        return int(answer.header.revision) - 1

    async def get(self, key: str, *, at: int | None = None) -> Record | None:
        """See `Store.get`: a Range of one key."""
        check_key(key)
        answer = await self._range(at, key=key.encode())
        return _record(answer.kvs[0]) if answer.kvs else None

    async def list(
        self, prefix: str, *, at: int | None = None, after: str = "", limit: int = 0
    ) -> Page:
        """See `Store.list`: a Range; its count counts beyond the limit."""
        check_limit(limit)
        start = prefix.encode() or EVERYTHING
        if after >= prefix and after:
            start = after.encode() + b"\0"
        end = _end(prefix.encode())
        if end != EVERYTHING and start >= end:
            start, end = EVERYTHING, EVERYTHING + EVERYTHING  # no key can be in there
        answer = await self._range(at, key=start, range_end=end, limit=limit)
        records = tuple([_record(pair) for pair in answer.kvs])
        revision = int(answer.header.revision) - 1 if at is None else at
        return Page(records, revision, int(answer.count) - len(records))

    async def commit(self, *writes: Write) -> int:
        """See `Store.commit`: a Txn whose failure branch reads what stands in the way."""
        self._check_open()
        check_writes(writes)
        done = asyncio.get_running_loop().create_future()
        self._commits.add(done)
        try:
            answer = await _translated(self._kv.Txn(_transaction(writes)), 0)
        finally:
            self._commits.discard(done)
            done.set_result(None)
        if not answer.succeeded:
            raise _conflict(writes, [reply.response_range for reply in answer.responses])
        revision = int(answer.header.revision) - 1
        await self._told(revision)
        return revision

    async def follow(self, prefix: str, *, after: int) -> AsyncIterator[Batch]:
        """See `Store.follow`: a Watch with prevKV.

        It watches the whole keyspace: its own progress would come every ten minutes, and asked
        for, in 3.4 it may run ahead of the events (etcd-io/etcd#15220).
        """
        await self._check_kept(after)
        requests: Any = self._watch.Watch()
        follower = _Follower(after, requests)
        self._followers.add(follower)
        try:
            await requests.write(_watching(after + 2))
            while True:
                events = await self._events(follower, after)
                if not events:
                    continue
                follower.position = after = int(events[-1].kv.mod_revision) - 1
                self._tell()
                changed = [_changed(event) for event in events]
                yield Batch(tuple([r for r in changed if r.key.startswith(prefix)]), after)
        finally:
            self._followers.discard(follower)
            self._tell()
            requests.cancel()

    async def compact(self, before: int) -> None:
        """See `Store.compact`: a Compact, which returns when the rows are gone."""
        self._check_open()
        _check_revision(before)
        try:
            await self._kv.Compact(rpc.CompactionRequest(revision=before + 1, physical=True))
        except grpc.aio.AioRpcError as error:
            if error.details() == FUTURE:
                raise ValueError(f"there is no revision {before}") from None
            if error.details() != COMPACTED:
                raise

    async def close(self) -> None:
        """See `Store.close`."""
        if self._closed:
            return
        self._closed = True
        if self._commits:
            await asyncio.wait(self._commits)
        for follower in self._followers:
            follower.call.cancel()
        await self._channel.close()

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("the store is closed")

    async def _range(self, at: int | None, **what: Any) -> Any:
        self._check_open()
        if at is None:
            return await self._kv.Range(rpc.RangeRequest(**what))
        _check_revision(at)
        try:
            request = rpc.RangeRequest(**what, revision=at + 1)
            return await _translated(self._kv.Range(request), at)
        except Compacted:
            raise Compacted(at, await self._oldest()) from None

    async def _check_kept(self, after: int) -> None:
        try:
            await self._range(after, key=EVERYTHING, count_only=True)
        except ValueError:  # a revision still to come
            return

    async def _oldest(self) -> int:
        """Asks for a watch from the beginning: its refusal says how far back one can go."""
        call: Any = self._watch.Watch()
        await call.write(_watching(1))
        async for answer in call:
            if answer.compact_revision:
                call.cancel()
                return int(answer.compact_revision) - 1
        raise Closed("etcd ended the watch")

    async def _events(self, follower: _Follower, after: int) -> Any:
        follower.waits = True
        try:
            answer: Any = await follower.call.read()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and not (task and task.cancelling()):
                raise Closed("the store is closed") from None
            raise
        finally:
            follower.waits = False
        if answer is grpc.aio.EOF:
            raise Closed("etcd ended the watch")
        if answer.compact_revision:
            raise Compacted(after, int(answer.compact_revision) - 1)
        return answer.events

    def _tell(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()

    async def _told(self, revision: int) -> None:
        """Waits until every follower who waits has been handed the revision."""
        while any(each.waits and each.position < revision for each in self._followers):
            await self._moved.wait()


def _end(prefix: bytes) -> bytes:
    """Returns etcd's range_end for a prefix: its last byte one higher."""
    stripped = prefix.rstrip(b"\xff")
    return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else EVERYTHING


def _check_revision(revision: int) -> None:
    if revision < 0:
        raise ValueError(f"there is no revision {revision}")


def _watching(first: int) -> Any:
    request = rpc.WatchCreateRequest(
        key=EVERYTHING, range_end=EVERYTHING, start_revision=first, prev_kv=True
    )
    return rpc.WatchRequest(create_request=request)


async def _translated(call: Awaitable[Answer], revision: int) -> Answer:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        if error.details() == COMPACTED:
            raise Compacted(revision, revision) from None
        if error.details() == FUTURE:
            raise ValueError(f"there is no revision {revision}") from None
        if error.details() == NO_SPACE:
            raise Full("etcd has no room for the write") from None
        raise


def _record(pair: Any) -> Record:
    return Record(
        pair.key.decode(), pair.value, int(pair.mod_revision) - 1, int(pair.create_revision) - 1
    )


def _changed(event: Any) -> Record:
    if event.type == rpc.Event.PUT:
        return _record(event.kv)
    created = int(event.prev_kv.create_revision) - 1
    return Record(event.kv.key.decode(), None, int(event.kv.mod_revision) - 1, created)


def _transaction(writes: tuple[Write, ...]) -> Any:
    compare = [condition for write in writes for condition in _conditions(write)]
    success = [_operation(write) for write in writes]
    failure = [
        rpc.RequestOp(request_range=rpc.RangeRequest(key=write.key.encode())) for write in writes
    ]
    return rpc.TxnRequest(compare=compare, success=success, failure=failure)


def _operation(write: Write) -> Any:
    key = write.key.encode()
    if write.value is None:
        return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key))
    return rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=write.value))


def _conditions(write: Write) -> list[Any]:
    key = write.key.encode()
    conditions = []
    if write.value is None:
        conditions.append(
            rpc.Compare(
                key=key,
                target=rpc.Compare.CREATE,
                result=rpc.Compare.GREATER,
                create_revision=0,
            )
        )
    if write.expected is not None:
        expected = write.expected + 1 if write.expected else 0
        conditions.append(
            rpc.Compare(
                key=key,
                target=rpc.Compare.MOD,
                result=rpc.Compare.EQUAL,
                mod_revision=expected,
            )
        )
    return conditions


def _conflict(writes: tuple[Write, ...], found: list[Any]) -> Conflict:
    """Names the first write whose condition does not hold."""
    for write, answer in zip(writes, found, strict=True):
        current = _record(answer.kvs[0]) if answer.kvs else None
        stands_at = current.revision if current else 0
        if write.value is None and current is None:
            return Conflict(write.key, None)
        if write.expected is not None and write.expected != stands_at:
            return Conflict(write.key, current)
    raise AssertionError("etcd refused a transaction whose conditions hold")
