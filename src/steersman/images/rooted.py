"""Opens paths inside a directory so that no name and no symbolic link leads out of it.

One typed function per system call that Python 3.11 lacks. Follows openat2(2) and syncfs(2).
"""

import ctypes
import errno
import functools
import os

from steersman.images.errors import Refused

_OPENAT2 = 437  # the same on every architecture
_NO_MAGICLINKS = 0x02
_NO_SYMLINKS = 0x04
_IN_ROOT = 0x10
_ATTEMPTS = 8  # openat2 says EAGAIN when a rename races with it


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def open_in_root(root: int, path: str, flags: int, *, follow: bool = True) -> int:
    """Opens `path` as if the directory `root` were `/` and returns a descriptor.

    With `follow` false no symbolic link is followed anywhere in the path. Raises OSError as open(2)
    does, and Refused where the kernel is older than 5.6.
    """
    resolve = _IN_ROOT | _NO_MAGICLINKS | (0 if follow else _NO_SYMLINKS)
    how = _OpenHow(flags=flags | os.O_CLOEXEC, mode=0, resolve=resolve)
    libc = _libc()
    for _ in range(_ATTEMPTS):
        descriptor = libc.syscall(
            ctypes.c_long(_OPENAT2),
            ctypes.c_int(root),
            ctypes.c_char_p(os.fsencode(path or ".")),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if descriptor >= 0:
            return int(descriptor)
        if ctypes.get_errno() != errno.EAGAIN:
            break
    if ctypes.get_errno() == errno.ENOSYS:
        raise Refused("images need openat2, which Linux has since 5.6")
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)


def sync_file_system(descriptor: int) -> None:
    """Writes the file system that holds `descriptor` to its disk."""
    if _libc().syncfs(ctypes.c_int(descriptor)) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
