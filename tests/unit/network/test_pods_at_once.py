"""Pods that are connected and disconnected at once, before a kernel that does everything."""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from steersman.network import bridge as bridges
from steersman.network.bridge import Bridge


class Slow(dict[int, str]):
    """What is taken, for who looks there slowly."""

    def __contains__(self, key: object) -> bool:
        found = super().__contains__(key)
        time.sleep(0.01)
        return found


@pytest.fixture
def bridge(monkeypatch: pytest.MonkeyPatch) -> Bridge:
    made = Bridge("abc", IPv4Network("10.64.0.0/24"))
    made.addresses._taken = Slow()
    monkeypatch.setattr(made, "_link", lambda *_: None)
    monkeypatch.setattr(made, "_set_up_inside", lambda *_: None)
    monkeypatch.setattr(bridges, "Netlink", nullcontext)
    monkeypatch.setattr(bridges.netlink, "entered", lambda _: nullcontext())
    return made


def test_pods_that_begin_at_once_have_addresses_of_their_own(bridge: Bridge) -> None:
    async def main() -> list[list[str]]:
        pods = (bridge.add(f"pod{number}", Path("/dev/null")) for number in range(4))
        return await asyncio.gather(*pods)

    found = asyncio.run(main())
    assert len({address for (address,) in found}) == 4
