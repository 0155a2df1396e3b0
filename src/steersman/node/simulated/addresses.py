"""The addresses of a range, given out in turn: one that is given back comes last again."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network


class Addresses:
    """Gives each address to one at a time; the first that is given is the second of the range."""

    def __init__(self, range_: str) -> None:
        self._text = range_
        self._range = IPv4Network(range_, strict=False)
        self._last = self._range.num_addresses - 2  # behind it is the address of all
        self._taken: set[str] = set()
        self._next = 2
        self._used_up = False

    def __str__(self) -> str:
        return self._text

    def hold(self, addresses: Iterable[str]) -> None:
        """Keeps some addresses for those who have them already."""
        self._taken.update(addresses)

    def take(self) -> str:
        """Returns an address that nobody has, empty where there is none."""
        for _ in range(0 if self._used_up else self._last):
            address = str(self._range[self._next])
            self._next = self._next % self._last + 1
            if address not in self._taken:
                self._taken.add(address)
                return address
        self._used_up = True
        return ""

    def give_back(self, address: str) -> None:
        """Takes an address back."""
        self._taken.discard(address)
        self._used_up = False
