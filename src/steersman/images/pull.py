"""Brings images to this machine: what the node asks for before it starts a container.

One rule: an image has a name in the store only when all its content is there and verified; callers
who want the same image at the same time share one pull.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Hashable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

from steersman.images.blobs import BlobWriter
from steersman.images.credentials import Login
from steersman.images.documents import (
    Config,
    Descriptor,
    Index,
    Kind,
    Manifest,
    Platform,
    choose,
    host_platform,
    parse,
)
from steersman.images.errors import Corrupt, ImageError, ImageNotFound, Refused
from steersman.images.http import Http
from steersman.images.references import Reference
from steersman.images.references import parse as parse_reference
from steersman.images.registry import Repository
from steersman.images.store import Image, Store

Policy = Literal["Always", "IfNotPresent", "Never"]
Progress = Callable[[str, int, int], None]
"""Gets a blob's digest, the bytes that have come and its size."""

PARALLEL_BLOBS = 3  # docker's default; more does not fill a line better
WRITE_BYTES = 1 << 20  # handed to a thread at a time
INDEX_DEPTH = 3  # an index may hold indexes
BLOB_LIMIT = 64 << 30
_FOREIGN = ("foreign", "nondistributable")

P = ParamSpec("P")
T = TypeVar("T")


class NotPresent(ImageError):
    """The policy is Never and the image is not here (ErrImageNeverPull)."""


class Puller:
    """The images of a node; `insecure` holds the registries to speak HTTP with."""

    def __init__(self, store: Store, http: Http, insecure: Collection[str] = ()) -> None:
        self._store, self._http, self._insecure = store, http, insecure
        self._flights: dict[Hashable, asyncio.Future[Any]] = {}

    async def ensure(
        self,
        text: str,
        policy: Policy,
        progress: Progress | None = None,
        login: Login | None = None,
    ) -> Image:
        """The image of a name, pulled where the policy says so, by whom `login` says.

        Raises InvalidReference (InvalidImageName), NotPresent (ErrImageNeverPull) and other
        ImageErrors (ErrImagePull), whose text is the message of the container's waiting state.
        """
        reference = parse_reference(text)
        if policy != "Always":
            image = await asyncio.to_thread(self._store.find, reference)
            if image is not None:
                return image
        if policy == "Never":
            raise NotPresent(f'Container image "{text}" is not present with pull policy of Never')
        key = (str(reference), login)  # what one may have is no answer for another
        return await self._joined(key, lambda: self._pull(reference, progress, login))

    async def rootfs(self, image: Image) -> list[Path]:
        """The image's layer directories, lowest first, unpacked where they are not yet."""
        key = ("rootfs", image.digest)
        return await self._joined(key, lambda: in_thread(self._store.rootfs, image))

    async def _pull(
        self, reference: Reference, progress: Progress | None, login: Login | None
    ) -> Image:
        insecure = reference.domain in self._insecure
        repository = Repository(self._http, reference, insecure=insecure, login=login)
        try:
            async with _adding(self._store):
                return await _Pull(self._store, repository, reference, progress).run()
        except (ImageError, OSError) as error:
            failure = _as_image_error(error)
            message = f'failed to pull and unpack image "{reference}": {failure}'
            raise type(failure)(message) from None

    async def _joined(self, key: Hashable, work: Callable[[], Awaitable[T]]) -> T:
        """Does `work`, or waits for who is doing it; takes over when they were cancelled."""
        while (flight := self._flights.get(key)) is not None:
            try:
                result: T = await asyncio.shield(flight)
                return result
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not flight.cancelled() or (task is not None and task.cancelling()):
                    raise
        flight = self._flights[key] = asyncio.get_running_loop().create_future()
        try:
            result = await work()
            flight.set_result(result)
            return result
        except (ImageError, OSError) as error:
            failure = _as_image_error(error)
            flight.set_exception(failure)
            flight.exception()  # nobody has to wait for it
            raise failure from None
        finally:
            flight.cancel()  # where neither a result nor a reason is known
            del self._flights[key]


