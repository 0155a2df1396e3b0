"""Layers from strangers: nothing leaves the directory, nothing grows without bound."""

import gzip
import io
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from layer_archives import Member, digest, file, folder, hard_link, link, tar_of, unpack

from steersman.images import layers
from steersman.images.errors import Corrupt, ImageError, Refused
from steersman.images.merged import OPAQUE
from steersman.images.removal import remove_tree
from steersman.wire import tar

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="needs root: unpacking sets owners")


def untouched(where: Path) -> bool:
    """Whether what lies beside the layer is as it was."""
    names = {each.name for each in where.iterdir()}
    return names == {"outside", "blob", "layer"} and (where / "outside").read_text() == "untouched"


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([file("../outside", b"x")], "climbs"),
        ([file("a/../../outside", b"x")], "climbs"),
        ([folder("..")], "climbs"),
        ([file("/../outside", b"x")], "climbs"),
        ([link("d", ".."), file("d/../outside", b"x")], "climbs"),
        ([file(".wh...", b"")], "whiteout"),
        ([file(".wh..", b"")], "whiteout"),
        ([file("d/.wh.", b"")], "whiteout"),
        ([hard_link("h", "../outside")], "climbs"),
        ([hard_link("h", "/outside")], "leads out"),
        ([link("up", ".."), hard_link("h", "up/outside")], "leads out"),
        ([hard_link("h", "nowhere/x")], "leads out"),
        ([hard_link("h", "/")], "directory"),
        ([file("a\0b" + "x" * 200, b"")], "zero byte"),
        ([link("s", "a\0b" + "x" * 200)], "no valid target"),
        ([link("s", "")], "no valid target"),
        ([link("s", "t" * 5000)], "no valid target"),
        ([file("n" * 300, b"")], "component"),
        ([file("/".join(["n" * 200] * 30), b"")], "too long"),
        ([file("f", b"", uid=1 << 33)], "owner"),
        ([file("f", b"", gid=(1 << 32) - 1)], "owner"),
        ([file("f", b"", mtime=1 << 50)], "time"),
        ([file("f", b"", xattrs={"trusted.overlay.redirect": b"/etc"})], "trusted"),
        ([folder("d", xattrs={"trusted.overlay.opaque": b"y"})], "trusted"),
        ([link(".", "/etc")], "root of the layer"),
        ([file("f"), file("f/x", b"")], "cannot unpack"),
        ([link("l", "/nowhere"), file("l/x", b"")], "cannot unpack"),
        ([link("l", "l"), file("l/x", b"")], "cannot unpack"),
    ],
)
def test_a_hostile_layer_is_refused_and_touches_nothing_outside(
    tmp_path: Path, members: list[Member], reason: str
) -> None:
    with pytest.raises(ImageError, match=reason):
        unpack(tmp_path / "w", tar_of(*members))
    assert untouched(tmp_path / "w")


@pytest.mark.parametrize(
    ("members", "inside"),
    [
        ([link("up", ".."), file("up/outside", b"x")], "outside"),
        ([link("up", "../../.."), file("up/outside", b"x")], "outside"),
        ([link("abs", "/"), file("abs/outside", b"x")], "outside"),
        ([folder("d"), link("d/up", "../.."), file("d/up/outside", b"x")], "outside"),
        ([link("a", "b"), link("b", "/.."), file("a/outside", b"x")], "outside"),
        ([file("/outside", b"x")], "outside"),
        ([file("./outside", b"x")], "outside"),
        ([file("//d//outside", b"x")], "d/outside"),
    ],
)
def test_links_and_absolute_names_stay_inside_the_layer(
    tmp_path: Path, members: list[Member], inside: str
) -> None:
    directory = unpack(tmp_path / "w", tar_of(*members))
    assert (directory / inside).read_bytes() == b"x"
    assert untouched(tmp_path / "w")


def test_a_file_replaces_a_link_and_does_not_follow_it(tmp_path: Path) -> None:
    data = tar_of(link("f", "../outside"), file("f", b"mine"))
    directory = unpack(tmp_path / "w", data)
    assert (directory / "f").read_bytes() == b"mine" and not (directory / "f").is_symlink()
    assert untouched(tmp_path / "w")


def test_a_directory_entry_does_not_follow_a_link_of_its_name(tmp_path: Path) -> None:
    data = tar_of(link("d", ".."), folder("d", mode=0o700), file("d/x", b"1"))
    directory = unpack(tmp_path / "w", data)
    assert not (directory / "d").is_symlink() and (directory / "d/x").read_bytes() == b"1"
    assert untouched(tmp_path / "w")


def test_a_directory_that_becomes_a_link_does_not_lead_out(tmp_path: Path) -> None:
    data = tar_of(file("d/x", b"1"), link("d", "/"), file("d/y", b"2"))
    directory = unpack(tmp_path / "w", data)
    assert (directory / "y").read_bytes() == b"2"
    assert (directory / "d").is_symlink() and not (directory / "x").exists()


