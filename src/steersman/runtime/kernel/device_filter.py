"""Device rules of version 2 control groups, as an eBPF program that the kernel asks.

Version 1 has a controller for this (cgroups1). Rule: the last rule that matches decides, so the
program tries them from the last to the first; what none matches is refused.
"""

from __future__ import annotations

import os
import struct

from . import syscalls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .devices import Rule

# struct bpf_cgroup_dev_ctx: access_type (low half the kind, high half the access), major, minor.
_PROGRAM_CGROUP_DEVICE, _ATTACH_CGROUP_DEVICE, _ALLOW_MULTI = 15, 6, 2
_KINDS = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}
_EVERY_ACCESS = 7
_LOAD_WORD, _MOVE, _MOVE_REGISTER, _AND_WORD, _SHIFT_RIGHT = 0x61, 0xB7, 0xBC, 0x54, 0x74
_JUMP_EQUAL, _JUMP_NOT_EQUAL, _JUMP_NOT_EQUAL_REGISTER, _EXIT = 0x15, 0x55, 0x5D, 0x95
_KIND, _WANTED, _MAJOR, _MINOR, _SCRATCH = 2, 3, 4, 5, 6


def render_program(rules: Sequence[Rule]) -> bytes:
    """The eBPF instructions that decide by these rules; returns 1 for allowed, 0 for refused."""
    code = [
        _instruction(_LOAD_WORD, _KIND, 1, 0, 0),
        _instruction(_AND_WORD, _KIND, 0, 0, 0xFFFF),
        _instruction(_LOAD_WORD, _WANTED, 1, 0, 0),
        _instruction(_SHIFT_RIGHT, _WANTED, 0, 0, 16),
        _instruction(_LOAD_WORD, _MAJOR, 1, 4, 0),
        _instruction(_LOAD_WORD, _MINOR, 1, 8, 0),
    ]
    for rule in reversed(rules):
        code += _render_rule(rule)
        if rule.kind == "a":
            return b"".join(code)
    return b"".join([*code, *_answer(0)])


def _render_rule(rule: Rule) -> list[bytes]:
    """A test per condition; one that fails jumps behind the answer."""
    tests: list[tuple[int, int, int]] = []  # code, register, number
    access = sum(_ACCESS[letter] for letter in set(rule.access))
    if rule.kind in _KINDS:
        tests.append((_JUMP_NOT_EQUAL, _KIND, _KINDS[rule.kind]))
    if rule.major >= 0:
        tests.append((_JUMP_NOT_EQUAL, _MAJOR, rule.major))
    if rule.minor >= 0:
        tests.append((_JUMP_NOT_EQUAL, _MINOR, rule.minor))
    head: list[bytes] = []
    if access != _EVERY_ACCESS and rule.kind != "a":
        skip = len(tests) + 2
        head = [
            _instruction(_MOVE_REGISTER, _SCRATCH, _WANTED, 0, 0),
            _instruction(_AND_WORD, _SCRATCH, 0, 0, access),
            # To allow, the rule must name every access asked for; to refuse, any of them.
            _instruction(_JUMP_NOT_EQUAL_REGISTER, _SCRATCH, _WANTED, skip, 0)
            if rule.allow
            else _instruction(_JUMP_EQUAL, _SCRATCH, 0, skip, 0),
        ]
    body = [
        _instruction(code, register, 0, len(tests) - position + 1, number)
        for position, (code, register, number) in enumerate(tests)
    ]
    return [*head, *body, *_answer(int(rule.allow))]


def _answer(value: int) -> list[bytes]:
    return [_instruction(_MOVE, 0, 0, 0, value), _instruction(_EXIT, 0, 0, 0, 0)]


def _instruction(code: int, target: int, source: int, offset: int, number: int) -> bytes:
    return struct.pack("=BBhi", code, target | source << 4, offset, number)


def attach(cgroup: int, rules: Sequence[Rule]) -> None:
    """Loads the program for `rules` and attaches it to the cgroup open as `cgroup`."""
    program = syscalls.bpf_load(_PROGRAM_CGROUP_DEVICE, render_program(rules))
    try:
        syscalls.bpf_attach(cgroup, program, _ATTACH_CGROUP_DEVICE, _ALLOW_MULTI)
    finally:
        os.close(program)
