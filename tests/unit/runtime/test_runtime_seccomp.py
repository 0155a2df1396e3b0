"""The compiled filter, run by a small interpreter of classic BPF, decides as the section says."""

from __future__ import annotations

import struct

import pytest

from steersman.runtime.kernel import capabilities, seccomp
from steersman.runtime.kernel.seccomp_profile import default_section
from steersman.runtime.kernel.syscall_table import numbers

X86_64, X86, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7
ALLOW, KILL = 0x7FFF0000, 0x80000000
ERRNO = 0x50000


def execute(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    padded = [*arguments, *([0] * (6 - len(arguments)))]
    data = struct.pack("=IIQ6Q", number, architecture, 0, *padded)
    code = list(struct.iter_unpack("=HBBI", program))
    accumulator = position = 0
    while True:
        operation, true, false, k = code[position]
        position += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, k)
        elif operation == 0x54:
            accumulator &= k
        elif operation == 0x05:
            position += k
        elif operation == 0x06:
            return k
        else:
            holds = {0x15: accumulator == k, 0x25: accumulator > k, 0x35: accumulator >= k}
            position += true if holds[operation] else false


def section(*rules: dict, default: str = "SCMP_ACT_ERRNO", **more: object) -> dict:
    return {"defaultAction": default, "syscalls": list(rules), **more}


def allow(*names: str, args: list | None = None) -> dict:
    return {"names": list(names), "action": "SCMP_ACT_ALLOW", "args": args or []}


def condition(operator: str, value: int, two: int = 0, index: int = 0) -> dict:
    return {"index": index, "value": value, "valueTwo": two, "op": "SCMP_CMP_" + operator}


def test_every_call_of_the_table_gets_the_answer_of_its_rule() -> None:
    table = numbers("x86_64")
    allowed = sorted(table)[::2]
    program = seccomp.compile_filter(section(allow(*allowed)), "SCMP_ARCH_X86_64")
    for name, number in table.items():
        wanted = ALLOW if name in allowed else ERRNO | 1
        assert execute(program, X86_64, number) == wanted, name


def test_numbers_between_and_beyond_the_table() -> None:
    program = seccomp.compile_filter(section(allow("read", "mseal")), "SCMP_ARCH_X86_64")
    assert execute(program, X86_64, 400) == ERRNO | 1
    newest = max(numbers("x86_64").values())
    assert execute(program, X86_64, newest) == ERRNO | 1
    assert execute(program, X86_64, newest + 1) == ERRNO | 38
    assert execute(program, X86_64, 0x40000000) == ERRNO | 38
    loose = seccomp.compile_filter(section(default="SCMP_ACT_ALLOW"), "SCMP_ARCH_X86_64")
    assert execute(loose, X86_64, newest + 1) == ALLOW


def test_a_foreign_architecture_is_killed_and_a_listed_one_has_its_own_numbers() -> None:
    rules = section(allow("read"), architectures=["SCMP_ARCH_X86", "SCMP_ARCH_MIPS"])
    program = seccomp.compile_filter(rules, "SCMP_ARCH_X86_64")
    assert execute(program, X86_64, 0) == ALLOW
    assert execute(program, X86, 3) == ALLOW
    assert execute(program, X86, 0) == ERRNO | 1
    assert execute(program, AARCH64, 63) == KILL
    arm = seccomp.compile_filter(section(allow("read")), "SCMP_ARCH_AARCH64")
    assert execute(arm, AARCH64, 63) == ALLOW
    assert execute(arm, X86_64, 0) == KILL


EDGES = [0, 1, 5, 0xFFFFFFFF, 1 << 32, (1 << 32) + 5, (5 << 32) + 1, (1 << 64) - 1]


