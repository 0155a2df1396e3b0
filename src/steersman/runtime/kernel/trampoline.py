"""A program of some hundred bytes that stands between our interpreter and a container's program.

The kernel opens what a container runs while /proc/self/exe still names the caller. If that were
the host's interpreter, "#!/proc/self/exe" would hand it to the container (CVE-2019-5736). So the
interpreter is left first: for a sealed memory file, which then runs the program. It costs a
tenth of starting a sealed copy of the interpreter. Rule: it holds one descriptor of ours, the
channel to whoever waits; it marks it to be closed by the program before all else, or gives up.
"""

from __future__ import annotations

import fcntl
import os
import struct

from . import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# What the channel then carries: the negative errno that the kernel gave, as 64 bits.
REPORT_BYTES = 8
_ADDRESS = 0x400000
_ELF_HEADER_BYTES, _PROGRAM_HEADER_BYTES = 64, 56
_CODE_START = _ELF_HEADER_BYTES + _PROGRAM_HEADER_BYTES
_READ_AND_EXECUTE, _LOADED = 5, 1
_F_ADD_SEALS, _ALL_SEALS = 1033, 0x1 | 0x2 | 0x4 | 0x8

# In assembler, for x86_64. "fail" is where every failed call goes, its result in rax.
_CHANNEL = bytes.fromhex("bf")  # mov edi, ...     the channel, whose number follows
_CLOSE_ON_EXEC = bytes.fromhex(
    "b8 48000000"  # mov  eax, 72         fcntl(channel,
    "be 02000000"  # mov  esi, 2            F_SETFD,
    "ba 01000000"  # mov  edx, 1            FD_CLOEXEC)
    "0f05"  #        syscall
)
_IF_FAILED = bytes.fromhex("4885c0 0f85")  # test rax, rax ; jne fail (its distance follows)
_INSTALL_FILTER = bytes.fromhex(
    "b8 3d010000"  # mov  eax, 317        seccomp(
    "bf 01000000"  # mov  edi, 1            SECCOMP_SET_MODE_FILTER,
    "be"  #          mov  esi, ...          the flags, which follow here,
)
_PROGRAM_ADDRESS = bytes.fromhex("ba")  # mov edx, ... the address of the filter, which follows)
_SYSTEM_CALL = bytes.fromhex("0f05")
_RUN = bytes.fromhex(
    "488b0c24"  #    mov  rcx, [rsp]      argc
    "488b7c2408"  #  mov  rdi, [rsp+8]    execve(argv[0],
    "488d742410"  #  lea  rsi, [rsp+16]     argv + 1,
    "488d54cc10"  #  lea  rdx, [rsp+rcx*8+16] envp)
    "b8 3b000000"  # mov  eax, 59
    "0f05"  #        syscall
)
_FAIL = bytes.fromhex(
    "50"  #          push rax
    "b8 01000000"  # mov  eax, 1          write(channel,
    "4889e6"  #      mov  rsi, rsp          the result,
    "ba 08000000"  # mov  edx, 8            REPORT_BYTES)
    "0f05"  #        syscall
    "b8 e7000000"  # mov  eax, 231        exit_group(
    "bf 7f000000"  # mov  edi, 127          127)
    "0f05"  #        syscall
)
_REST = bytes.fromhex(
    "b8 9d000000"  # mov  eax, 157        prctl(
    "bf 0f000000"  # mov  edi, 15           PR_SET_NAME,
    "488d35 0b000000"  # lea rsi, [rip+11]  what follows the code)
    "0f05"  #        syscall
    "b8 22000000"  # mov  eax, 34         pause()
    "0f05"  #        syscall
    "ebf7"  #        jmp  to the mov before
)


def is_known() -> bool:
    """Whether there is such a program for this machine."""
    return syscalls.MACHINE == "x86_64"


def render(program: bytes, flags: int, channel: int) -> bytes:
    """The file, with a seccomp filter to be installed at the last moment unless it is empty."""
    told = _CHANNEL + struct.pack("<I", channel)
    close, fail = told + _CLOSE_ON_EXEC, told + _FAIL
    check = len(_IF_FAILED) + 4
    install = len(_INSTALL_FILTER) + 4 + len(_PROGRAM_ADDRESS) + 4 + len(_SYSTEM_CALL)
    middle = install + check if program else 0
    size = len(close) + check + middle + len(_RUN) + len(fail)
    header = _CODE_START + size + -(_CODE_START + size) % 8
    code = close + _jump_to_fail(middle + len(_RUN))
    if program:
        code += _INSTALL_FILTER + struct.pack("<I", flags)
        code += _PROGRAM_ADDRESS + struct.pack("<I", _ADDRESS + header) + _SYSTEM_CALL
        code += _jump_to_fail(len(_RUN))
    code += _RUN + fail
    # struct sock_fprog: how many instructions, and where they are
    fprog = struct.pack("<HxxxxxxQ", len(program) // 8, _ADDRESS + header + 16)
    return _render_file(code.ljust(header - _CODE_START, b"\0") + fprog + program)


def _jump_to_fail(distance: int) -> bytes:
    return _IF_FAILED + struct.pack("<i", distance)


def _render_file(body: bytes) -> bytes:
    """An ELF file that is loaded whole, to be read and executed; see elf(5)."""
    size = _CODE_START + len(body)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(b"\x7fELF\2\1\1", 2, 62, 1, _ADDRESS + _CODE_START, _ELF_HEADER_BYTES, 0, 0),
        *(_ELF_HEADER_BYTES, _PROGRAM_HEADER_BYTES, 1, 0, 0, 0),
    )
    segment = struct.pack(
        "<IIQQQQQQ", _LOADED, _READ_AND_EXECUTE, 0, _ADDRESS, _ADDRESS, size, size, 0x1000
    )
    return header + segment + body


def prepare(program: bytes, flags: int, channel: int) -> int:
    """A descriptor of the sealed file, to be made before a filter could forbid it."""
    return _seal(render(program, flags, channel))


def prepare_rest(name: str) -> int:
    """A descriptor of a program that waits for ever, for a process that has nothing else to do:
    it has a page, where a fork of ours has megabytes. `name` is how ps shows it."""
    return _seal(_render_file(_REST + name.encode() + b"\0"))


def _seal(data: bytes) -> int:
    descriptor = os.memfd_create("steer-exec", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(descriptor, data)
    fcntl.fcntl(descriptor, _F_ADD_SEALS, _ALL_SEALS)
    return descriptor


def run(descriptor: int, channel: int, path: str, args: Sequence[str], env: dict[str, str]) -> None:
    """Leaves this program for `path`; returns only by an error before that."""
    os.set_inheritable(channel, True)
    os.execve(descriptor, [path, *args], env)
