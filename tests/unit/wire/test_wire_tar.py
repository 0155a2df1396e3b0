"""Tar archives: what we write others read, what others write we read, what is broken is refused."""

import io
import tarfile
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.wire import tar


def read_all(data: bytes) -> list[tuple[tar.Entry, bytes]]:
    reader = tar.Reader(io.BytesIO(data).read)
    return [(entry, b"".join(reader.data())) for entry in reader]


def written(*members: tuple[tar.Entry, bytes]) -> bytes:
    parts = [tar.render(entry) + data + tar.padding(len(data)) for entry, data in members]
    return b"".join([*parts, tar.END])


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=180)
entries = st.builds(
    tar.Entry,
    name=names.filter(lambda name: not name.endswith("/")),
    kind=st.just("file"),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 1 << 33),
    gid=st.integers(0, 1 << 33),
    mtime=st.integers(-(1 << 40), 1 << 40),
    xattrs=st.dictionaries(
        st.from_regex(r"user\.[a-z]{1,9}", fullmatch=True), st.binary(max_size=40), max_size=2
    ),
)


@given(entries, st.binary(max_size=1600))
def test_an_entry_survives_writing_and_reading(entry: tar.Entry, data: bytes) -> None:
    from msgspec.structs import replace

    entry = replace(entry, size=len(data))
    assert read_all(written((entry, data))) == [(entry, data)]


def test_other_kinds_survive_writing_and_reading() -> None:
    members = [
        tar.Entry("d", "directory", mode=0o1777),
        tar.Entry("s", "symlink", target="t" * 300),
        tar.Entry("h", "hardlink", target="s"),
        tar.Entry("c", "character", device=(1, 3)),
        tar.Entry("b", "block", device=(259, 70000)),
        tar.Entry("p", "fifo"),
    ]
    assert [entry for entry, _ in read_all(written(*((each, b"") for each in members)))] == members


def test_pythons_tarfile_reads_what_is_written() -> None:
    entry = tar.Entry("a" * 150, "file", 0o4755, 70, 80, 3, 12345, xattrs={"user.k": b"\x00v"})
    with tarfile.open(fileobj=io.BytesIO(written((entry, b"abc")))) as archive:
        (member,) = archive.getmembers()
        content = archive.extractfile(member)
        assert content is not None and content.read() == b"abc"
    assert (member.name, member.mode, member.uid, member.gid) == ("a" * 150, 0o4755, 70, 80)
    assert member.mtime == 12345
    assert member.pax_headers["SCHILY.xattr.user.k"] == "\x00v"


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_what_pythons_tarfile_writes_is_read(form: int) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name in ("short", "x" * 90 + "/" + "y" * 90):
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.uid = 5, 1700000000, 1000
            archive.addfile(info, io.BytesIO(b"hello"))
    found = read_all(buffer.getvalue())
    assert [(entry.name, data) for entry, data in found] == [
        ("short", b"hello"),
        ("x" * 90 + "/" + "y" * 90, b"hello"),
    ]
    assert {(entry.mtime, entry.uid) for entry, _ in found} == {(1700000000, 1000)}


def test_gnus_large_and_negative_numbers_are_read() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        info = tarfile.TarInfo("n")
        info.uid, info.mtime = 1 << 40, -7
        archive.addfile(info)
    ((entry, _),) = read_all(buffer.getvalue())
    assert (entry.uid, entry.mtime) == (1 << 40, -7)


def test_content_that_is_not_read_is_stepped_over() -> None:
    data = written((tar.Entry("a", "file", size=1500), b"x" * 1500), (tar.Entry("b", "file"), b""))
    assert [entry.name for entry in tar.Reader(io.BytesIO(data).read)] == ["a", "b"]


def test_a_global_header_counts_for_what_follows() -> None:
    buffer = io.BytesIO()
    with tarfile.open(
        fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"uid": "77"}
    ) as archive:
        archive.addfile(tarfile.TarInfo("a"))
    assert read_all(buffer.getvalue())[0][0].uid == 77


def test_a_file_whose_name_ends_in_a_slash_is_a_directory_of_old() -> None:
    assert read_all(written((tar.Entry("d/", "file"), b"")))[0][0].kind == "directory"


def test_a_checksum_of_signed_bytes_is_taken() -> None:
    block = bytearray(tar.render(tar.Entry("é", "file")))
    block[148:156] = b" " * 8
    total = sum(block) - 256 * 2
    block[148:156] = b"%06o\0 " % total
    assert read_all(bytes(block) + tar.END)[0][0].name == "é"


def damage_checksum(data: bytes) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


def pax(content: bytes) -> bytes:
    block = bytearray(tar.render(tar.Entry("h", "file", size=len(content))))
    block[156:157] = b"x"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return (
        bytes(block) + content + tar.padding(len(content)) + written((tar.Entry("f", "file"), b""))
    )


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: damage_checksum(written((tar.Entry("a", "file"), b""))), "checksum"),
        (lambda: written((tar.Entry("a", "file", size=9), b"x" * 9))[:515], "truncated"),
        (lambda: written((tar.Entry("a", "file"), b""))[:100], "truncated"),
        (lambda: b"no tar at all" * 100, "number|checksum"),
        (lambda: pax(b"99 path=x\n"), "malformed"),
        (lambda: pax(b"x path=x\n"), "malformed"),
        (lambda: pax(b"9 path=xy\n"), "malformed"),
        (lambda: pax(b"6 path\n"), "malformed"),
        (lambda: pax(b"10 path=xyz"), "malformed"),
        (lambda: pax(b"8path=x\n"), "malformed"),
        (lambda: pax(b"11 uid=1x2\n"), "uid"),
        (lambda: pax(b"11 size=-5\n"), "negative"),
        (lambda: pax(b"22 GNU.sparse.major=1\n"), "sparse"),
        (lambda: pax(b"a" * ((1 << 20) + 1)), "extended header of"),
    ],
)
def test_a_broken_archive_is_refused(make: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(tar.TarError, match=reason):
        read_all(make())


def test_an_extended_header_that_states_an_enormous_size_takes_no_memory() -> None:
    header = bytearray(tar.render(tar.Entry("h", "file", size=4 << 30)))
    header[156:157] = b"L"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    with pytest.raises(tar.TarError, match="extended header of 4294967296 bytes"):
        read_all(bytes(header))


def test_numbers_that_tar_cannot_hold_are_refused() -> None:
    with pytest.raises(tar.TarError, match="device"):
        tar.render(tar.Entry("c", "character", device=(1 << 30, 0)))


@given(st.binary(max_size=3000))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        read_all(data)
    except tar.TarError:
        pass
