"""Compiles linux.seccomp of an OCI document into the BPF program that the kernel runs.

Not the choice of what is allowed (seccomp_profile). A syscall's number is found by binary
search over ranges; conditions are tried in the order given, then the rule without conditions.
Rule: a syscall newer than the tables gives ENOSYS, so that libraries fall back (as runc does).
"""

from __future__ import annotations

import struct

from . import syscalls
from .syscall_table import numbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    # code, k, jump if true, jump if false: "" is the next one, "ok" and "fail" are labels
    Symbolic = tuple[int, int, str, str]
    Instruction = tuple[int, int, int, int]  # code, jt, jf, k

_LOAD, _JUMP, _JUMP_EQ, _JUMP_GT, _JUMP_GE, _AND, _RETURN = 0x20, 0x05, 0x15, 0x25, 0x35, 0x54, 0x06
_NUMBER_OFFSET, _ARCHITECTURE_OFFSET, _ARGUMENTS_OFFSET = 0, 4, 16
_MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS

_ERRNO_ACTION = 0x00050000
_KILL_PROCESS = 0x80000000
_ENOSYS, _EPERM = 38, 1
ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": _KILL_PROCESS,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": _ERRNO_ACTION,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
_PERMISSIVE = frozenset(ACTIONS[f"SCMP_ACT_{name}"] for name in ("ALLOW", "LOG", "TRACE"))
# OCI name: (table, AUDIT_ARCH value). Architectures without a table are killed on use.
ARCHITECTURES = {
    "SCMP_ARCH_X86_64": ("x86_64", 0xC000003E),
    "SCMP_ARCH_X86": ("x86", 0x40000003),
    "SCMP_ARCH_AARCH64": ("aarch64", 0xC00000B7),
}
NATIVE = "SCMP_ARCH_AARCH64" if syscalls.MACHINE == "aarch64" else "SCMP_ARCH_X86_64"
FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 1,
    "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4,
}


