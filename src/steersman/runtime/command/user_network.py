"""The network of a container whose owner may make none on the machine: a program of the user's own
passes on what the container sends (pasta or slirp4netns, whichever is installed).

Rule: the loopback of the machine is not reached through it, as with podman; and the program ends
with its container's delete.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess

ANSWER_SECONDS = 10.0  # either is ready within a tenth of a second
END_SECONDS = 5.0
ANY = "user"
PROGRAMS = ("pasta", "slirp4netns")
NOTE, _LOG, _PID = "network", "network.log", "network.pid"
_MOST_LOG_BYTES = 4096


class NoNetwork(ValueError):
    """There is no such network; the text says why."""


def choose(asked: str) -> str:
    """The program for what was asked: one by its name, or any that is here."""
    if asked not in (ANY, *PROGRAMS):
        raise NoNetwork(f"--network: {asked!r} is none of {ANY}, {', '.join(PROGRAMS)}")
    names = PROGRAMS if asked == ANY else (asked,)
    found = next((path for it in names if (path := shutil.which(it))), None)
    if found is None:
        raise NoNetwork(f"--network {asked}: {' or '.join(names)} is not installed")
    return found


def start(program: str, pid: int, directory: str) -> None:
    """Connects the namespaces of a process; what is to be ended later is noted in a directory."""
    from .cold import birth_time

    log = os.path.join(directory, _LOG)
    if os.path.basename(program) == "pasta":
        helper = _start_pasta(program, pid, directory, log)
    else:
        helper = _start_slirp(program, pid, log)
    with open(os.path.join(directory, NOTE), "w") as file:
        file.write(f"{helper} {birth_time(helper)}")


def _start_pasta(program: str, pid: int, directory: str, log: str) -> int:
    """It goes into the background by itself when it is ready."""
    path = os.path.join(directory, _PID)
    words = [program, "--config-net", "--no-map-gw", "--quiet", "--pid", path, str(pid)]
    with open(log, "wb") as file:
        try:
            done = subprocess.run(
                words, stdin=subprocess.DEVNULL, stdout=file, stderr=file, timeout=ANSWER_SECONDS,
                check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise NoNetwork(f"pasta is not ready in {ANSWER_SECONDS:.0f} s") from None
    if done.returncode != 0:
        raise NoNetwork(f"pasta: exit code {done.returncode}: {_tail(log)}")
    with open(path) as file:
        return int(file.read())


def _start_slirp(program: str, pid: int, log: str) -> int:
    """It says on a pipe that it is ready."""
    ready, says = os.pipe()
    words = [program, "--configure", "--mtu=65520", "--disable-host-loopback"]
    words += ["--ready-fd", str(says), str(pid), "tap0"]
    try:
        with open(log, "wb") as file:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=file, stderr=file, pass_fds=(says,),
                start_new_session=True,
            )  # fmt: skip
        os.close(says)
        said = b""
        if select.select([ready], [], [], ANSWER_SECONDS)[0]:
            said = os.read(ready, 1)
        if said != b"1":
            process.kill()
            process.wait()
            raise NoNetwork(f"slirp4netns: {_tail(log) or 'it is not ready in time'}")
    finally:
        os.close(ready)
    process.returncode = 0  # it goes on without us, and is not to be waited for
    return process.pid


def stop(directory: str) -> None:
    """Ends what `start` has begun, where there is anything."""
    from .cold import is_same_process

    try:
        with open(os.path.join(directory, NOTE)) as file:
            pid, _, born = file.read().partition(" ")
    except FileNotFoundError:
        return
    try:
        handle = os.pidfd_open(int(pid))
    except ProcessLookupError:
        return
    try:
        if is_same_process(int(pid), born):
            signal.pidfd_send_signal(handle, signal.SIGTERM)
            if not select.select([handle], [], [], END_SECONDS)[0]:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        return  # it has ended by itself, as its namespace did
    finally:
        os.close(handle)


def _tail(log: str) -> str:
    with open(log, "rb") as file:
        text = file.read(_MOST_LOG_BYTES).decode("utf-8", "replace")
    return "; ".join(it.strip() for it in text.splitlines() if it.strip())
