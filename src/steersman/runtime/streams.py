"""The three streams of a container in its shim: output to log and watchers, input to it.

Rule: one who does not read cannot stop a container; a watcher that falls a megabyte behind
is let go. Input is read only as fast as the container takes it.
"""

from __future__ import annotations

import errno
import os

from .protocol import MAX_DESCRIPTORS
from .reactor import READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .logs import LogFile
    from .reactor import Reactor

_CHUNK_BYTES = 1 << 16
# A terminal session that is a megabyte behind is not read by anybody.
MAX_BEHIND_BYTES = 1 << 20


def close_all(descriptors: list[int]) -> None:
    """Closes and forgets descriptors."""
    while descriptors:
        os.close(descriptors.pop())


def fill_streams(descriptors: list[int]) -> None:
    """Adds /dev/null for the standard streams that are not given."""
    while len(descriptors) < MAX_DESCRIPTORS:
        descriptors.append(os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC))


class Sink:
    """Somebody's descriptor that output is copied to."""

    def __init__(self, reactor: Reactor, descriptor: int) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._waiting = bytearray()
        self._ending = False
        os.set_blocking(descriptor, False)
        self._listen()

    def _listen(self) -> None:
        """Hears of nothing but that the reader is gone, so that nobody is held up by it."""
        try:
            self._reactor.watch(self._descriptor, 0, self.close)
        except PermissionError:  # a regular file or /dev/null, whose reader is never gone
            return

    @property
    def open(self) -> bool:
        """Whether the descriptor still takes output."""
        return self._descriptor >= 0

    def send(self, data: bytes) -> None:
        """Copies output; lets go of a reader that is gone or too far behind."""
        if not self.open:
            return
        self._waiting += data
        self._flush()
        if len(self._waiting) > MAX_BEHIND_BYTES:
            self.close()

    def _flush(self) -> None:
        try:
            while self._waiting:
                del self._waiting[: os.write(self._descriptor, self._waiting)]
        except BlockingIOError:
            self._reactor.watch(self._descriptor, WRITE, self._flush)
            return
        except OSError:  # the reader is gone, which is its right
            self.close()
            return
        if self._ending:
            self.close()
        else:
            self._listen()

    def finish(self) -> None:
        """Closes once what is waiting has been taken."""
        self._ending = True
        if self.open:
            self._flush()

    def close(self) -> None:
        """Closes now; what waits is lost."""
        if self.open:
            self._reactor.forget(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
            self._waiting.clear()


class Output:
    """One output stream of a container, copied to its log and to sinks."""

    def __init__(self, reactor: Reactor, descriptor: int, name: str, log: LogFile) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._name = name
        self._log = log
        self._sinks: list[Sink] = []
        if descriptor >= 0:
            os.set_blocking(descriptor, False)
            reactor.watch(descriptor, READ, self._copy)

    @property
    def descriptor(self) -> int:
        """What it reads from; -1 when that has ended."""
        return self._descriptor

    @property
    def quiet(self) -> bool:
        """Whether nobody but the log gets what comes."""
        return not any(sink.open for sink in self._sinks)

    def add(self, sink: Sink) -> None:
        """Copies what comes from now on to `sink` too."""
        if self._descriptor < 0:
            sink.finish()
        else:
            self._sinks = [known for known in self._sinks if known.open] + [sink]

    def _copy(self) -> bool:
        """Moves one chunk; False when there is nothing (more) to move now."""
        try:
            data = os.read(self._descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal says EIO when its last user is gone
                raise
            data = b""
        if not data:
            self.close()
            return False
        self._log.write(self._name, data)
        for sink in self._sinks:
            sink.send(data)
        return True

    def drain(self) -> None:
        """Moves what is there now; the container has ended. Bounded by the pipe's size."""
        moved = 0
        while self._descriptor >= 0 and moved < MAX_BEHIND_BYTES and self._copy():
            moved += _CHUNK_BYTES

    def close(self) -> None:
        """Ends the stream: the log gets its last line, the sinks their end."""
        if self._descriptor < 0:
            return
        self._reactor.forget(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1
        self._log.finish(self._name)
        for sink in self._sinks:
            sink.finish()


class Input:
    """The standard input of a container: fed by whoever is attached."""

    def __init__(self, reactor: Reactor, descriptor: int, *, once: bool, terminal: bool) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self._once = once
        self._terminal = terminal
        self._waiting = b""
        self._sources = 0
        if descriptor >= 0:
            os.set_blocking(descriptor, False)

    @property
    def descriptor(self) -> int:
        """What it writes to; -1 when that is closed."""
        return self._descriptor

    @property
    def quiet(self) -> bool:
        """Whether nothing is being copied."""
        return not self._sources

    def feed_from(self, source: int) -> None:
        """Copies from `source`, which this then owns, until either side ends."""
        self._sources += 1
        os.set_blocking(source, False)
        self._listen(source)

    def _listen(self, source: int) -> None:
        try:
            self._reactor.watch(source, READ, lambda: self._copy(source))
        except PermissionError:  # a regular file or /dev/null: always ready, epoll refuses it
            while self._copy(source):
                pass

    def _copy(self, source: int) -> bool:
        try:
            data = os.read(source, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data or self._descriptor < 0:
            self._end(source)
            return False
        self._waiting = data
        return self._flush(source)

    def _flush(self, source: int) -> bool:
        try:
            while self._waiting:
                self._waiting = self._waiting[os.write(self._descriptor, self._waiting) :]
        except BlockingIOError:
            self._reactor.forget(source)
            self._reactor.watch(self._descriptor, WRITE, lambda: self._resume(source))
            return False
        except OSError:  # the container has closed its input
            self._end(source)
            return False
        return True

    def _resume(self, source: int) -> None:
        if self._flush(source):
            self._reactor.forget(self._descriptor)
            self._listen(source)

    def _end(self, source: int) -> None:
        self._sources -= 1
        self._reactor.forget(source)
        os.close(source)
        if self._once and not self._terminal:
            self.close()

    def close(self) -> None:
        """Ends the container's input."""
        if self._descriptor >= 0:
            self._reactor.forget(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1


class Streams:
    """What a shim holds of a container's streams; `child` are the ends for the container."""

    def __init__(
        self,
        reactor: Reactor,
        log: LogFile,
        *,
        stdin: bool,
        once: bool,
        terminal: bool,
        opened: bool = True,
    ) -> None:
        self._reactor = reactor
        self._log = log
        self._once = once
        self._outputs: dict[str, Output] = {}
        self._input: Input | None = None
        self.terminal = -1
        self.child: list[int] = []
        if opened and not terminal:
            self._open_pipes(stdin)

    def _open_pipes(self, stdin: bool) -> None:
        if stdin:
            reader, writer = os.pipe2(os.O_CLOEXEC)
            self._input = Input(self._reactor, writer, once=self._once, terminal=False)
        else:
            reader = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        self.child.append(reader)
        for name in ("stdout", "stderr"):
            reader, writer = os.pipe2(os.O_CLOEXEC)
            self._outputs[name] = Output(self._reactor, reader, name, self._log)
            self.child.append(writer)

    @property
    def quiet(self) -> bool:
        """Whether nobody is attached, or was and waits."""
        fed = self._input is not None and not self._input.quiet
        return not self.child and not fed and all(it.quiet for it in self._outputs.values())

    def freeze(self) -> dict[str, Any]:
        """The descriptors that are open; they stay so."""
        return {
            "outputs": {name: it.descriptor for name, it in self._outputs.items()},
            "input": self._input.descriptor if self._input is not None else None,
            "terminal": self.terminal,
        }

    def thaw(self, kept: Mapping[str, Any], *, is_terminal: bool) -> None:
        """Takes up the descriptors that were open."""
        self.terminal = kept["terminal"]
        for name, descriptor in kept["outputs"].items():
            self._outputs[name] = Output(self._reactor, descriptor, name, self._log)
        if kept["input"] is not None:
            self._input = Input(self._reactor, kept["input"], once=self._once, terminal=is_terminal)

    def use_terminal(self, master: int) -> None:
        """Takes the terminal that the container has opened in place of pipes."""
        self.terminal = master
        output = os.dup(master)
        self._outputs["stdout"] = Output(self._reactor, output, "stdout", self._log)
        feed = os.dup(master)
        self._input = Input(self._reactor, feed, once=self._once, terminal=True)

    def close_child_ends(self) -> None:
        """To be called when the container's first process has its copies."""
        for descriptor in self.child:
            os.close(descriptor)
        self.child = []

    def attach(self, sources: dict[str, int]) -> None:
        """Connects descriptors ("stdin", "stdout", "stderr"), which this then owns."""
        for name, descriptor in sources.items():
            if name == "stdin" and self._input is not None:
                self._input.feed_from(descriptor)
            elif name in self._outputs:
                self._outputs[name].add(Sink(self._reactor, descriptor))
            else:
                os.close(descriptor)

    def drain(self) -> None:
        """The container has ended: moves the rest of its output."""
        for output in self._outputs.values():
            output.drain()

    def close(self) -> None:
        """Closes everything."""
        self.close_child_ends()
        for end in (*self._outputs.values(), self._input):
            if end is not None:
                end.close()
        if self.terminal >= 0:
            os.close(self.terminal)
            self.terminal = -1
        self._log.close()
