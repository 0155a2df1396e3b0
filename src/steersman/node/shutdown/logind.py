"""What systemd-logind says of a machine that is about to go, and the lock that has it wait.

Over the system bus, by its socket. Source: org.freedesktop.login1(5), "Inhibitor Locks" of
systemd, and the authentication of the D-Bus specification.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from pathlib import Path
from typing import Final

from steersman.runtime import dbus
from steersman.runtime.dbus import Message
from steersman.world.interface import World

SYSTEM_BUS: Final = Path("/run/dbus/system_bus_socket")
# Bus and logind answer at once; one that hangs does not keep the node from starting
ANSWER_SECONDS: Final = 5.0
_NAME, _PATH = "org.freedesktop.login1", "/org/freedesktop/login1"
_MANAGER: Final = "org.freedesktop.login1.Manager"
_PREPARE: Final = "PrepareForShutdown"
_BUS: Final = "org.freedesktop.DBus"
_MOST_DESCRIPTORS: Final = 4
# What came while an answer was waited for; logind says two things in the life of a machine
_MOST_WAITING: Final = 64


class Refused(Exception):
    """Bus or logind cannot be used; the text says why."""


class Logind:
    """One connection to the bus. The lock is held from `inhibit` to `release`, or to the end of
    this process."""

    def __init__(self, world: World, path: Path = SYSTEM_BUS) -> None:
        self._world = world
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._read = bytearray()
        self._descriptors: deque[int] = deque()
        self._waiting: deque[Message] = deque(maxlen=_MOST_WAITING)
        self._serial = 0
        self._lock = -1

    async def connect(self) -> float:
        """Connects and listens; returns how long logind waits at most, in seconds. Raises Refused,
        OSError."""
        try:
            async with self._world.wire_timeout(ANSWER_SECONDS):
                await asyncio.get_running_loop().sock_connect(self._socket, str(self._path))
                await self._authenticate()
                bus = Message(dbus.CALL, 0, "/org/freedesktop/DBus", _BUS, "Hello", _BUS)
                await self._call(bus)
                rule = dbus.match_rule(_MANAGER, _PREPARE, _PATH)
                await self._call(bus._replace(member="AddMatch", body=(rule,)))
                interface = "org.freedesktop.DBus.Properties"
                asked = Message(dbus.CALL, 0, _PATH, interface, "Get", _NAME)
                found = await self._call(asked._replace(body=(_MANAGER, "InhibitDelayMaxUSec")))
        except TimeoutError:
            raise Refused(f"no answer in {ANSWER_SECONDS:.0f} s") from None
        return float(found.body[0]) / 1e6

    async def inhibit(self) -> None:
        """Has logind wait before the machine goes; raises Refused."""
        self.release()
        words = ("shutdown", "steersman", "Pods need time to handle node shutdown", "delay")
        call = Message(dbus.CALL, 0, _PATH, _MANAGER, "Inhibit", _NAME, body=words)
        try:
            async with self._world.wire_timeout(ANSWER_SECONDS):
                await self._call(call)
        except TimeoutError:
            raise Refused(f"no answer in {ANSWER_SECONDS:.0f} s") from None
        if not self._descriptors:
            raise Refused("logind gave no lock")
        self._lock = self._descriptors.popleft()

    def release(self) -> None:
        """Lets the machine go."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def prepares(self) -> bool:
        """Waits until logind says that the machine goes (True), or stays after all (False)."""
        while True:
            while not self._waiting:
                self._sort(await self._message())
            message = self._waiting.popleft()
            if (message.path, message.member) == (_PATH, _PREPARE) and message.body:
                return bool(message.body[0])

    def close(self) -> None:
        """Ends the connection, and with it the lock."""
        self.release()
        while self._descriptors:
            os.close(self._descriptors.popleft())
        self._socket.close()

    async def _authenticate(self) -> None:
        who = str(os.geteuid()).encode().hex()
        for line, wanted in (
            (f"\0AUTH EXTERNAL {who}\r\n", b"OK "),
            ("NEGOTIATE_UNIX_FD\r\n", b"AGREE_UNIX_FD"),
        ):
            await self._send(line.encode())
            while b"\r\n" not in self._read:
                await self._fill()
            answer, _, rest = bytes(self._read).partition(b"\r\n")
            self._read = bytearray(rest)
            if not answer.startswith(wanted):
                raise Refused(f"the bus answers {answer[:80].decode(errors='replace')!r}")
        await self._send(b"BEGIN\r\n")

    async def _call(self, message: Message) -> Message:
        """Asks and returns the answer; raises Refused for an error."""
        self._serial += 1
        told = message._replace(serial=self._serial)
        await self._send(dbus.encode(told, dbus.texts(told.body)))
        while True:
            found = await self._message()
            if found.reply_to != self._serial:
                self._sort(found)
            elif found.kind == dbus.RETURN:
                return found
            else:
                text = " ".join((found.error, *map(str, found.body)))[:200]
                raise Refused(f"{message.member}: {text}")

    def _sort(self, message: Message) -> None:
        if message.kind == dbus.SIGNAL:
            self._waiting.append(message)

    async def _message(self) -> Message:
        head = 16
        while len(self._read) < head:
            await self._fill()
        size = dbus.size_of(bytes(self._read[:head]))
        while len(self._read) < size:
            await self._fill()
        data, self._read = bytes(self._read[:size]), self._read[size:]
        return dbus.decode(data)

    async def _send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._socket, data)

    async def _fill(self) -> None:
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._socket, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._socket)
        flags = socket.MSG_CMSG_CLOEXEC
        data, found, _, _ = socket.recv_fds(self._socket, dbus.MOST_BYTES, _MOST_DESCRIPTORS, flags)
        self._descriptors.extend(found)
        if not data:
            raise Refused("the bus has closed the connection")
        self._read += data
