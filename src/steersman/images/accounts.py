"""Who `USER app:staff` is: looks names up in the /etc/passwd and /etc/group of a root file system.

One rule: a number needs no entry, a name does. Follows config.User of the OCI image specification.
"""

from collections.abc import Iterator

import msgspec

from steersman.images.errors import Refused
from steersman.images.merged import Merged

FILE_LIMIT = 4 << 20  # bytes of a passwd or group file
ID_LIMIT = (1 << 31) - 1  # as Kubernetes' runAsUser


class Account(msgspec.Struct, frozen=True):
    """Numbers for the kernel; `home` is / where there is no entry."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


def look_up(rootfs: Merged, user: str) -> Account:
    """The account of `name|uid[:name|gid]`; an empty user is root. Raises Refused."""
    name, colon, group = (user or "0").partition(":")
    entry = next((each for each in _entries(rootfs, "etc/passwd", 7) if _is(each, name)), None)
    if entry is None and not name.isdecimal():
        raise Refused(f"unable to find user {name}: no matching entries in passwd file")
    uid = _number(entry[2] if entry else name)
    gid = _group(rootfs, group) if colon and group else _number(entry[3]) if entry else 0
    home = entry[5] if entry and entry[5] else "/root" if uid == 0 else "/"
    groups = () if colon or entry is None else tuple(_memberships(rootfs, entry[0], gid))
    return Account(uid, gid, groups, home)


def _group(rootfs: Merged, group: str) -> int:
    if group.isdecimal():
        return _number(group)
    for entry in _entries(rootfs, "etc/group", 4):
        if entry[0] == group:
            return _number(entry[2])
    raise Refused(f"unable to find group {group}: no matching entries in group file")


def _memberships(rootfs: Merged, name: str, gid: int) -> Iterator[int]:
    for entry in _entries(rootfs, "etc/group", 4):
        if name in entry[3].split(",") and entry[2] != str(gid):
            yield _number(entry[2])


def _is(entry: list[str], name: str) -> bool:
    return entry[0] == name or (name.isdecimal() and entry[2] == str(int(name)))


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 10 or int(text) > ID_LIMIT:
        raise Refused(f"{text[:40]!r} is no user or group number")
    return int(text)


def _entries(rootfs: Merged, path: str, fields: int) -> Iterator[list[str]]:
    found = rootfs.follow(path)
    if found is None or not found.is_file:
        return
    with open(found.open(), "rb") as file:
        text = file.read(FILE_LIMIT).decode("utf-8", "replace")
    for line in text.splitlines():
        entry = line.split(":")
        if len(entry) == fields:
            yield entry
