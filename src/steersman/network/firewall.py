"""Lets pods through a firewall of others that drops what is forwarded, as Docker's does.

A packet that one table drops is lost whatever another says, so the word for the bridge has to stand
in that table: in Docker's chain for its user, else in the chain that drops. What iptables-legacy
made, and tables that are neither, cannot be joined in: those are named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from steersman.network.nft import Rules, RulesRefused

TABLE = "ip filter"
# Docker jumps here before all rules of its own, and leaves alone what is in it
USER_CHAIN = "DOCKER-USER"
FORWARD = "FORWARD"
_TABLE = re.compile(r"^table (\S+ \S+) \{$")
_CHAIN = re.compile(r"^\tchain (\S+) \{")
_DROPS = re.compile(r"^\t\ttype filter hook forward priority .*; policy drop;")
_HANDLE = re.compile(r"# handle (\d+)$")


def open_for(rules: Rules, bridge: str) -> str:
    """Lets through what comes from a bridge and goes to it; returns what a person has to do
    themselves, mostly nothing. Repeatable."""
    listing = _list(rules, "ruleset")
    close_for(rules, bridge)
    if text := render_opening(listing, bridge):
        rules.apply_now(text)
    others = [table for table in dropping(listing) if table != TABLE]
    if not others:
        return ""
    return (
        f"The table {others[0]!r} drops forwarded packets and another cannot overrule it: "
        f"pods need a rule there that accepts what comes from {bridge} and goes to it."
    )


def close_for(rules: Rules, bridge: str) -> None:
    """Takes back what `open_for` said; what is not there is fine."""
    if text := render_closing(_list(rules, f"table {TABLE}"), bridge):
        rules.apply_now(text)


def render_opening(listing: str, bridge: str) -> str:
    """Returns the rules for a ruleset as nft lists it, "" where its table drops nothing."""
    if TABLE not in dropping(listing):
        return ""
    chain = USER_CHAIN if (TABLE, USER_CHAIN) in set(_chains(listing)) else FORWARD
    return "".join(
        f'insert rule {TABLE} {chain} {direction} "{bridge}" counter accept\n'
        for direction in ("iifname", "oifname")
    )


def render_closing(listing: str, bridge: str) -> str:
    """Returns what deletes the bridge's rules from a table, listed with handles."""
    lines, chain = [], ""
    for line in listing.splitlines():
        if found := _CHAIN.match(line):
            chain = found[1]
        elif re.match(rf'\t\t[io]ifname "{re.escape(bridge)}" ', line):
            handle = _HANDLE.search(line)
            assert handle is not None
            lines.append(f"delete rule {TABLE} {chain} handle {handle[1]}\n")
    return "".join(lines)


def dropping(listing: str) -> list[str]:
    """Returns the tables that drop forwarded packets unless a rule of theirs says otherwise."""
    found, table = [], ""
    for line in listing.splitlines():
        if named := _TABLE.match(_bare(line)):
            table = named[1]
        elif _DROPS.match(line) and table not in found:
            found.append(table)
    return found


def _chains(listing: str) -> Iterator[tuple[str, str]]:
    table = ""
    for line in listing.splitlines():
        if named := _TABLE.match(_bare(line)):
            table = named[1]
        elif chain := _CHAIN.match(line):
            yield table, chain[1]


def _bare(line: str) -> str:
    return line.partition(" # handle ")[0]


def _list(rules: Rules, what: str) -> str:
    try:
        return rules.ask(f"list {what}\n")
    except RulesRefused:
        return ""  # there is no such table