@pytest.mark.parametrize("value", EDGES)
@pytest.mark.parametrize("operator", ["EQ", "NE", "GT", "GE", "LT", "LE"])
def test_comparisons_are_those_of_64_bit_numbers(operator: str, value: int) -> None:
    rule = allow("read", args=[condition(operator, value, index=2)])
    program = seccomp.compile_filter(section(rule), "SCMP_ARCH_X86_64")
    holds = {
        "EQ": int.__eq__, "NE": int.__ne__, "GT": int.__gt__,
        "GE": int.__ge__, "LT": int.__lt__, "LE": int.__le__,
    }[operator]  # fmt: skip
    for argument in EDGES:
        wanted = ALLOW if holds(argument, value) else ERRNO | 1
        assert execute(program, X86_64, 0, 9, 9, argument) == wanted, argument


def test_a_masked_comparison_looks_at_both_halves() -> None:
    mask = (0xF0 << 32) | 0x0F
    rule = allow("read", args=[condition("MASKED_EQ", mask, (0x10 << 32) | 0x01)])
    program = seccomp.compile_filter(section(rule), "SCMP_ARCH_X86_64")
    assert execute(program, X86_64, 0, (0x1F << 32) | 0xF1) == ALLOW
    assert execute(program, X86_64, 0, (0x2F << 32) | 0xF1) == ERRNO | 1
    assert execute(program, X86_64, 0, (0x1F << 32) | 0xF2) == ERRNO | 1


def test_conditions_on_different_arguments_must_all_hold_on_the_same_one_any() -> None:
    both = allow("read", args=[condition("EQ", 1), condition("EQ", 2, index=1)])
    program = seccomp.compile_filter(section(both), "SCMP_ARCH_X86_64")
    answers = [execute(program, X86_64, 0, *pair) for pair in [(1, 2), (1, 0), (0, 2)]]
    assert answers == [ALLOW, ERRNO | 1, ERRNO | 1]
    either = allow("read", args=[condition("EQ", 1), condition("EQ", 7)])
    program = seccomp.compile_filter(section(either), "SCMP_ARCH_X86_64")
    answers = [execute(program, X86_64, 0, value) for value in (1, 7, 2)]
    assert answers == [ALLOW, ALLOW, ERRNO | 1]


def test_conditional_refusals_come_before_the_rule_without_conditions() -> None:
    refuse = {"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [condition("EQ", 3)]}
    program = seccomp.compile_filter(section(allow("read"), refuse), "SCMP_ARCH_X86_64")
    assert execute(program, X86_64, 0, 3) == ERRNO | 1
    assert execute(program, X86_64, 0, 4) == ALLOW


@pytest.mark.parametrize(
    ("name", "errno", "value"),
    [
        ("SCMP_ACT_KILL", None, 0),
        ("SCMP_ACT_KILL_PROCESS", None, 0x80000000),
        ("SCMP_ACT_TRAP", None, 0x30000),
        ("SCMP_ACT_ERRNO", 13, ERRNO | 13),
        ("SCMP_ACT_ERRNO", 0, ERRNO),
        ("SCMP_ACT_TRACE", 5, 0x7FF00005),
        ("SCMP_ACT_LOG", None, 0x7FFC0000),
    ],
)
def test_actions_and_their_errno(name: str, errno: int | None, value: int) -> None:
    rule = {"names": ["read"], "action": name, "errnoRet": errno}
    program = seccomp.compile_filter(section(rule, default="SCMP_ACT_ALLOW"), "SCMP_ARCH_X86_64")
    assert execute(program, X86_64, 0) == value


@pytest.mark.parametrize(
    "bad",
    [
        section(default="SCMP_ACT_NOTIFY"),
        section({"names": ["read"], "action": "nothing"}),
        section(allow("read", args=[condition("ALMOST", 1)])),
        section(allow("read", args=[condition("EQ", 1, index=6)])),
    ],
)
def test_what_cannot_be_compiled_is_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match=r"linux\.seccomp"):
        seccomp.compile_filter(bad)


