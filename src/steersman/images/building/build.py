"""Builds an image from a Containerfile into the store, one layer per step that changes files.

Heavy and synchronous: call in a thread. Running is not here: RUN goes to the `run_step` that the
caller passes in. One rule: an error names file, line and reason, and leaves nothing behind.
"""

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import field
from msgspec.structs import replace

from steersman.images import accounts, diff, layers
from steersman.images.building import cache, configuration, containerfile, copying, ignore
from steersman.images.building.containerfile import Containerfile, Instruction
from steersman.images.building.substitution import SubstitutionError, expand
from steersman.images.documents import (
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    Config,
    Descriptor,
    History,
    Manifest,
    RootFS,
    RunConfig,
    Step,
    host_platform,
    render,
)
from steersman.images.errors import BuildError, ImageError, Refused
from steersman.images.merged import Found, Merged
from steersman.images.references import Reference
from steersman.images.references import parse as parse_reference
from steersman.images.store import Image, Store

FILE_NAMES = ("Containerfile", "Dockerfile")
IGNORE_NAMES = (".containerignore", ".dockerignore")
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FILE_LIMIT = 4 << 20  # bytes of a Containerfile or an ignore file


class Process(msgspec.Struct, frozen=True):
    """What RUN executes, in the words of `process` of the OCI runtime specification."""

    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    uid: int
    gid: int
    additional_gids: tuple[int, ...]


RunStep = Callable[[Sequence[Path], Path, Process], int]
"""Runs a process on layer directories (lowest first) and an upper directory; returns its exit code.

The directory above the upper one is private to the step: overlayfs' work directory goes there.
"""


class Request(msgspec.Struct, frozen=True):
    """What to build; `epoch` is SOURCE_DATE_EPOCH, and `now` the time otherwise (Unix seconds)."""

    context: Path
    tags: tuple[Reference, ...]
    now: float
    epoch: int | None = None
    file: Path | None = None  # None: Containerfile or Dockerfile in the context
    target: str = ""  # a stage; the last one when empty
    args: Mapping[str, str] = field(default_factory=dict)


