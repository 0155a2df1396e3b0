"""Ends the pods of a node whose machine is about to go, and takes no more.

Source: pkg/kubelet/nodeshutdown/nodeshutdown_manager.go, with its words.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final, NoReturn, Protocol

from steersman.model.kinds.pod import Pod
from steersman.node.plan import ENDED
from steersman.node.register import SHUTTING_DOWN
from steersman.node.shutdown.groups import Period, group, own_periods
from steersman.node.shutdown.logind import Logind, Refused
from steersman.runtime.dbus import BadMessage
from steersman.world.interface import World

REASON: Final = "Terminated"
MESSAGE: Final = "Pod was terminated in response to imminent node shutdown."
REJECTED: Final = ("NodeShutdown", "Pod was rejected as the node is shutting down.")
_EVENT: Final = "NodeShutdown"
log = logging.getLogger(__name__)


class Cared(Protocol):
    """A pod that the agent cares for."""

    pod: Pod

    def evict(self, reason: str, message: str, grace_seconds: float, *, told: bool = True) -> None:
        """Gives the pod up; without `told` no event says so."""

    async def at_rest(self) -> None:
        """Waits until nothing of it runs."""


class Shutdown:
    """The end of a node's pods.

    cared:   gives the pods that the agent cares for
    say:     tells an event of the node: its kind, reason and note
    changed: is called when the node is about to go, and when it stays after all
    """

    def __init__(
        self,
        periods: tuple[Period, ...],
        cared: Callable[[], Iterable[Cared]],
        say: Callable[[str, str, str], None],
        world: World,
    ) -> None:
        self.active = False
        self.changed: Callable[[], None] = lambda: None
        self._periods = periods
        self._cared = cared
        self._say = say
        self._world = world

    @property
    def conditions(self) -> frozenset[str]:
        """What the node says of itself."""
        return frozenset((SHUTTING_DOWN,)) if self.active else frozenset()

    def refusal(self, _pod: Pod) -> tuple[str, str] | None:
        """Returns why a pod may not begin now, None where it may."""
        return REJECTED if self.active else None

    async def begin(self) -> None:
        """Ends the pods, one group after the other: each until its last pod is at rest or its
        time is over. Pods that were begun to be ended are, though the node stay after all."""
        self._take(True, "Shutdown manager detected shutdown event")
        await self._end(self._periods, list(self._cared()), lambda _one, _in_time: None)

    async def end_all(
        self, begun: Callable[[list[Cared]], None], over: Callable[[Cared, bool], None]
    ) -> None:
        """The same for somebody who looks on: tells the pods that there are, and each when it is
        at rest or late. Where no periods were given each pod has its own time to end."""
        self._take(True, "Shutdown manager detected shutdown event")
        pods = [it for it in self._cared() if it.pod.status.phase not in ENDED]
        begun(list(pods))
        await self._end(self._periods or own_periods(pods), pods, over)

    async def _end(
        self, periods: tuple[Period, ...], pods: list[Cared], over: Callable[[Cared, bool], None]
    ) -> None:
        for period, some in group(periods, pods):
            for one in some:
                own = float(one.pod.spec.termination_grace_period_seconds)
                one.evict(REASON, MESSAGE, min(own, period.seconds), told=False)
            waiting = list(some)
            try:
                async with self._world.timeout(period.seconds):
                    while waiting:
                        await waiting[0].at_rest()
                        over(waiting.pop(0), True)
            except TimeoutError:
                # What is left of them has been killed, or is about to be
                for one in waiting:
                    over(one, False)

    def cancel(self) -> None:
        """The machine stays after all: pods may begin again."""
        self._take(False, "Shutdown manager detected shutdown cancellation")

    async def watch(self, logind: Logind) -> None:
        """Follows logind, which waits before the machine goes until the pods have ended; returns
        where there is none any more."""
        try:
            allowed = await logind.connect()
        except (OSError, Refused) as error:
            log.info("no logind tells when the machine goes: %s", error)
            logind.close()
            return
        wanted = sum(it.seconds for it in self._periods)
        if allowed < wanted:
            text = f"logind waits {allowed:.0f} s at most (InhibitDelayMaxSec of logind.conf), "
            self._say("Warning", "NodeShutdownDelay", f"{text}pods are to have {wanted:.0f} s")
        try:
            await self._follow(logind)
        except (OSError, Refused, BadMessage) as error:
            text = f"logind cannot be followed any more, pods will not be ended: {error}"
            self._say("Warning", "NodeShutdownDelay", text)
        finally:
            logind.close()

    async def _follow(self, logind: Logind) -> NoReturn:
        while True:
            await logind.inhibit()
            while not await logind.prepares():
                continue  # it stays, which it was about to all the time
            await self.begin()
            logind.release()
            while await logind.prepares():
                continue
            self.cancel()

    def _take(self, active: bool, note: str) -> None:
        self.active = active
        self._say("Normal", _EVENT, note)
        self.changed()
