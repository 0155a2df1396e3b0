"""A start that fails halfway leaves the process that tried as it was: no descriptor more, and its
children born where they were before."""

from __future__ import annotations

import os
import subprocess
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from test_runtime_rig import needs_root

from steersman.runtime import container, execution, spec
from steersman.runtime.entry.descriptors import Descriptors
from steersman.runtime.entry.users import start as start_in_users
from steersman.runtime.kernel import capabilities, cgroups, syscalls, user_namespaces
from steersman.runtime.process import Process

pytestmark = needs_root

IDS = [{"containerID": 0, "hostID": 300_000, "size": 10}]


class NotAGroup(cgroups.NoCgroup):
    """A directory that no process can be born into."""

    def birthplace(self) -> int:
        return os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


class Gone(cgroups.NoCgroup):
    """A group that was removed before anybody was born in it."""

    def birthplace(self) -> int:
        raise FileNotFoundError("/gone")


def opened() -> list[str]:
    """What this process has open, by number."""
    return sorted(os.listdir("/proc/self/fd"))


def plan(**linux: Any) -> container.Plan:
    document = spec.container_document(args=["true"], layers=["/l"], sandbox_pid=os.getpid())
    document["linux"].update(linux)
    return container.Plan(document, "/containers/x", held=capabilities.available())


def alone(check: Callable[[], None]) -> None:
    """Runs a check in a process with one thread: a clone of one with several may wait for ever for
    what another thread has (that of pytest-xdist's messages)."""
    process = os.fork()
    if process == 0:
        try:
            check()
        except BaseException:  # noqa: BLE001 - whatever it is, the parent says that it was
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


def test_a_birth_that_fails_leaves_nothing_open() -> None:
    alone(failing_births)


def failing_births() -> None:
    before = opened()
    with pytest.raises(OSError, match="clone"):
        container.start(plan(), NotAGroup(), 1, [])
    wanted = plan(namespaces=[{"type": it} for it in ("mount", "user")],
                  uidMappings=IDS, gidMappings=IDS)  # fmt: skip
    assert wanted.maps is not None
    with pytest.raises(OSError, match="clone"):
        start_in_users(wanted, NotAGroup(), Descriptors(1, []), wanted.maps.root())
    assert opened() == before


def test_user_namespaces_that_were_opened_before_one_that_cannot_be_are_closed() -> None:
    alone(opened_namespaces)


def opened_namespaces() -> None:
    wanted = plan(namespaces=[{"type": it} for it in ("mount", "user")],
                  uidMappings=IDS, gidMappings=IDS)  # fmt: skip
    before = opened()
    for other in ("/proc/self/ns/net", "/proc/self/status"):
        wanted.owners[1:] = [other]
        with pytest.raises(ValueError, match=f"{other} is no user namespace"):
            container.start(wanted, cgroups.NoCgroup(), 1, [])
    assert opened() == before


def test_namespaces_that_cannot_all_be_opened_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(user_namespaces.namespaces.KINDS, "network", (syscalls.CLONE_NEWNET, "no"))
    alone(namespaces_in_part)


def namespaces_in_part() -> None:
    before = opened()
    with pytest.raises(FileNotFoundError):
        user_namespaces.make_owning(user_namespaces.own_maps(), "network")
    assert opened() == before


def test_an_exec_whose_group_is_gone_leaves_its_children_in_their_namespace() -> None:
    # Not cloned from here, where there are several threads
    words = ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", "echo; exec sleep 1000"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as outer, ExitStack() as after:
        after.callback(outer.kill)
        assert outer.stdout is not None
        outer.stdout.readline()
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text()
        first = int(children)
        ours = os.readlink("/proc/self/ns/pid_for_children")
        before = opened()
        process = Process({"args": ["true"]}, 0)
        with pytest.raises(FileNotFoundError):
            execution.start(first, Gone(), process, 1, [], 0)
        assert os.readlink("/proc/self/ns/pid_for_children") == ours
        assert opened() == before


def test_an_exec_into_a_process_that_has_ended_is_refused() -> None:
    first = os.fork()
    if first == 0:
        os._exit(0)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)  # it is there still, in no namespace
    try:
        with pytest.raises(OSError):
            execution.start(first, cgroups.NoCgroup(), Process({"args": ["true"]}, 0), 1, [], 0)
    finally:
        os.waitpid(first, 0)