def parse_flags(section: Mapping[str, Any]) -> int:
    """The flags for seccomp(2); without a list speculation stays allowed, as runc has it."""
    names = section.get("flags")
    if names is None:
        return FLAGS["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]
    unknown = [name for name in names if name not in FLAGS]
    if unknown:
        raise ValueError(f"linux.seccomp.flags: {unknown[0]!r} is not supported")
    return sum(FLAGS[name] for name in set(names))


def compile_filter(section: Mapping[str, Any], native: str = NATIVE) -> bytes:
    """The program for a linux.seccomp section; ValueError names what cannot be compiled."""
    default = _parse_action(section.get("defaultAction", ""), section.get("defaultErrnoRet"))
    wanted = [native, *(section.get("architectures") or ())]
    known = [name for name in dict.fromkeys(wanted) if name in ARCHITECTURES]
    code: list[Instruction] = [(_LOAD, 0, 0, _ARCHITECTURE_OFFSET)]
    for name in known:
        table, audit = ARCHITECTURES[name]
        body = _compile_table(section.get("syscalls") or (), numbers(table), default)
        code += [(_JUMP_EQ, 1, 0, audit), (_JUMP, 0, 0, len(body)), *body]
    code.append((_RETURN, 0, 0, _KILL_PROCESS))
    if len(code) > _MAX_INSTRUCTIONS:
        raise ValueError(f"linux.seccomp: {len(code)} instructions, the kernel takes 4096")
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def _parse_action(name: str, errno: int | None) -> int:
    if name not in ACTIONS:
        raise ValueError(f"linux.seccomp: action {name!r} is not supported")
    action = ACTIONS[name]
    if name in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        action |= (_EPERM if errno is None else errno) & 0xFFFF
    return action


def _compile_table(
    rules: Iterable[Mapping[str, Any]], table: Mapping[str, int], default: int
) -> list[Instruction]:
    chains: dict[int, list[tuple[Sequence[Mapping[str, Any]], int]]] = {}
    for rule in rules:
        action = _parse_action(rule.get("action", ""), rule.get("errnoRet"))
        if action == default and not rule.get("args"):
            continue
        for conditions in _alternatives(rule.get("args") or ()):
            for name in rule.get("names") or ():
                if name in table:
                    chains.setdefault(table[name], []).append((conditions, action))
    newest = max(table.values())
    beyond = default if default in _PERMISSIVE else _ERRNO_ACTION | _ENOSYS
    segments = [*_merge(chains, default), (newest + 1, _answer(beyond))]
    return [(_LOAD, 0, 0, _NUMBER_OFFSET), *_search(segments)]


def _alternatives(arguments: Sequence[Mapping[str, Any]]) -> list[Sequence[Mapping[str, Any]]]:
    """Conditions on one argument twice mean "or", as runc reads them; else all must hold."""
    indexes = [argument["index"] for argument in arguments]
    if len(set(indexes)) < len(indexes):
        return [[argument] for argument in arguments]
    return [arguments]


def _merge(
    chains: Mapping[int, list[tuple[Sequence[Mapping[str, Any]], int]]], default: int
) -> list[tuple[int, list[Instruction]]]:
    """Ranges of numbers with one answer: (first number, code), adjoining equal ones as one."""
    segments: list[tuple[int, list[Instruction]]] = [(0, _answer(default))]
    expected = 0
    for number in sorted(chains):
        if number > expected:
            _append(segments, expected, _answer(default))
        _append(segments, number, _chain(chains[number], default))
        expected = number + 1
    _append(segments, expected, _answer(default))
    return segments


def _append(
    segments: list[tuple[int, list[Instruction]]], number: int, code: list[Instruction]
) -> None:
    if segments and segments[-1][0] == number:
        segments.pop()
    if not segments or segments[-1][1] != code:
        segments.append((number, code))


def _answer(action: int) -> list[Instruction]:
    return [(_RETURN, 0, 0, action)]


def _search(segments: Sequence[tuple[int, list[Instruction]]]) -> list[Instruction]:
    if len(segments) == 1:
        return segments[0][1]
    middle = len(segments) // 2
    left, right = _search(segments[:middle]), _search(segments[middle:])
    first = segments[middle][0]
    # A conditional jump reaches 255 instructions, an unconditional one any number.
    if len(left) <= 255:
        return [(_JUMP_GE, len(left), 0, first), *left, *right]
    return [(_JUMP_GE, 0, 1, first), (_JUMP, 0, 0, len(left)), *left, *right]


def _chain(
    chain: Sequence[tuple[Sequence[Mapping[str, Any]], int]], default: int
) -> list[Instruction]:
    code: list[Instruction] = []
    for conditions, action in chain:
        if conditions:
            code += _resolve([_condition(condition) for condition in conditions], action)
    final = next((action for conditions, action in chain if not conditions), default)
    return code + _answer(final)


def _condition(argument: Mapping[str, Any]) -> list[Symbolic]:
    """Code that falls through if the condition holds and goes to "fail" if not; 64 bits wide."""
    index = int(argument["index"])
    if not 0 <= index <= 5:
        raise ValueError(f"linux.seccomp: a system call has no argument {index}")
    low = _ARGUMENTS_OFFSET + 8 * index
    value = int(argument.get("value", 0)) & 0xFFFFFFFFFFFFFFFF
    compare = value & 0xFFFFFFFF
    load_high: Symbolic = (_LOAD, low + 4, "", "")
    load_low: Symbolic = (_LOAD, low, "", "")
    high = value >> 32
    operator = argument.get("op", "")
    if operator == "SCMP_CMP_MASKED_EQ":
        wanted = int(argument.get("valueTwo", 0)) & 0xFFFFFFFFFFFFFFFF
        return [
            load_high,
            (_AND, high, "", ""),
            (_JUMP_EQ, wanted >> 32, "", "fail"),
            load_low,
            (_AND, compare, "", ""),
            (_JUMP_EQ, wanted & 0xFFFFFFFF, "", "fail"),
        ]
    if operator not in _COMPARISONS:
        raise ValueError(f"linux.seccomp: operator {operator!r} is not supported")
    above, differs, code, holds, fails = _COMPARISONS[operator]
    head: list[Symbolic] = [load_high]
    if above:
        head.append((_JUMP_GT, high, above, ""))
    return [*head, (_JUMP_EQ, high, "", differs), load_low, (code, compare, holds, fails)]


# operator: where to go if the high half is above, where if it differs (else), then how the low
# halves compare and where that leads.
_COMPARISONS = {
    "SCMP_CMP_EQ": ("", "fail", _JUMP_EQ, "", "fail"),
    "SCMP_CMP_NE": ("", "ok", _JUMP_EQ, "fail", ""),
    "SCMP_CMP_GT": ("ok", "fail", _JUMP_GT, "", "fail"),
    "SCMP_CMP_GE": ("ok", "fail", _JUMP_GE, "", "fail"),
    "SCMP_CMP_LE": ("fail", "ok", _JUMP_GT, "fail", ""),
    "SCMP_CMP_LT": ("fail", "ok", _JUMP_GE, "fail", ""),
}
OPERATORS = frozenset((*_COMPARISONS, "SCMP_CMP_MASKED_EQ"))


def _resolve(conditions: Sequence[list[Symbolic]], action: int) -> list[Instruction]:
    total = sum(len(condition) for condition in conditions) + 1
    code: list[Instruction] = []
    for condition in conditions:
        end = len(code) + len(condition)
        for instruction, k, true, false in condition:
            position = len(code) + 1
            labels = {"": 0, "ok": end - position, "fail": total - position}
            code.append((instruction, labels[true], labels[false], k))
    return code + _answer(action)