def build(
    store: Store,
    request: Request,
    *,
    run_step: RunStep | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Image:
    """Builds and names an image; equal input with an `epoch` gives equal IDs.

    `report` gets one line per step. Raises BuildError for what the Containerfile asks in vain, and
    ImageError for the rest.
    """
    file = request.file or _find_file(request.context)
    parsed = containerfile.parse(_read_text(file), file.name)
    with store.adding(), ExitStack() as stack:
        builder = _Builder(store, request, parsed, run_step, report, stack)
        return builder.build()


def _find_file(context: Path) -> Path:
    for name in FILE_NAMES:
        if (context / name).is_file():
            return context / name
    raise ImageError(f"{context}: no {' or '.join(FILE_NAMES)} in this directory")


def _read_text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(FILE_LIMIT + 1)
    except OSError as error:
        raise ImageError(f"{file}: {error.strerror}") from None
    if len(data) > FILE_LIMIT:
        raise ImageError(f"{file}: over {FILE_LIMIT} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ImageError(f"{file}: not UTF-8 text") from None


def _read_ignore(context: Path) -> ignore.Ignore:
    for name in IGNORE_NAMES:
        if (context / name).is_file():
            return ignore.parse(_read_text(context / name))
    return ignore.Ignore()


class _Stage(msgspec.Struct):
    """An image in the making."""

    run: RunConfig
    layers: list[Descriptor] = field(default_factory=list)
    diff_ids: list[str] = field(default_factory=list)
    history: list[History] = field(default_factory=list)
    key: str = ""  # of the last step, for the cache
    created: str = ""
    args: dict[str, str] = field(default_factory=dict)
    has_cmd: bool = False

    @property
    def env(self) -> dict[str, str]:
        return configuration.env_of(self.run)


class _Builder:
    """One build; `_stages` are the finished ones."""

    def __init__(
        self,
        store: Store,
        request: Request,
        parsed: Containerfile,
        run_step: RunStep | None,
        report: Callable[[str], None],
        stack: ExitStack,
    ) -> None:
        self._store, self._request, self._parsed = store, request, parsed
        self._run_step, self._report, self._stack = run_step, report, stack
        self._context = Merged([request.context.resolve()])
        self._ignore = _read_ignore(request.context)
        self._stages: list[_Stage] = []
        self._globals: dict[str, str] = {}
        moment = request.now if request.epoch is None else request.epoch
        self._time = datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._steps = 0
        self._steps_total = sum(1 + len(stage.instructions) for stage in parsed.stages)
        self._do: Mapping[str, Callable[[_Stage, Instruction], None]] = {
            "ADD": self._copy,
            "ARG": self._arg,
            "CMD": self._configure,
            "COPY": self._copy,
            "ENTRYPOINT": self._configure,
            "ENV": self._configure,
            "EXPOSE": self._configure,
            "LABEL": self._configure,
            "RUN": self._run,
            "STOPSIGNAL": self._configure,
            "USER": self._configure,
            "WORKDIR": self._workdir,
        }

    def build(self) -> Image:
        for instruction in self._parsed.args:
            with self._blame(instruction):
                self._declare(self._globals, instruction, self._globals)
        last = self._last_stage()
        for number in range(last + 1):
            stage = self._parsed.stages[number]
            with self._blame(stage.origin):
                current = self._begin(stage.origin)
            for instruction in stage.instructions:
                self._announce(instruction)
                with self._blame(instruction):
                    self._do[instruction.name](current, instruction)
            self._stages.append(current)
        return self._finish(self._stages[last])

    # stages

    def _last_stage(self) -> int:
        wanted = self._request.target
        names = [stage.name for stage in self._parsed.stages]
        if wanted and wanted not in names:
            raise ImageError(f"{self._parsed.file}: no stage is named {wanted}")
        return names.index(wanted) if wanted else len(names) - 1

    def _begin(self, origin: Instruction) -> _Stage:
        self._announce(origin)
        self._check_platform(origin)
        name = self._expand(origin.words[0], self._globals)
        if name == "scratch":
            return _Stage(RunConfig(), key="scratch")
        earlier = self._stage_named(name)
        if earlier is not None:
            return self._child(earlier)
        return self._from_image(name)

    def _stage_named(self, name: str) -> _Stage | None:
        names = [stage.name for stage in self._parsed.stages[: len(self._stages)]]
        return self._stages[names.index(name.lower())] if name and name.lower() in names else None

    def _child(self, earlier: _Stage) -> _Stage:
        return _Stage(
            earlier.run,
            list(earlier.layers),
            list(earlier.diff_ids),
            list(earlier.history),
            earlier.key,
            earlier.created,
        )

    def _from_image(self, name: str) -> _Stage:
        image = self._local(name)
        config = image.config
        return _Stage(
            image.run_config,
            list(image.manifest.layers),
            list(config.rootfs.diff_ids),
            list(config.history or ()),
            key=image.id,
            created=image.created,
        )

    def _local(self, name: str) -> Image:
        reference = parse_reference(name)
        image = self._store.find(reference)
        if image is None:
            raise Refused(
                f"{name}: no such image in the store; run `steer pull {reference.familiar}`"
            )
        return image

    def _check_platform(self, origin: Instruction) -> None:
        platform = self._expand(origin.flags.get("platform", ""), self._globals)
        ours = f"linux/{host_platform().architecture}"
        if platform and platform != ours:
            raise Refused(f"the platform {platform} is not this machine's ({ours})")

    def _finish(self, stage: _Stage) -> Image:
        created = self._time if self._request.epoch is not None else stage.created or self._time
        config = Config(
            architecture=host_platform().architecture,
            os="linux",
            rootfs=RootFS("layers", tuple(stage.diff_ids)),
            created=created,
            config=stage.run,
            history=tuple(stage.history),
        )
        data = render(config)
        digest = self._store.blobs.add(data)
        manifest = Manifest(
            schema_version=2,
            media_type=OCI_MANIFEST,
            config=Descriptor(OCI_CONFIG, digest, len(data)),
            layers=tuple(stage.layers),
        )
        return self._store.add_image(manifest, *self._request.tags)

    # words

    def _announce(self, instruction: Instruction) -> None:
        self._steps += 1
        self._report(f"STEP {self._steps}/{self._steps_total}: {instruction.text}")

    @contextmanager
    def _blame(self, instruction: Instruction) -> Iterator[None]:
        """Gives errors their file and line."""
        try:
            yield
        except BuildError:
            raise
        except (ImageError, SubstitutionError) as error:
            raise BuildError(self._parsed.file, instruction.line, str(error)) from None
        except OSError as error:
            reason = f"{error.filename or 'cannot read or write'}: {error.strerror}"
            raise BuildError(self._parsed.file, instruction.line, reason) from None

    def _expand(self, text: str, variables: Mapping[str, str]) -> str:
        return expand(text, variables, self._parsed.escape)

    def _values(self, stage: _Stage) -> dict[str, str]:
        return {**stage.args, **stage.env}

    def _declare(
        self, into: dict[str, str], instruction: Instruction, values: Mapping[str, str]
    ) -> None:
        for word in instruction.words:
            name, equals, default = word.partition("=")
            if name in self._request.args:
                into[name] = self._request.args[name]
            elif equals:
                into[name] = self._expand(default, {**values, **into})
            elif name in self._globals:
                into[name] = self._globals[name]

    # instructions that change the configuration

    def _arg(self, stage: _Stage, instruction: Instruction) -> None:
        self._declare(stage.args, instruction, self._values(stage))
        self._step(stage, instruction, ("arg",), None)

    def _configure(self, stage: _Stage, instruction: Instruction) -> None:
        values = self._values(stage)
        stage.run = configuration.change(
            stage.run,
            instruction,
            lambda text: self._expand(text, values),
            has_own_cmd=stage.has_cmd,
        )
        stage.has_cmd = stage.has_cmd or instruction.name == "CMD"
        self._step(stage, instruction, ("config", render(stage.run).decode()), None)

    # instructions that make layers

    def _workdir(self, stage: _Stage, instruction: Instruction) -> None:
        path = self._expand(instruction.words[0], self._values(stage))
        directory = posixpath.normpath(posixpath.join(stage.run.working_dir or "/", path))
        stage.run = replace(stage.run, working_dir=directory)
        rootfs = self._rootfs(stage)
        items = copying.plan_directory(directory, rootfs)  # also refuses what is no directory
        make = self._writes(items) if rootfs.follow(directory) is None else None
        self._step(stage, instruction, ("workdir", directory), make)

    def _copy(self, stage: _Stage, instruction: Instruction) -> None:
        values = self._values(stage)
        *sources, target = (self._expand(word, values) for word in instruction.words)
        is_directory = target.endswith(("/", "/.")) or target == "."
        target = posixpath.normpath(posixpath.join(stage.run.working_dir or "/", target))
        origin, is_context = self._origin(instruction.flags.get("from", ""))
        rootfs = self._rootfs(stage)
        copy = copying.Copy(
            sources=tuple(sources),
            target=target.rstrip("/") + "/" if is_directory else target,
            owner=self._owner(rootfs, self._expand(instruction.flags.get("chown", ""), values)),
            mode=_mode(self._expand(instruction.flags.get("chmod", ""), values)),
            ignore=self._ignore if is_context else ignore.Ignore(),
            extract=self._extract if instruction.name == "ADD" else None,
        )
        items = copying.plan(copy, origin, rootfs)
        content = copying.content_key(items, self._request.epoch)
        self._step(stage, instruction, ("copy", content), self._writes(items))

    def _origin(self, name: str) -> tuple[Merged, bool]:
        """Where COPY --from takes its files; the context without a name."""
        if not name:
            return self._context, True
        if name.isdecimal() and int(name) < len(self._stages):
            return self._rootfs(self._stages[int(name)]), False
        stage = self._stage_named(name)
        if stage is not None:
            return self._rootfs(stage), False
        return Merged(self._store.rootfs(self._local(name))), False

    def _owner(self, rootfs: Merged, text: str) -> tuple[int, int] | None:
        if not text:
            return None
        account = accounts.look_up(rootfs, text)
        return account.uid, account.gid

    def _extract(self, archive: Found) -> Merged:
        directory = self._stack.enter_context(self._store.staged())
        layers.extract(archive.open(), directory)
        return Merged([directory])

    def _run(self, stage: _Stage, instruction: Instruction) -> None:
        rootfs = self._rootfs(stage)
        account = accounts.look_up(rootfs, stage.run.user)
        env = {"PATH": DEFAULT_PATH, "HOME": account.home, **stage.args, **stage.env}
        process = Process(
            args=configuration.argv(instruction),
            env=tuple(f"{name}={value}" for name, value in env.items()),
            cwd=stage.run.working_dir or "/",
            uid=account.uid,
            gid=account.gid,
            additional_gids=account.groups,
        )
        depends = ("run", process.args, process.env, process.cwd, stage.run.user)
        self._step(stage, instruction, depends, lambda out: self._execute(stage, process, out))

    def _execute(self, stage: _Stage, process: Process, out: Callable[[bytes], object]) -> None:
        if self._run_step is None:
            raise Refused("RUN needs a container runtime, and here is none")
        directories = self._unpacked(stage)
        with self._store.staged() as private:
            upper = private / "upper"
            upper.mkdir(mode=0o755)
            code = self._run_step(directories, upper, process)
            if code != 0:
                raise Refused(f"{' '.join(process.args)}: exit code {code}")
            items = diff.diff(upper, Merged(directories))
            diff.write(items, self._request.epoch, out)

    def _writes(self, items: list[diff.Item]) -> Callable[[Callable[[bytes], object]], None]:
        return lambda out: diff.write(items, self._request.epoch, out)

    def _rootfs(self, stage: _Stage) -> Merged:
        return Merged(self._unpacked(stage))

    def _unpacked(self, stage: _Stage) -> list[Path]:
        digests = (layer.digest for layer in stage.layers)
        return self._store.unpacked(tuple(zip(digests, stage.diff_ids, strict=True)))

    # steps

    def _step(
        self,
        stage: _Stage,
        instruction: Instruction,
        depends: tuple[object, ...],
        make: Callable[[Callable[[bytes], object]], None] | None,
    ) -> None:
        """Ends an instruction: takes its result from the cache or makes it, and writes history."""
        stage.key = cache.key(stage.key, instruction.text, depends, self._request.epoch)
        step = cache.look_up(self._store, stage.key)
        if step is None:
            step = self._made(make)
            cache.keep(self._store, stage.key, step)
        elif make is not None:
            self._report("--> from the cache")
        if step.layer is not None:
            stage.layers.append(step.layer)
            stage.diff_ids.append(step.diff_id)
        stage.created = step.created
        stage.history.append(
            History(
                created=step.created,
                created_by=instruction.text,
                empty_layer=step.layer is None,
            )
        )

    def _made(self, make: Callable[[Callable[[bytes], object]], None] | None) -> Step:
        if make is None:
            return Step(self._time)
        with self._store.blobs.writing() as writer:
            make(writer.write)
            digest = writer.commit()
        return Step(self._time, Descriptor(OCI_LAYER, digest, writer.size), digest)


def _mode(text: str) -> int | None:
    if not text:
        return None
    if len(text) > 5 or not set(text) <= set("01234567"):
        raise Refused(f"invalid chmod parameter: {text!r}; it is an octal number")
    return int(text, 8) & 0o7777
