"""Builds: what COPY and ADD take and where they put it, configuration, cache, stages, errors."""

import io
import json
import os
import stat
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from layer_archives import add_image, file, folder, link, tar_of

from steersman.images.building.build import Process, Request, RunStep, build
from steersman.images.documents import RunConfig
from steersman.images.errors import BuildError, ImageError
from steersman.images.merged import Merged
from steersman.images.references import parse
from steersman.images.removal import remove_tree
from steersman.images.store import Image, Store

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="needs root: unpacking sets owners")
NOW = 1_700_000_000.0


class Bench:
    """A store and a context to build in."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root / "store")
        self.context = root / "context"
        self.context.mkdir()
        self.lines: list[str] = []

    def put(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            path = self.context / name
            path.parent.mkdir(parents=True, exist_ok=True)
            data = content.encode() if isinstance(content, str) else content
            path.write_bytes(data)

    def build(self, text: str, *, run: RunStep | None = None, **request: Any) -> Image:
        (self.context / "Containerfile").write_text(text)
        given = {"tags": (parse("built:1"),), "now": NOW, **request}
        return build(
            self.store, Request(self.context, **given), run_step=run, report=self.lines.append
        )

    def rootfs(self, image: Image) -> Merged:
        return Merged(self.store.rootfs(image))

    def tree(self, image: Image, path: str = "") -> list[str]:
        """All paths in the image, directories with a slash."""
        merged, found = self.rootfs(image), []
        for name in merged.names(path):
            inner = f"{path}/{name}".lstrip("/")
            item = merged.find(inner)
            assert item is not None
            found.append(inner + ("/" if item.is_directory else ""))
            found += self.tree(image, inner) if item.is_directory else []
        return found

    def read(self, image: Image, path: str) -> bytes:
        found = self.rootfs(image).follow(path)
        assert found is not None, path
        with open(found.open(), "rb") as stream:
            return stream.read()

    def fails(self, text: str, **request: Any) -> str:
        with pytest.raises(BuildError) as caught:
            self.build(text, **request)
        assert self.store.images() == []
        assert list(self.store.staging.iterdir()) == []
        return str(caught.value)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# COPY


@pytest.mark.parametrize(
    ("copy", "expected"),
    [
        ("COPY a /", ["a"]),
        ("COPY a /x", ["x"]),
        ("COPY a /x/", ["x/", "x/a"]),
        ("COPY a d/b /x/", ["x/", "x/a", "x/b"]),
        ("COPY d /x", ["x/", "x/b", "x/e/", "x/e/c", "x/e/d"]),
        ("COPY d/ /x/", ["x/", "x/b", "x/e/", "x/e/c", "x/e/d"]),
        ("COPY d/. /x/", ["x/", "x/b", "x/e/", "x/e/c", "x/e/d"]),
        ("COPY d/e/* /x/", ["x/", "x/c", "x/d"]),
        ("COPY d/?/[c] /x/", ["x/", "x/c"]),
        ("COPY a* /", ["a"]),
        ("COPY /a /x/y/z", ["x/", "x/y/", "x/y/z"]),
        ("COPY ../../a /x", ["x"]),
        ('COPY ["a", "/with space"]', ["with space"]),
        ("WORKDIR /w\nCOPY a .", ["w/", "w/a"]),
        ("WORKDIR /w\nCOPY a b/", ["w/", "w/b/", "w/b/a"]),
        ("WORKDIR /w\nCOPY a b", ["w/", "w/b"]),
        ("COPY link /x", ["x"]),
        ("COPY link /x/", ["x/", "x/link"]),
        ("COPY in/b /x", ["x"]),
    ],
)
def test_copy_puts_files_where_docker_puts_them(
    bench: Bench, copy: str, expected: list[str]
) -> None:
    bench.put({"a": "1", "d/b": "2", "d/e/c": "3", "d/e/d": "4"})
    (bench.context / "link").symlink_to("d/b")
    (bench.context / "in").symlink_to("/d")
    assert bench.tree(bench.build(f"FROM scratch\n{copy}\n")) == expected


def test_links_inside_a_copied_directory_stay_links(bench: Bench) -> None:
    bench.put({"d/a": "1"})
    (bench.context / "d/l").symlink_to("/etc/passwd")
    found = bench.rootfs(bench.build("FROM scratch\nCOPY d /x\n")).find("x/l")
    assert found is not None and os.readlink(found.file) == "/etc/passwd"


@pytest.mark.parametrize(
    ("copy", "reason"),
    [
        ("COPY nothing /", "nothing: no such file in the build context"),
        ("COPY *.x /", "*.x: no such file in the build context"),
        ("COPY ../secret /", "../secret: no such file in the build context"),
        ("COPY absolute /", "absolute: no such file in the build context"),
        ("COPY climbing /", "climbing: no such file in the build context"),
        ("COPY out/secret /", "out/secret: no such file in the build context"),
        ("COPY loop /", "too many symbolic links"),
        ("COPY a a /x", "the destination must be a directory and end with /"),
        ("COPY a? /x", "a?: no such file"),
        ("COPY a /f\nCOPY a /f/x", "/f in the image is not a directory"),
        ("COPY wh /", "mean deletion in layers"),
        ("COPY [ /", "malformed"),
        ("COPY --chmod=9 a /", "invalid chmod parameter: '9'"),
        ("COPY --chown=nobody a /", "unable to find user nobody"),
        ("COPY --from=missing a /", "missing: no such image in the store"),
    ],
)
def test_copy_never_takes_what_is_outside_the_context(bench: Bench, copy: str, reason: str) -> None:
    bench.put({"a": "1", "wh/.wh.a": ""})
    (bench.context.parent / "secret").write_text("secret")
    for name, target in {
        "absolute": bench.context.parent / "secret",
        "climbing": "../secret",
        "out": "..",
        "loop": "loop",
    }.items():
        (bench.context / name).symlink_to(target)
    message = bench.fails(f"FROM scratch\n{copy}\n")
    assert message.startswith(f"Containerfile:{2 + copy.count(chr(10))}: ") and reason in message


def test_owner_and_mode_are_those_of_the_flags_or_root(bench: Bench) -> None:
    bench.put({"d/a": "1", "etc/passwd": "app:x:70:71::/:\n"})
    os.chown(bench.context / "d/a", 1234, 1234)
    (bench.context / "d/a").chmod(0o4750)
    image = bench.build(
        "FROM scratch\nCOPY etc /etc/\nCOPY d /plain\n"
        "ARG U=app\nCOPY --chown=$U --chmod=0640 d /owned\n"
    )
    facts = {}
    for path in ("plain/a", "owned/a", "owned"):
        found = bench.rootfs(image).find(path)
        assert found is not None
        facts[path] = (found.stat.st_uid, found.stat.st_gid, oct(stat.S_IMODE(found.stat.st_mode)))
    assert facts == {
        "plain/a": (0, 0, "0o4750"),
        "owned/a": (70, 71, "0o640"),
        "owned": (70, 71, "0o755"),
    }


def test_copy_follows_links_of_the_image_and_keeps_its_directories(bench: Bench) -> None:
    base = tar_of(
        folder("usr"), folder("usr/bin", mode=0o711, uid=5, mtime=99), link("bin", "usr/bin")
    )
    add_image(bench.store, "base:1", base)
    bench.put({"a": "1", "bin/b": "2"})
    image = bench.build("FROM base:1\nCOPY a /bin/\nCOPY bin /bin\n")
    assert bench.tree(image) == ["bin", "usr/", "usr/bin/", "usr/bin/a", "usr/bin/b"]
    found = bench.rootfs(image).find("usr/bin")
    assert found is not None and stat.S_IMODE(found.stat.st_mode) == 0o711
    assert found.stat.st_uid == 5


def test_the_ignore_file_keeps_files_out(bench: Bench) -> None:
    bench.put(
        {
            "a": "1",
            "b.o": "2",
            "d/c.o": "3",
            "d/keep.o": "4",
            "gone/x": "5",
            "part/x": "6",
            "part/y": "7",
            ".dockerignore": "**/*.o\n!d/keep.o\ngone\npart\n!part/y\nContainerfile\n.docker*\n",
        }
    )
    image = bench.build("FROM scratch\nCOPY . /\n")
    assert bench.tree(image) == ["a", "d/", "d/keep.o", "part/", "part/y"]
    with pytest.raises(BuildError, match="gone: no such file"):
        bench.build("FROM scratch\nCOPY gone /\n")
    with pytest.raises(BuildError, match=r"b\.o: no such file"):
        bench.build("FROM scratch\nCOPY b.o /\n")


def test_a_context_nested_without_end_is_refused_with_its_line(bench: Bench) -> None:
    top = bench.context / "deep"
    top.mkdir()
    descriptor = os.open(top, os.O_RDONLY)
    for _ in range(150):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)
    message = bench.fails("FROM scratch\nCOPY deep /d\n")
    remove_tree(top)
    assert message == "Containerfile:2: directories are nested over 128 deep"


# ADD


def archive(form: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{form}") as stream:
        info = tarfile.TarInfo("in/f")
        info.size, info.uid, info.mode = 1, 33, 0o600
        stream.addfile(info, io.BytesIO(b"x"))
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["", "gz"])
def test_add_unpacks_a_local_archive_and_copy_does_not(bench: Bench, form: str) -> None:
    packed = archive(form)  # once: gzip notes the time
    bench.put({"x.tar": packed, "plain": "1"})
    image = bench.build("FROM scratch\nADD x.tar plain /to/\nCOPY x.tar /as-file\n")
    assert bench.tree(image) == ["as-file", "to/", "to/in/", "to/in/f", "to/plain"]
    found = bench.rootfs(image).find("to/in/f")
    assert found is not None and found.stat.st_uid == 33 and found.stat.st_mode & 0o777 == 0o600
    assert bench.read(image, "as-file") == packed


def test_add_takes_gzip_of_something_else_as_a_file(bench: Bench) -> None:
    import gzip

    bench.put({"x.gz": gzip.compress(b"text")})
    assert bench.tree(bench.build("FROM scratch\nADD x.gz /\n")) == ["x.gz"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (tar_of(file("../x", b"")), "climbs"),
        (tar_of(file(".wh.x", b"")), "deletion"),
        (archive("bz2"), "bzip2"),
        (archive("xz"), "xz"),
    ],
)
def test_add_refuses_hostile_and_unsupported_archives(
    bench: Bench, data: bytes, reason: str
) -> None:
    bench.put({"x.tar": data})
    message = bench.fails("FROM scratch\nADD x.tar /to/\n")
    assert message.startswith("Containerfile:2: ") and reason in message


# configuration


def test_instructions_make_the_configuration(bench: Bench) -> None:
    image = bench.build(
        "ARG BASE=scratch\nFROM $BASE\n"
        "ARG NAME=n\nARG EMPTY\n"
        "ENV A=1 B=${A:-none}\nENV C=$A-$NAME$EMPTY\n"
        'LABEL l="$C x" m=1\nLABEL m=2\n'
        "EXPOSE 80 $A/udp 90-91/TCP\nUSER app:$A\nWORKDIR /a\nWORKDIR b/../c\n"
        'STOPSIGNAL SIGINT\nENTRYPOINT ["/x", "$A"]\nCMD echo $A\n'
    )
    assert image.run_config == RunConfig(
        user="app:1",
        exposed_ports={"80/tcp": {}, "1/udp": {}, "90-91/tcp": {}},
        env=("A=1", "B=none", "C=1-n"),
        entrypoint=("/x", "$A"),
        cmd=("/bin/sh", "-c", "echo $A"),
        working_dir="/a/c",
        labels={"l": "1-n x", "m": "2"},
        stop_signal="SIGINT",
    )
    history = image.config.history or ()
    assert [each.empty_layer for each in history].count(False) == 2  # the two WORKDIRs
    assert history[2].created_by == "ENV A=1 B=${A:-none}"
    assert image.created == "2023-11-14T22:13:20Z"
    assert image.config.os == "linux"


def test_build_arguments_win_over_defaults_and_only_where_declared(bench: Bench) -> None:
    text = "ARG G=g\nFROM scratch\nENV X=$A$G\nARG A=d\nARG G\nENV Y=$A$G\n"
    assert bench.build(text, args={"A": "given"}).run_config.env == ("X=", "Y=giveng")
    assert bench.build(text).run_config.env == ("X=", "Y=dg")


def test_an_own_entry_point_forgets_the_inherited_command(bench: Bench) -> None:
    run = RunConfig(entrypoint=("/e",), cmd=("c",), env=("A=b",))
    add_image(bench.store, "base:1", tar_of(file("f", b"1")), run=run)
    assert bench.build("FROM base:1\n").run_config == run
    assert bench.build('FROM base:1\nENTRYPOINT ["/n"]\n').run_config.cmd is None
    own = bench.build('FROM base:1\nCMD ["d"]\nENTRYPOINT ["/n"]\n').run_config
    assert (own.entrypoint, own.cmd) == (("/n",), ("d",))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("EXPOSE 0", "invalid containerPort: 0"),
        ("EXPOSE 65536", "invalid containerPort: 65536"),
        ("EXPOSE 80/icmp", "invalid containerPort: 80/icmp"),
        ("EXPOSE 80-x", "invalid containerPort: 80-x"),
        ("ENV A=${X:?missing}", "X: missing"),
        ("ENV A=${", "syntax error: bad substitution"),
        ("RUN true", "RUN needs a container runtime, and here is none"),
        ("COPY f /f\nWORKDIR /f", "/f in the image is not a directory"),
    ],
)
def test_a_failing_step_names_its_line(bench: Bench, line: str, reason: str) -> None:
    bench.put({"f": ""})
    message = bench.fails(f"FROM scratch\n\n{line}\n")
    assert message == f"Containerfile:{3 + line.count(chr(10))}: {reason}"


def test_an_image_that_is_not_here_or_of_another_platform_is_refused(bench: Bench) -> None:
    assert "run `steer pull nginx:1`" in bench.fails("FROM nginx:1\n")
    assert "Containerfile:1: the platform linux/riscv64" in bench.fails(
        "FROM --platform=linux/riscv64 scratch\n"
    )
    assert "must be lowercase" in bench.fails("FROM NGINX\n")


def test_a_missing_file_context_or_stage_is_said_plainly(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no Containerfile or Dockerfile"):
        build(bench.store, Request(tmp_path, (parse("x"),), now=NOW))
    with pytest.raises(ImageError, match="no stage is named other"):
        bench.build("FROM scratch AS one\n", target="other")
    (bench.context / "Containerfile").write_bytes(b"\xff\xfe")
    with pytest.raises(ImageError, match="not UTF-8"):
        build(bench.store, Request(bench.context, (parse("x"),), now=NOW))


def test_a_dockerfile_or_a_named_file_is_taken(bench: Bench, tmp_path: Path) -> None:
    bench.put({"Dockerfile": "FROM scratch\nENV A=1\n"})
    request = Request(bench.context, (parse("a"), parse("b:2")), now=NOW)
    assert build(bench.store, request).run_config.env == ("A=1",)
    assert [str(each) for each in bench.store.images()[0].references] == [
        "docker.io/library/a:latest",
        "docker.io/library/b:2",
    ]
    (tmp_path / "Other").write_text("FROM scratch\nFORM\n")
    with pytest.raises(BuildError, match="Other:2: unknown instruction: FORM"):
        build(bench.store, Request(bench.context, (), now=NOW, file=tmp_path / "Other"))


# stages


def test_stages_copy_from_each_other_by_name_number_and_image(bench: Bench) -> None:
    add_image(bench.store, "lib:1", tar_of(file("l", b"lib")))
    bench.put({"a": "1", "b": "2"})
    image = bench.build(
        "FROM scratch AS one\nCOPY a /d/a\nENV A=1\n"
        "FROM one AS two\nCOPY b /d/b\n"
        "FROM scratch\nCOPY --from=two /d /x/\nCOPY --from=0 d/a /y\nCOPY --from=lib:1 /l /\n"
    )
    assert bench.tree(image) == ["l", "x/", "x/a", "x/b", "y"]
    assert image.run_config.env is None
    text = "FROM scratch AS one\nENV A=1\nFROM one AS two\nENV B=2\nFROM x\n"
    two = bench.build(text, target="two")
    assert two.run_config.env == ("A=1", "B=2")


# cache and determinism


def test_equal_input_and_an_epoch_give_equal_ids(tmp_path: Path) -> None:
    ids = set()
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        bench = Bench(tmp_path / name)
        bench.put({"b": "2", "a": "1", "d/c": "3"})
        os.utime(bench.context / "a", (NOW, NOW + (5 if name == "x" else 9)))
        text = "FROM scratch\nCOPY . /\nWORKDIR /w\nENV A=1\n"
        ids.add(bench.build(text, epoch=1_600_000_000, now=NOW + len(ids)).id)
    assert len(ids) == 1


def test_a_repeated_build_takes_its_steps_from_the_cache(bench: Bench) -> None:
    bench.put({"a": "1"})
    text = "FROM scratch\nCOPY a /a\nENV A=1\nWORKDIR /w\n"
    first = bench.build(text)
    assert "--> from the cache" not in bench.lines
    os.utime(bench.context / "a", (5, 5))
    second = bench.build(text, now=NOW + 100)
    assert second.id == first.id and bench.lines.count("--> from the cache") == 2
    bench.put({"a": "2"})
    third = bench.build(text, now=NOW + 200)
    assert third.id != first.id and bench.read(third, "a") == b"2"
    changed = bench.build(text.replace("/a\n", "/b\n"))
    assert "b" in bench.tree(changed)


def test_a_changed_mode_is_a_change_and_the_cache_survives_lost_layers(bench: Bench) -> None:
    bench.put({"a": "1"})
    text = "FROM scratch\nCOPY a /a\n"
    bench.build(text)
    (bench.context / "a").chmod(0o755)
    image = bench.build(text)
    found = bench.rootfs(image).find("a")
    assert found is not None and found.stat.st_mode & 0o111
    assert len(list(bench.store.cache.iterdir())) == 2
    bench.store.collect()
    assert len(list(bench.store.cache.iterdir())) == 1
    bench.store.remove("built:1")
    bench.store.collect()
    assert list(bench.store.cache.iterdir()) == []
    assert bench.read(bench.build(text), "a") == b"1"


def test_progress_is_reported_by_step(bench: Bench) -> None:
    bench.build("FROM scratch\nENV A=1\n")
    assert bench.lines == ["STEP 1/2: FROM scratch", "STEP 2/2: ENV A=1"]


# RUN, with a runner that writes instead of running


class Runner:
    """Writes a file for each step and remembers what it was asked for."""

    def __init__(self, code: int = 0) -> None:
        self.asked: list[Process] = []
        self.code = code

    def __call__(self, rootfs: Sequence[Path], upper: Path, process: Process) -> int:
        self.asked.append(process)
        assert list(upper.iterdir()) == [] and upper.parent.is_dir()
        (upper / "made").write_text(json.dumps(process.args))
        (upper / "dev").mkdir()
        (upper / "etc").mkdir()
        (upper / "etc/resolv.conf").touch()
        return self.code


def test_run_gets_the_process_and_its_changes_become_a_layer(bench: Bench) -> None:
    bench.put({"etc/passwd": "app:x:70:71::/srv:\n", "etc/group": "g:x:9:app\n"})
    runner = Runner()
    text = "FROM scratch\nCOPY etc /etc\nUSER app\nARG V=1\nENV E=2\nWORKDIR /w\nRUN echo $V\n"
    image = bench.build(text + 'RUN ["/x", "y"]\n', run=runner)
    shell, direct = runner.asked
    assert shell.args == ("/bin/sh", "-c", "echo $V") and direct.args == ("/x", "y")
    assert (shell.uid, shell.gid, shell.additional_gids, shell.cwd) == (70, 71, (9,), "/w")
    assert set(shell.env) == {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME=/srv",
        "V=1",
        "E=2",
    }
    assert bench.read(image, "made") == b'["/x", "y"]'
    assert bench.tree(image) == ["etc/", "etc/group", "etc/passwd", "made", "w/"]
    assert image.run_config.env == ("E=2",)


def test_a_cached_run_is_not_run_again_unless_its_arguments_change(bench: Bench) -> None:
    runner = Runner()
    text = "FROM scratch\nARG V=1\nRUN x\n"
    first = bench.build(text, run=runner)
    assert bench.build(text, run=runner, now=NOW + 9).id == first.id
    assert len(runner.asked) == 1
    bench.build(text, run=runner, args={"V": "2"})
    assert len(runner.asked) == 2


def test_a_failed_run_names_its_line_and_exit_code(bench: Bench) -> None:
    with pytest.raises(BuildError) as caught:
        bench.build("FROM scratch\n\nRUN false\n", run=Runner(7))
    assert str(caught.value) == "Containerfile:3: /bin/sh -c false: exit code 7"
    assert bench.store.images() == [] and list(bench.store.staging.iterdir()) == []
