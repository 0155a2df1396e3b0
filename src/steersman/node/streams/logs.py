"""Logs of containers as pieces of a body: whole, the end of one, or followed to its end.

Driven by inotify and by the container's end; nothing polls, and a slow reader is waited for.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

from steersman.model.errors import BadRequest, InternalError
from steersman.node.streams.endings import Endings
from steersman.node.streams.inotify import DirectoryChanges
from steersman.node.streams.log_entries import Rendering
from steersman.node.streams.log_file import LogFile
from steersman.node.streams.pods import Container, Instance, Pod
from steersman.wire.log_options import LogOptions
from steersman.world.interface import World

# kubelet's words for reasons that are well known (validateContainerLogStatus)
_WAITS = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


def choose_instance(pod: str, name: str, container: Container, *, previous: bool) -> Instance:
    """Returns the run whose log is wanted; raises BadRequest where there is none."""
    if previous:
        if container.previous is None:
            raise BadRequest(f'previous terminated container "{name}" in pod "{pod}" not found')
        return container.previous
    if container.current is not None:
        return container.current
    if not container.waiting:
        raise BadRequest(f'container "{name}" in pod "{pod}" is not available')
    why = _WAITS.get(container.waiting, container.waiting)
    raise BadRequest(f'container "{name}" in pod "{pod}" is waiting to start: {why}')


class Logs:
    """Opens logs."""

    def __init__(self, endings: Endings, world: World) -> None:
        self._endings = endings
        self._world = world
        self._changes = DirectoryChanges()

    def open(
        self, pod_name: str, pod: Pod, container: str, options: LogOptions
    ) -> AsyncIterator[bytes]:
        """Returns the log's pieces; raises BadRequest, InternalError before the first."""
        instance = choose_instance(
            pod_name, container, pod.containers[container], previous=options.previous
        )
        try:
            file = LogFile(instance.log)
        except OSError as error:
            why = f"failed to try resolving symlinks in path {instance.log!r}: {error.strerror}"
            raise InternalError(why) from error
        # A followed log has all entries from the tail on, another exactly the tail
        entries = None if options.follow else options.tail_lines
        if options.tail_lines is not None:
            file.seek_tail(options.tail_lines)
        rendering = Rendering(options, self._world.now(), entries)
        if options.follow:
            return self._follow(file, rendering, pod.sandbox, instance)
        return _read(file, rendering)

    async def _follow(
        self, file: LogFile, rendering: Rendering, sandbox: str, instance: Instance
    ) -> AsyncIterator[bytes]:
        news = asyncio.Event()
        directory = os.path.dirname(instance.log)
        with (
            file,
            self._changes.watch(directory, news.set),
            self._endings.watch(sandbox, instance.id, news.set) as ended,
        ):
            while True:
                news.clear()
                # Asked before reading: what was written until then is in the file by now
                replaced, over = file.replaced(), bool(ended)
                for piece in _pieces(file, rendering):
                    yield piece
                if rendering.done:
                    break
                if replaced:
                    file.follow_path()
                elif over:
                    if rest := rendering.finish():
                        yield rest
                    break
                else:
                    await news.wait()


def _pieces(file: LogFile, rendering: Rendering) -> Iterator[bytes]:
    """Yields what is in the file now."""
    while not rendering.done and (data := file.read()):
        if shown := rendering.feed(data):
            yield shown


async def _read(file: LogFile, rendering: Rendering) -> AsyncIterator[bytes]:
    with file:
        for piece in _pieces(file, rendering):
            yield piece
        if rest := rendering.finish():
            yield rest
