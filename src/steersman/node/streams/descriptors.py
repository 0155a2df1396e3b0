"""Reading and writing pipes and terminals without ever blocking the loop."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable

# Pieces on the way to a client; kubectl reads as much at once
PIECE_BYTES = 32 * 1024


class Descriptor:
    """One end of a pipe, or a terminal; owned, closed by `close` or when forgotten."""

    def __init__(self, number: int) -> None:
        self.number = number
        os.set_blocking(number, False)

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Closes it; repeatable. Nobody may be reading or writing."""
        if self.number >= 0:
            os.close(self.number)
            self.number = -1

    async def read(self) -> bytes:
        """Returns the next piece, b"" at the end."""
        while True:
            try:
                return os.read(self.number, PIECE_BYTES)
            except BlockingIOError:
                loop = asyncio.get_running_loop()
                await _ready(self.number, loop.add_reader, loop.remove_reader)
            except OSError as error:
                if error.errno != errno.EIO:  # a terminal whose last user is gone
                    raise
                return b""

    async def write(self, data: bytes) -> None:
        """Writes all of it; raises BrokenPipeError or EIO once nobody reads."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self.number, view) :]
            except BlockingIOError:
                loop = asyncio.get_running_loop()
                await _ready(self.number, loop.add_writer, loop.remove_writer)


async def _ready(number: int, add: Callable[..., object], remove: Callable[[int], object]) -> None:
    """Waits until a descriptor is ready; `add` and `remove` are the loop's."""
    ready = asyncio.get_running_loop().create_future()

    def tell() -> None:
        if not ready.done():
            ready.set_result(None)

    add(number, tell)
    try:
        await ready
    finally:
        remove(number)


class Pipes:
    """Pipes between the agent and a process: our ends, and those to hand over.

    `theirs` maps stdin, stdout and stderr, as far as they are wanted, to descriptors.
    """

    def __init__(self, *, stdin: bool, stdout: bool, stderr: bool) -> None:
        self.theirs: dict[str, int] = {}
        self.stdin: Descriptor | None = None
        self.outputs: dict[str, Descriptor] = {}
        if stdin:
            reading, writing = os.pipe2(os.O_CLOEXEC)
            self.theirs["stdin"] = reading
            self.stdin = Descriptor(writing)
        for name, wanted in (("stdout", stdout), ("stderr", stderr)):
            if wanted:
                reading, writing = os.pipe2(os.O_CLOEXEC)
                self.theirs[name] = writing
                self.outputs[name] = Descriptor(reading)

    def hand_over(self) -> None:
        """Closes their ends here: they have been duplicated, or are not needed."""
        while self.theirs:
            os.close(self.theirs.popitem()[1])

    def close(self) -> None:
        """Closes everything."""
        self.hand_over()
        for end in (self.stdin, *self.outputs.values()):
            if end is not None:
                end.close()
