"""One connection of the HTTP server: an `asyncio.Protocol` that answers requests in their order.

Knows nothing of Kubernetes. A handler's immediate answer is written in the callback that read the
request: no task, no timer, one write.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, cast

from steersman.client.channel import Gate, SocketChannel
from steersman.listen.streaming import PushSink, cut, gzipped, pulled
from steersman.model.errors import APIError, TooManyRequests, UnsupportedMediaType
from steersman.wire import media
from steersman.wire.http import (
    BODY,
    CONTINUE,
    HEAD,
    LAST_CHUNK,
    NO_CONTENT,
    PIECE_BYTES,
    Incoming,
    Refused,
    RequestReader,
    framed,
    head,
    inflate,
)
from steersman.wire.message import Peer, Push, Request, Response, Upgrade
from steersman.wire.status import to_response

if TYPE_CHECKING:
    from steersman.listen.serve import Server

# From the first byte (or the end of the handshake) to the end of a request's head
HEAD_SECONDS = 10.0
# For a request's body: 3 MiB over a slow line
BODY_SECONDS = 60.0
# Between requests; the idle timeout of kube-apiserver's server
IDLE_SECONDS = 90.0
# After a refusal the rest of what the client sends is read away, or it may never see the answer
LINGER_SECONDS = 1.0
# Requests read ahead of the one being answered; beyond, the socket is left alone
MAX_PIPELINED = 32
# Upstream compresses bodies over 128 KiB (defaultGzipThresholdBytes)
COMPRESS_BYTES = 128 * 1024
# A client may choose its Audit-ID up to this length (maxAuditIDLength)
AUDIT_ID_CHARACTERS = 64

CROWDED = "too many requests, please try again later"

log = logging.getLogger(__name__)


class Connection(asyncio.Protocol):
    """One client's connection, from the handshake's end to its loss."""

    def __init__(self, server: Server, peer: Peer, *, compress: bool) -> None:
        self.peer = peer
        # Nobody has shown yet who they are; the server keeps few of these
        self.unproven = False
        self._server = server
        self._compress = compress
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport = cast(asyncio.Transport, None)
        self._reader = RequestReader(peer, self._take)
        self._queue: deque[Incoming | Refused] = deque()
        self._gate = Gate()
        self._busy = False
        self._held = False
        self._closing = False
        self._discarding = False
        self._task: asyncio.Task[None] | None = None
        self._sink: PushSink | None = None
        self._channel: SocketChannel | None = None
        self._early = b""
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._audit = ""
        self._answered = 0

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        session = transport.get_extra_info("ssl_object")
        if session is not None:
            self.peer.certificate = session.getpeercert(binary_form=True)
            self.unproven = self.peer.certificate is None
        self._audit = self._server.world.uid()[:24]
        self._server.join(self)
        self._expect(HEAD_SECONDS)

    def data_received(self, data: bytes) -> None:
        if self._channel is not None:
            self._channel.feed(data)
            return
        if self._discarding:
            return
        if self._held:
            # Decrypted before reading was paused
            self._early += data
            return
        reader = self._reader
        stage, taken = reader.stage, reader.taken
        try:
            behind = reader.feed(data)
        except Refused as refusal:
            self._refuse(refusal)
            return
        if self.unproven and not self._server.hold(self, reader.body_bytes):
            self._refuse(Refused(to_response(TooManyRequests(CROWDED, retry_after_seconds=1))))
            return
        if behind is not None:
            self._leave_http(behind)
        elif reader.stage != stage or reader.taken != taken:
            self._on_time()

    def eof_received(self) -> bool:
        if self._channel is not None:
            self._channel.end()
        return False

    def pause_writing(self) -> None:
        self._gate.pause()

    def resume_writing(self) -> None:
        self._gate.resume()
        self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._queue.clear()
        self._gate.lose()
        if self._timer is not None:
            self._timer.cancel()
        if self._channel is not None:
            self._channel.end()
        if self._sink is not None:
            self._sink.close()
        elif self._task is not None and self._channel is None:
            self._task.cancel()
        self._reader.drop()
        self._server.forget(self)

    # What the server calls

    def shut_down(self) -> None:
        """Ends gracefully: at once when idle or streaming a watch, else after the answer."""
        self._closing = True
        if self._sink is not None:
            self._sink.finish()
        elif self._channel is not None:
            self._channel.close()
        elif not self._busy and not self._queue:
            self._transport.close()

    def abort(self) -> None:
        """Ends now."""
        if self._task is not None:
            self._task.cancel()
        self._transport.abort()

    # Reading

    def _take(self, incoming: Incoming) -> None:
        """Takes a whole request from the reader."""
        if self._busy or self._queue or self._gate.paused:
            self._queue.append(incoming)
            if len(self._queue) >= MAX_PIPELINED:
                self._hold()
        else:
            self._answer(incoming)

    def _refuse(self, refusal: Refused) -> None:
        self._reader.drop()
        self._discarding = True
        self._queue.append(refusal)
        self._advance()

    def _leave_http(self, behind: bytes) -> None:
        """Puts the bytes behind an upgrade request where they belong."""
        if self._channel is not None:
            if behind:
                self._channel.feed(behind)
        elif self._busy or self._queue:
            self._early = behind
            self._hold()
        elif behind:
            self.data_received(behind)

    def _on_time(self) -> None:
        """Sets the time that the client has for what comes next."""
        reader = self._reader
        if reader.continue_due and not self._busy:
            reader.continue_due = False
            self._transport.write(CONTINUE)
        if reader.stage == HEAD:
            self._expect(HEAD_SECONDS)
        elif reader.stage == BODY:
            self._expect(BODY_SECONDS)
        elif not self._busy:
            self._expect(IDLE_SECONDS)

    def _hold(self) -> None:
        if not self._held:
            self._held = True
            self._transport.pause_reading()

    def _release(self) -> None:
        """Goes on reading, first what came before the pause took hold."""
        self._held = False
        self._transport.resume_reading()
        early, self._early = self._early, b""
        if early:
            self.data_received(early)

    def _expect(self, seconds: float) -> None:
        """Lets the connection live for so long without progress; one timer serves many calls."""
        self._deadline = deadline = self._loop.time() + seconds
        timer = self._timer
        if timer is None or timer.when() > deadline:
            if timer is not None:
                timer.cancel()
            self._timer = self._loop.call_at(deadline, self._overdue)

    def _overdue(self) -> None:
        self._timer = None
        if self._busy and not self._discarding:
            return  # the client waits for us; the next `_expect` sets the timer again
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._overdue)
        else:
            self._transport.close()

    # Answering

    def _advance(self) -> None:
        """Answers what was read ahead, as far as it goes at once."""
        while self._queue and not self._busy and not self._gate.paused:
            following = self._queue.popleft()
            if isinstance(following, Refused):
                self._send_refusal(following.response)
            else:
                self._answer(following)
        if not self._busy and not self._closing:
            if self._held and not self._queue:
                self._release()
            if not self._discarding:
                self._on_time()

    def _answer(self, incoming: Incoming) -> None:
        request = incoming.request
        if request.body and "content-encoding" in request.headers:
            self._start(self._run(incoming, self._decoded(request)))
            return
        try:
            answer = self._server.handler(request)
        except Exception as error:  # noqa: BLE001 - the HTTP edge
            answer = self._failure(request, error)
        self._note_who()  # now: a watch does not finish for hours
        if isinstance(answer, Response):
            rest = self._send(incoming, answer)
            if rest is not None:
                self._start(self._guarded(rest, request))
            if request.finished is not None:
                self._tell_finished(request.finished)
        else:
            self._start(self._run(incoming, answer))

    def _tell_finished(self, finished: Callable[[], None]) -> None:
        """Says that an answer is written, once it is; or that nobody takes it any more, which the
        end of its task says even where it never ran."""
        if self._task is None:
            finished()
        else:
            self._task.add_done_callback(lambda _task: finished())

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._busy = True
        self._task = self._server.start(work)

    async def _decoded(self, request: Request) -> Response:
        """Answers a request after unpacking its body, in a thread: 3 MiB take a while."""
        encoding = request.headers["content-encoding"].lower()
        if encoding not in ("gzip", "identity"):
            raise UnsupportedMediaType(f"the body's content encoding {encoding!r} is not gzip")
        if encoding == "gzip":
            request.body = await asyncio.to_thread(inflate, request.body)
        answer = self._server.handler(request)
        return answer if isinstance(answer, Response) else await answer

    async def _run(self, incoming: Incoming, work: Coroutine[Any, Any, Response]) -> None:
        try:
            response = await work
        except Exception as error:  # noqa: BLE001 - the HTTP edge
            response = self._failure(incoming.request, error)
        if (finished := incoming.request.finished) is not None:
            self._tell_finished(finished)
        await self._guarded(self._sent(incoming, response), incoming.request)

    async def _sent(self, incoming: Incoming, response: Response) -> None:
        """Writes an answer whole. Guarded: an error of one answer must not reach the group of
        tasks that all connections live in, which ends the server."""
        rest = None if self._gate.lost else self._send(incoming, response)
        if rest is not None:
            await rest

    async def _guarded(self, rest: Coroutine[Any, Any, None] | None, request: Request) -> None:
        """Finishes an answer whose head is out: all that can be done of a failure now is to
        report it and to break off the connection, which the client cannot take for an end."""
        try:
            if rest is not None:
                await rest
        except ConnectionError:
            self._transport.abort()
        except Exception as error:  # noqa: BLE001 - the HTTP edge
            self._failure(request, error)
            self._transport.abort()
        self._task = None
        if self._sink is None and self._channel is None:
            self._busy = False
            self._advance()

    def _failure(self, request: Request, error: Exception) -> Response:
        if not isinstance(error, APIError):
            log.error("%s %s failed", request.method, request.path, exc_info=error)
        return media.refusal(error, request.headers.get("accept", ""))

    def _send_refusal(self, response: Response) -> None:
        """Writes the connection's last answer and reads away what the client still sends."""
        body = cast(bytes, response.body)
        lines = f"Content-Length: {len(body)}\r\nConnection: close\r\n"
        fixed = f"Date: {self._server.date()}\r\n"
        self._transport.write(head(response.status, response.content_type, None, fixed, lines))
        self._transport.write(body)
        self._expect(LINGER_SECONDS)

    def _send(self, incoming: Incoming, response: Response) -> Coroutine[Any, Any, None] | None:
        """Writes what can be written at once; returns what remains, to be run in a task."""
        body = response.body
        if type(body) is bytes and len(body) <= COMPRESS_BYTES:
            self._write_whole(incoming, response, body)
            return None
        if isinstance(body, (bytes, Sequence)):
            return self._send_sized(incoming, response, body)
        if isinstance(body, Upgrade):
            return self._upgrade(incoming, response, body)
        if isinstance(body, AsyncIterator):
            return self._stream(incoming, response, body, None)
        self._push(incoming, response, body)
        return None

    def _send_sized(
        self, incoming: Incoming, response: Response, body: bytes | Sequence[bytes]
    ) -> Coroutine[Any, Any, None] | None:
        size = len(body) if isinstance(body, bytes) else sum(len(piece) for piece in body)
        if self._compresses(incoming, response, size):
            extra = {**(response.headers or {}), "Content-Encoding": "gzip"}
            extra["Vary"] = "Accept-Encoding"
            packed = Response(b"", response.status, response.content_type, extra)
            return self._stream(incoming, packed, gzipped(body), None)
        if size > PIECE_BYTES:
            return self._stream(incoming, response, pulled(body), size)
        whole = body if isinstance(body, bytes) else b"".join(body)
        self._write_whole(incoming, response, whole)
        return None

    def _compresses(self, incoming: Incoming, response: Response, size: int) -> bool:
        return (
            size > COMPRESS_BYTES
            and self._compress
            and "gzip" in incoming.request.headers.get("accept-encoding", "")
            and not (response.headers and "Content-Encoding" in response.headers)
        )

    def _write_whole(self, incoming: Incoming, response: Response, body: bytes) -> None:
        start = self._head(incoming, response, len(body))
        bodiless = incoming.request.method == "HEAD" or response.status in NO_CONTENT
        self._transport.write(start if bodiless else start + body)
        self._finish(incoming)

    async def _stream(
        self,
        incoming: Incoming,
        response: Response,
        pieces: AsyncIterator[bytes],
        size: int | None,
    ) -> None:
        """Writes a body under back-pressure, in chunks where its size is not known."""
        write, gate = self._transport.write, self._gate
        chunked = size is None and not incoming.old
        write(self._head(incoming, response, size))
        try:
            if incoming.request.method != "HEAD":
                async for piece in pieces:
                    for part in cut(piece):
                        write(framed(part) if chunked else part)
                        await gate.passed()
                        await self._server.world.sleep(0)  # others have their turn
                if chunked:
                    write(LAST_CHUNK)
        finally:
            if close := getattr(pieces, "aclose", None):
                await close()
        self._finish(incoming)

    def _push(self, incoming: Incoming, response: Response, push: Push) -> None:
        self._transport.write(self._head(incoming, response, None))
        if incoming.request.method == "HEAD":
            self._finish(incoming)
            return
        self._busy = True
        ended, chunked = lambda: self._pushed(incoming), not incoming.old
        sink = PushSink(self._transport, self._gate, ended, chunked=chunked)
        self._sink = sink
        try:
            sink.when_closed(push(sink))
        except Exception as error:  # noqa: BLE001 - the HTTP edge
            self._failure(incoming.request, error)
            self._transport.abort()

    def _pushed(self, incoming: Incoming) -> None:
        """Goes on after a push has finished."""
        self._sink = None
        self._busy = False
        self._finish(incoming)
        self._advance()

    async def _upgrade(self, incoming: Incoming, response: Response, upgrade: Upgrade) -> None:
        """Writes the 101 and hands the connection over; it is closed when its taker is done."""
        headers = {"Connection": "Upgrade", **(response.headers or {})}
        fixed = f"Date: {self._server.date()}\r\n"
        self._transport.write(head(101, "", headers, fixed, ""))
        early, self._early = self._early, b""
        self._channel = channel = SocketChannel(self._transport, self._gate, early)
        if self._held:
            self._held = False
            self._transport.resume_reading()
        try:
            await upgrade.take(channel)
        finally:
            channel.close()

    def _head(self, incoming: Incoming, response: Response, size: int | None) -> bytes:
        notes = incoming.request.notes
        audit = notes.id if notes is not None else incoming.request.headers.get("audit-id", "")
        if not audit or len(audit) > AUDIT_ID_CHARACTERS:
            audit = f"{self._audit}{self._answered:012x}"
        extra = response.headers
        fixed = f"Audit-Id: {audit}\r\n"
        if extra is None or "Cache-Control" not in extra:
            fixed = f"Cache-Control: no-cache, private\r\n{fixed}"
        if extra is None or "Date" not in extra:  # a proxied answer brings its own
            fixed += f"Date: {self._server.date()}\r\n"
        if response.status in NO_CONTENT:
            framing = ""
        elif size is not None:
            framing = f"Content-Length: {size}\r\n"
        else:
            framing = "" if incoming.old else "Transfer-Encoding: chunked\r\n"
            incoming.keep_alive = incoming.keep_alive and not incoming.old
        if not incoming.keep_alive or self._closing:
            framing += "Connection: close\r\n"
        elif incoming.old:
            framing += "Connection: keep-alive\r\n"
        return head(response.status, response.content_type, extra, fixed, framing)

    def _finish(self, incoming: Incoming) -> None:
        """Closes the books on one answer."""
        self._answered += 1
        if not incoming.keep_alive or self._closing:
            self._closing = True
            self._queue.clear()
            self._transport.close()
        self._note_who()

    def _note_who(self) -> None:
        if self.unproven and self.peer.identity:
            self._server.prove(self)
