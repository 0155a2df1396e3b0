"""Applies rule text in one transaction: through libnftables where it is there, else nft(8).

The library answers in a quarter of the time of a process (technology.md, section 4).
"""

from __future__ import annotations

import asyncio
import ctypes
import re
import shutil
import subprocess
import threading
from collections.abc import Mapping
from functools import cache

LIBRARIES = ("libnftables.so.1", "libnftables.so")
OUTPUT_HANDLE = 1 << 3  # nftables/libnftables.h NFT_CTX_OUTPUT_HANDLE
PROGRAM_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
MISSING = "nftables is not installed: apt-get install nftables"

_ABSENT = "No such file or directory"
_SET = re.compile(r"^\tset (\S+) \{\n(.*?)^\t\}", re.M | re.S)
_ELEMENT = re.compile(r"([\d.]+)(?: timeout \w+)? expires (\w+)")
_TIME = re.compile(r"(\d+)(ms|[dhms])")
_MILLIS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class RulesRefused(Exception):
    """The kernel or the parser refused the text; nothing of it was applied."""


class Unavailable(Exception):
    """Neither libnftables nor nft is installed."""


@cache
def find_library() -> ctypes.CDLL | None:
    """Returns libnftables, None where it is not installed."""
    for name in LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.nft_ctx_new.restype = ctypes.c_void_p
        library.nft_ctx_get_error_buffer.restype = ctypes.c_char_p
        library.nft_ctx_get_output_buffer.restype = ctypes.c_char_p
        return library
    return None


def find_program() -> str | None:
    """Returns the path of nft, None where it is not installed."""
    return shutil.which("nft", path=PROGRAM_PATH)


class Rules:
    """Applies texts, one after another, in the network namespace of the thread that applies."""

    def __init__(self, library: ctypes.CDLL | None = None, program: str | None = None) -> None:
        """Takes the library and the program that are installed where none is named; raises
        Unavailable where there is neither."""
        if library is None and program is None:
            library, program = find_library(), find_program()
        if library is None and program is None:
            raise Unavailable(MISSING)
        self._library = library
        self._program = program
        self._turn = threading.Lock()
        self._context: ctypes.c_void_p | None = None

    def __enter__(self) -> Rules:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees what the library holds; the rules stay."""
        with self._turn:
            if self._library is not None and self._context is not None:
                self._library.nft_ctx_free(self._context)
            self._context = None

    async def apply(self, text: str) -> None:
        """Applies a text as a whole or not at all; raises RulesRefused."""
        await asyncio.to_thread(self.apply_now, text)

    def apply_now(self, text: str) -> None:
        """Applies a text, waiting for the kernel."""
        self._run(text)

    def ask(self, text: str) -> str:
        """Returns what a text lists, with the handles of rules; waits for the kernel."""
        return self._run(text, handles=True)

    def _run(self, text: str, *, handles: bool = False) -> str:
        with self._turn:
            if self._library is not None:
                return self._run_by_library(self._library, text, handles=handles)
            return self._run_by_program(text, handles=handles)

    async def read_sets(self, table: str) -> Mapping[str, Mapping[str, int]]:
        """Returns the elements of a table's sets that end, with the seconds that they stay; none
        where there is no such table. Raises RulesRefused."""
        return await asyncio.to_thread(self.read_sets_now, table)

    def read_sets_now(self, table: str) -> Mapping[str, Mapping[str, int]]:
        """Reads the sets, waiting for the kernel."""
        command = f"list sets table ip {table}\n"
        try:
            return parse_sets(self._run(command))
        except RulesRefused as error:
            if _ABSENT in str(error):
                return {}
            raise

    def _run_by_library(self, library: ctypes.CDLL, text: str, *, handles: bool) -> str:
        """Runs commands and returns what they print."""
        if self._context is None:
            self._context = ctypes.c_void_p(library.nft_ctx_new(0))
            library.nft_ctx_buffer_output(self._context)
            library.nft_ctx_buffer_error(self._context)
        library.nft_ctx_output_set_flags(self._context, OUTPUT_HANDLE if handles else 0)
        if library.nft_run_cmd_from_buffer(self._context, text.encode()) != 0:
            found = library.nft_ctx_get_error_buffer(self._context) or b""
            raise RulesRefused(found.decode(errors="replace").strip())
        printed: bytes = library.nft_ctx_get_output_buffer(self._context) or b""
        return printed.decode(errors="replace")

    def _run_by_program(self, text: str, *, handles: bool) -> str:
        """Runs commands and returns what they print."""
        assert self._program is not None
        done = subprocess.run(
            [self._program, *(["--handle"] if handles else []), "-f", "-"],
            input=text,
            text=True,
            capture_output=True,
            check=False,
            env={"LC_ALL": "C"},
        )
        if done.returncode != 0:
            raise RulesRefused(done.stderr.strip())
        return done.stdout


def parse_sets(text: str) -> dict[str, dict[str, int]]:
    """Returns the elements that end of listed sets, with the seconds that each stays (rounded up),
    by the names of the sets."""
    return {
        name: {address: _seconds(left) for address, left in _ELEMENT.findall(body)}
        for name, body in _SET.findall(text)
    }


def _seconds(text: str) -> int:
    """Reads a time as nft writes it: 2h59m59s980ms."""
    millis = sum(int(count) * _MILLIS[unit] for count, unit in _TIME.findall(text))
    return -(-millis // 1000)