class _Pull:
    """One pull of one image."""

    def __init__(
        self,
        store: Store,
        repository: Repository,
        reference: Reference,
        progress: Progress | None,
    ) -> None:
        self._store, self._repository, self._reference = store, repository, reference
        self._progress = progress
        self._gate = asyncio.Semaphore(PARALLEL_BLOBS)

    async def run(self) -> Image:
        try:
            top, digest, data = await self._resolve()
        except ImageError as error:
            message = f'failed to resolve reference "{self._reference}": {error}'
            raise type(error)(message) from None
        manifest = parse(data, Manifest)
        await self._fetch_all(manifest)
        await in_thread(self._check, manifest)
        by_digest = self._reference.with_digest(top)
        names = [by_digest] if self._reference.digest else [by_digest, self._reference]
        return await in_thread(self._named, data, digest, names)

    async def _resolve(self) -> tuple[str, str, bytes]:
        """The digest that the name stands for, and the manifest for this machine."""
        name = self._reference.digest or self._reference.tag or ""
        top, data = await self._repository.manifest(name)
        digest = top
        for _ in range(INDEX_DEPTH):
            index = _index_in(data)
            if index is None:
                return top, digest, data
            platform = host_platform()
            found = choose(index, platform)
            if found is None:
                raise ImageNotFound(f"no match for platform {_spelled(platform)} in manifest")
            digest, data = await self._repository.manifest(found.digest)
        raise Refused(f"the image has indexes nested over {INDEX_DEPTH} deep")

    async def _fetch_all(self, manifest: Manifest) -> None:
        wanted = {each.digest: each for each in (manifest.config, *manifest.layers)}
        try:
            async with asyncio.TaskGroup() as group:
                for descriptor in wanted.values():
                    group.create_task(self._fetch(descriptor))
        except* (ImageError, OSError) as errors:
            raise _first(errors) from None

    async def _fetch(self, descriptor: Descriptor) -> None:
        if any(word in descriptor.media_type for word in _FOREIGN):
            raise Refused(f"layer {descriptor.digest} is kept outside the registry")
        if not 0 <= descriptor.size <= BLOB_LIMIT:
            raise Refused(f"blob {descriptor.digest} has {descriptor.size} bytes")
        async with self._gate:
            if not self._store.blobs.has(descriptor.digest):
                await self._download(descriptor)

    async def _download(self, descriptor: Descriptor) -> None:
        async with await self._repository.blob(descriptor.digest) as response:
            with self._store.blobs.writing() as writer:
                pending = bytearray()
                async for chunk in response.chunks():
                    pending += chunk
                    if writer.size + len(pending) > descriptor.size:
                        raise Corrupt(f"blob {descriptor.digest} is longer than stated")
                    if len(pending) >= WRITE_BYTES:
                        await self._write(writer, pending, descriptor)
                        pending = bytearray()
                await self._write(writer, pending, descriptor)
                await in_thread(writer.commit, descriptor.digest)

    async def _write(self, writer: BlobWriter, data: bytearray, descriptor: Descriptor) -> None:
        await in_thread(writer.write, data)
        if self._progress is not None:
            self._progress(descriptor.digest, writer.size, descriptor.size)

    def _check(self, manifest: Manifest) -> None:
        config = parse(self._store.blobs.read(manifest.config.digest), Config)
        platform = host_platform()
        if (config.os, config.architecture) != (platform.os, platform.architecture):
            theirs = f"{config.os}/{config.architecture}"
            raise Refused(f"the image is for {theirs}, this machine is {_spelled(platform)}")

    def _named(self, data: bytes, digest: str, names: list[Reference]) -> Image:
        self._store.blobs.add(data)
        self._store.tag(digest, *names)
        return self._store.get(str(names[-1]))


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs file work in a thread; when cancelled, ends only after the work has."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *args, **kwargs))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])  # its files are closed by whoever is being cancelled
        raise


@asynccontextmanager
async def _adding(store: Store) -> AsyncIterator[None]:
    lock = store.adding()
    await in_thread(lock.__enter__)
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def _index_in(data: bytes) -> Index | None:
    """The index in a document, or nothing when it is a manifest. Raises Refused for schema 1."""
    kind = parse(data, Kind)
    if kind.schema_version != 2:
        raise Refused("the image has a manifest of schema 1, which registries gave up")
    return parse(data, Index) if kind.is_index else None


def _spelled(platform: Platform) -> str:
    return f"{platform.os}/{platform.architecture}"


def _as_image_error(error: ImageError | OSError) -> ImageError:
    """An error of the disk in the words of this package."""
    if isinstance(error, ImageError):
        return error
    return ImageError(f"{error.filename or 'the image store'}: {error.strerror}")


def _first(errors: BaseExceptionGroup[ImageError | OSError]) -> ImageError:
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else _as_image_error(found)