def test_a_later_entry_replaces_an_earlier_one_of_any_kind(tmp_path: Path) -> None:
    data = tar_of(folder("a"), file("a/x", b"1"), file("a", b"2"), file("b", b"3"), folder("b"))
    directory = unpack(tmp_path / "w", data)
    assert (directory / "a").read_bytes() == b"2"
    assert (directory / "b").is_dir()


def test_a_directory_over_a_whiteout_of_its_own_layer_hides_what_is_below(tmp_path: Path) -> None:
    named = (file(".wh.d", b""), folder("d"))
    implied = (file(".wh.e", b""), file("e/x", b"1"))
    directory = unpack(tmp_path / "w", tar_of(*named, *implied, folder("f")))
    assert [os.getxattr(directory / name, OPAQUE) for name in ("d", "e")] == [b"y", b"y"]
    assert OPAQUE not in os.listxattr(directory / "f")


def test_a_directory_stays_when_it_is_named_again_and_takes_its_new_mode(tmp_path: Path) -> None:
    data = tar_of(folder("a"), file("a/x", b"1"), folder("a", mode=0o700))
    directory = unpack(tmp_path / "w", data)
    assert (directory / "a/x").read_bytes() == b"1"
    assert (directory / "a").stat().st_mode & 0o7777 == 0o700


def test_a_hard_link_shares_its_file_and_finds_it_through_links(tmp_path: Path) -> None:
    data = tar_of(link("l", "/d"), file("d/x", b"1"), hard_link("h", "/l/x"))
    directory = unpack(tmp_path / "w", data)
    assert (directory / "h").stat().st_ino == (directory / "d/x").stat().st_ino


def test_a_hard_link_to_a_symbolic_link_links_the_link(tmp_path: Path) -> None:
    directory = unpack(tmp_path / "w", tar_of(link("s", "/etc/passwd"), hard_link("h", "s")))
    assert os.readlink(directory / "h") == "/etc/passwd"


def test_modes_owners_times_and_attributes_are_kept(tmp_path: Path) -> None:
    data = tar_of(
        folder("d", mode=0o1777, uid=5, gid=6, mtime=1000),
        file("d/f", b"x", mode=0o6755, uid=7, gid=8, mtime=2000, xattrs={"user.k": b"v"}),
        tar.Entry("d/s", "symlink", target="f", uid=9, gid=10, mtime=3000),
    )
    directory = unpack(tmp_path / "w", data)
    status = [os.lstat(directory / name) for name in ("d", "d/f", "d/s")]
    assert [(each.st_uid, each.st_gid, each.st_mtime) for each in status] == [
        (5, 6, 1000),
        (7, 8, 2000),
        (9, 10, 3000),
    ]
    assert [each.st_mode & 0o7777 for each in status[:2]] == [0o1777, 0o6755]
    assert os.getxattr(directory / "d/f", "user.k") == b"v"


def test_foreign_labels_are_left_out(tmp_path: Path) -> None:
    marks = {"security.selinux": b"x", "user.overlay.opaque": b"y", "user.k": b"v"}
    directory = unpack(tmp_path / "w", tar_of(file("f", b"", xattrs=marks)))
    assert os.listxattr(directory / "f") == ["user.k"]


def test_the_root_entry_sets_the_layers_own_directory(tmp_path: Path) -> None:
    directory = unpack(tmp_path / "w", tar_of(folder("./", mode=0o711, uid=3, mtime=77), file("f")))
    status = directory.stat()
    assert (status.st_mode & 0o7777, status.st_uid, status.st_mtime) == (0o711, 3, 77)


def test_a_parent_without_an_entry_takes_its_attributes_from_below(tmp_path: Path) -> None:
    below = tmp_path / "below"
    (below / "tmp").mkdir(parents=True)
    os.chown(below / "tmp", 11, 12)
    (below / "tmp").chmod(0o1777)
    os.utime(below / "tmp", (500, 500))
    directory = unpack(tmp_path / "w", tar_of(file("tmp/a/f", b"")), below=[below])
    status = (directory / "tmp").stat()
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o1777, 11, 12)
    assert status.st_mtime == 500
    assert (directory / "tmp/a").stat().st_mode & 0o7777 == 0o755


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (layers.Limits(entries=2), "more than 2 files"),
        (layers.Limits(total_bytes=2), "more than 2 bytes"),
        (layers.Limits(devices=2), "more than 2 device nodes"),
    ],
)
def test_a_layer_over_a_limit_is_refused(
    tmp_path: Path, limits: layers.Limits, reason: str
) -> None:
    nodes = [tar.Entry(f"c{each}", "character", device=(1, 3)) for each in range(3)]
    with pytest.raises(Refused, match=reason):
        unpack(tmp_path / "w", tar_of(*nodes, file("x", b"123")), limits=limits)


def test_a_layer_at_its_limits_is_unpacked(tmp_path: Path) -> None:
    limits = layers.Limits(entries=3, total_bytes=3, devices=1)
    node = tar.Entry("c", "fifo")
    unpack(tmp_path / "w", tar_of(node, file("x", b"12"), file("y", b"3")), limits=limits)