def test_flags() -> None:
    assert seccomp.parse_flags({}) == 4
    assert seccomp.parse_flags({"flags": []}) == 0
    assert seccomp.parse_flags({"flags": ["SECCOMP_FILTER_FLAG_LOG"]}) == 2
    with pytest.raises(ValueError, match="WAIT"):
        seccomp.parse_flags({"flags": ["SECCOMP_FILTER_FLAG_WAIT"]})


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_default_profile(machine: str) -> None:
    native = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}[machine]
    audit = {"x86_64": X86_64, "aarch64": AARCH64}[machine]
    table = numbers(machine)
    program = seccomp.compile_filter(default_section(capabilities.DEFAULT, native), native)

    def ask(name: str, *arguments: int) -> int:
        return execute(program, audit, table[name], *arguments)

    for name in ("read", "execve", "futex", "openat", "chroot", "ptrace", "statx", "mseal"):
        assert ask(name) == ALLOW, name
    for name in (
        "mount", "unshare", "setns", "bpf", "keyctl", "add_key", "request_key", "init_module",
        "kexec_load", "reboot", "swapon", "io_uring_setup", "userfaultfd", "open_by_handle_at",
        "perf_event_open", "settimeofday", "move_mount", "open_tree", "fsopen", "pivot_root",
        "kcmp", "pidfd_getfd", "mbind", "acct", "quotactl", "vhangup", "syslog",
    ):  # fmt: skip
        assert ask(name) == ERRNO | 1, name
    assert ask("clone3") == ERRNO | 38
    assert ask("clone", 0x1200011) == ALLOW
    assert ask("clone", 0x10000000) == ERRNO | 1  # CLONE_NEWUSER
    assert ask("clone", 0x00020000) == ERRNO | 1  # CLONE_NEWNS
    families = [family for family in range(60) if ask("socket", family) == ALLOW]
    assert families == [
        *range(12), *range(13, 19), 21, 22, 24, *range(26, 34), 35, 36, 39, *range(41, 46),
    ]  # fmt: skip
    personalities = (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)
    assert all(ask("personality", value) == ALLOW for value in personalities)
    assert ask("personality", 0x40000) == ERRNO | 1  # ADDR_NO_RANDOMIZE


def test_capabilities_open_their_calls() -> None:
    table = numbers("x86_64")
    section_ = default_section(["CAP_SYS_ADMIN", "CAP_SYS_TIME"], "SCMP_ARCH_X86_64")
    program = seccomp.compile_filter(section_, "SCMP_ARCH_X86_64")
    for name in ("mount", "clone3", "unshare", "settimeofday", "bpf"):
        assert execute(program, X86_64, table[name]) == ALLOW, name
    assert execute(program, X86_64, table["clone"], 0x10000000) == ALLOW
    assert execute(program, X86_64, table["chroot"]) == ERRNO | 1


def test_known_numbers() -> None:
    assert (numbers("x86_64")["clone3"], numbers("aarch64")["clone3"]) == (435, 435)
    assert (numbers("x86_64")["openat"], numbers("x86")["openat"]) == (257, 295)
    assert (numbers("aarch64")["openat"], numbers("aarch64")["newfstatat"]) == (56, 79)
    assert "open" not in numbers("aarch64")


def test_a_program_that_the_kernel_would_not_take_is_refused_by_its_length() -> None:
    rules = [allow("read", args=[condition("EQ", value)]) for value in range(1500)]
    with pytest.raises(ValueError, match="instructions, the kernel takes 4096"):
        seccomp.compile_filter(section(*rules), "SCMP_ARCH_X86_64")


def test_the_last_of_six_arguments_can_be_looked_at() -> None:
    rule = allow("read", args=[condition("EQ", 7, index=5)])
    program = seccomp.compile_filter(section(rule), "SCMP_ARCH_X86_64")
    assert execute(program, X86_64, 0, 0, 0, 0, 0, 0, 7) == ALLOW
    assert execute(program, X86_64, 0, 7, 7, 7, 7, 7, 0) == ERRNO | 1
