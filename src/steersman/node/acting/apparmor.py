"""The default AppArmor profile: what `RuntimeDefault` means where the kernel confines by AppArmor.

It forbids what the usual default of container engines forbids: mounting, most of /proc and /sys,
tracing whoever is not confined alike. `apparmor_parser` makes the kernel know it; without that
program, or without AppArmor, there is none. Its name bears no cluster: one is for all.
"""

from __future__ import annotations

import os
import shutil
from typing import Final

from steersman.node.programs import ProgramFailed, run_program
from steersman.runtime.kernel.labels import has_apparmor
from steersman.world.interface import World

NAME: Final = "steersman-default"
LOAD_SECONDS: Final = 30.0  # a parser compiles this in well under one
_ABI: Final = "/etc/apparmor.d/abi/3.0"  # parsers before version 3 have none, and know no `abi`
_TOLD_BYTES: Final = 512
# Of /proc: no file at the top, nothing but processes' own folders and sys/kernel/shm*
_PROC: Final = (
    "/proc/* w",
    "/proc/{[^1-9/],[^1-9/][^0-9/],[^1-9s/][^0-9y/][^0-9s/],[^1-9/][^0-9/][^0-9/][^0-9/]*}/** w",
    "/proc/sys/[^k]** w",
    "/proc/sys/kernel/{?,??,[^s][^h][^m]**} w",
    "/proc/sysrq-trigger rwklx",
    "/proc/kcore rwklx",
)
# Of /sys: nothing but control groups, and nothing at all of firmware, powercap and security
_SYS: Final = (
    "/sys/[^f]*/** wklx",
    "/sys/f[^s]*/** wklx",
    "/sys/fs/[^c]*/** wklx",
    "/sys/fs/c[^g]*/** wklx",
    "/sys/fs/cg[^r]*/** wklx",
    "/sys/firmware/** rwklx",
    "/sys/devices/virtual/powercap/** rwklx",
    "/sys/kernel/security/** rwklx",
)


class NoProfile(Exception):
    """The profile could not be loaded; the text says why."""


def render_profile(*, abi: bool) -> str:
    """Returns the profile in the parser's language; `abi`: the parser knows versions of it."""
    allowed = (
        *("network", "capability", "file", "umount"),
        "signal (receive) peer=unconfined",
        f"signal (send, receive) peer={NAME}",
        f"ptrace (trace, read, tracedby, readby) peer={NAME}",
    )
    denied = ("mount", *_PROC, *_SYS)
    rules = [*allowed, *(f"deny {it}" for it in denied)]
    start = "abi <abi/3.0>,\n" if abi else ""
    lines = "".join(f"  {it},\n" for it in rules)
    return f"{start}profile {NAME} flags=(attach_disconnected, mediate_deleted) {{\n{lines}}}\n"


def find_parser() -> str | None:
    """Returns the program that loads profiles, where this machine has it and can use it."""
    if not has_apparmor():
        return None
    return shutil.which("apparmor_parser", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


async def load(parser: str, world: World, *options: str) -> str:
    """Has the kernel know the profile, in the place of what it had; returns its name. Raises
    NoProfile."""
    text = render_profile(abi=os.path.exists(_ABI)).encode()
    words = (parser, "--replace", "--skip-cache", *options)
    try:
        await run_program(
            *words, data=text, most_bytes=_TOLD_BYTES, seconds=LOAD_SECONDS, world=world
        )
    except ProgramFailed as error:
        raise NoProfile(f"{parser}: {error}") from None
    return NAME