def test_a_layer_of_another_digest_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(tar_of(file("f", b"x")))
    (tmp_path / "layer").mkdir()
    with pytest.raises(Corrupt, match="has the digest"):
        layers.unpack(tmp_path / "blob", tmp_path / "layer", diff_id=digest(b"other"))


def test_what_follows_the_end_of_the_archive_counts_for_the_digest_and_is_bounded(
    tmp_path: Path,
) -> None:
    data = tar_of(file("f", b"x")) + b"\0" * 4096
    assert (unpack(tmp_path / "w", data) / "f").exists()
    with pytest.raises(Refused, match="long after the end"):
        unpack(tmp_path / "v", data + bytes(layers.TAIL_LIMIT))


def noise(size: int) -> bytes:
    """Bytes that do not compress, the same in every run."""
    return random.Random(size).randbytes(size)


def gzipped(tmp_path: Path, data: bytes, blob: bytes) -> None:
    (tmp_path / "blob").write_bytes(blob)
    (tmp_path / "layer").mkdir()
    layers.unpack(tmp_path / "blob", tmp_path / "layer", diff_id=digest(data))


def test_a_gzip_layer_of_several_members_is_unpacked(tmp_path: Path) -> None:
    data = tar_of(file("f", noise(300_000)))
    blob = b"".join(gzip.compress(data[at : at + 100_000]) for at in range(0, len(data), 100_000))
    gzipped(tmp_path, data, blob)
    assert (tmp_path / "layer/f").stat().st_size == 300_000


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda blob: blob[: len(blob) // 2], "truncated"),
        (lambda blob: blob[:-1], "truncated"),
        (lambda blob: blob[:-8] + b"\0" * 8, "damaged"),
        (lambda blob: blob[:200] + b"\xff" * 50 + blob[250:], "damaged|truncated|checksum"),
        (lambda blob: blob + b"trailing", "damaged"),
        (lambda blob: b"", "truncated|digest"),
    ],
)
def test_a_damaged_gzip_layer_is_corrupt(
    tmp_path: Path, harm: Callable[[bytes], bytes], reason: str
) -> None:
    data = tar_of(file("f", noise(5000)))
    with pytest.raises(Corrupt, match=reason):
        gzipped(tmp_path, data, harm(gzip.compress(data)))


def test_a_decompression_bomb_is_refused_before_it_fills_the_disk(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    size = 300 << 20
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1) as file:
        file.write(tar.render(tar.Entry("zeros", "file", size=size)))
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
    (tmp_path / "blob").write_bytes(buffer.getvalue())
    (tmp_path / "layer").mkdir()
    with pytest.raises(Refused, match="expands to over 200 times"):
        layers.unpack(tmp_path / "blob", tmp_path / "layer", diff_id=digest(b""))
    assert (tmp_path / "layer/zeros").stat().st_size < 128 << 20


def test_a_zstd_layer_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"\x28\xb5\x2f\xfd" + b"x" * 100)
    (tmp_path / "layer").mkdir()
    with pytest.raises((Refused, Corrupt), match=r"install the Python package zstandard|damaged"):
        layers.unpack(tmp_path / "blob", tmp_path / "layer", diff_id=digest(b""))


def test_an_archive_that_is_no_layer_may_not_hold_whiteouts(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(tar_of(file("d/.wh.f")))
    with pytest.raises(Refused, match="deletion"):
        layers.extract(os.open(tmp_path / "a", os.O_RDONLY), tmp_path)


def deep() -> list[Member]:
    """Directories far deeper than Python's stack, open files and PATH_MAX, through links."""
    steps = "/".join(["d"] * 250)
    members: list[Member] = []
    for number in range(5):
        members += [folder(f"l{number}/{steps}"), link(f"l{number + 1}", f"l{number}/{steps}")]
    return members


def test_a_tree_of_any_depth_is_unpacked_replaced_and_removed(tmp_path: Path) -> None:
    try:
        directory = unpack(tmp_path / "w", tar_of(*deep(), file("l0", b"flat")))
        assert (directory / "l0").read_bytes() == b"flat" and untouched(tmp_path / "w")
        again = unpack(tmp_path / "v", tar_of(*deep()))
        remove_tree(again)
        assert {each.name for each in (tmp_path / "v").iterdir()} == {"outside", "blob"}
    finally:  # pytest cannot remove such a tree
        subprocess.run(["rm", "-rf", tmp_path / "w", tmp_path / "v"], check=True)


def test_removal_does_not_follow_links(tmp_path: Path) -> None:
    directory = unpack(tmp_path / "w", tar_of(link("d/up", "../.."), link("up", "..")))
    remove_tree(directory)
    assert (tmp_path / "w/outside").read_text() == "untouched"


def test_nothing_stays_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    unpack(tmp_path / "w", tar_of(file("a/b/c", b"x"), folder("d"), hard_link("h", "a/b/c")))
    with pytest.raises(ImageError):
        unpack(tmp_path / "v", tar_of(file("a/b", b"x"), file("../x", b"")))
    assert os.listdir("/proc/self/fd") == before
