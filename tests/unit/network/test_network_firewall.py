"""What is said to others' firewalls, and when forwarding is turned off: from text alone."""

from __future__ import annotations

import pytest

from steersman.network import firewall
from steersman.network.forwarding import plan_off

DOCKER = """table ip nat { # handle 1
\tchain PREROUTING { # handle 1
\t\ttype nat hook prerouting priority dstnat; policy accept;
\t}
}
table ip filter { # handle 2
\tchain DOCKER-USER { # handle 1
\t\treturn # handle 3
\t}

\tchain FORWARD { # handle 2
\t\ttype filter hook forward priority filter; policy drop;
\t\tcounter packets 1 bytes 60 jump DOCKER-USER # handle 4
\t}
}
table inet site { # handle 3
\tchain input { # handle 1
\t\ttype filter hook input priority filter; policy drop;
\t}
}
"""


def test_tables_that_drop_what_is_forwarded_are_found() -> None:
    assert firewall.dropping("") == []
    assert firewall.dropping(DOCKER) == ["ip filter"]
    assert firewall.dropping(DOCKER.replace("hook input", "hook forward")) == [
        "ip filter",
        "inet site",
    ]
    assert firewall.dropping(DOCKER.replace("filter; policy drop", "filter; policy accept")) == []


@pytest.mark.parametrize(
    ("listing", "chain"),
    [(DOCKER, "DOCKER-USER"), (DOCKER.replace("DOCKER-USER", "OTHER"), "FORWARD")],
)
def test_the_word_for_the_bridge_goes_where_its_owner_leaves_it(listing: str, chain: str) -> None:
    assert firewall.render_opening(listing, "steer-abc") == (
        f'insert rule ip filter {chain} iifname "steer-abc" counter accept\n'
        f'insert rule ip filter {chain} oifname "steer-abc" counter accept\n'
    )


def test_a_chain_of_that_name_in_another_table_is_not_dockers() -> None:
    moved = DOCKER.replace("DOCKER-USER", "OTHER").replace("chain input", "chain DOCKER-USER")
    assert "FORWARD" in firewall.render_opening(moved, "steer-abc")


def test_only_the_bridges_own_rules_are_taken_back() -> None:
    ours = """table ip filter { # handle 2
\tchain DOCKER-USER { # handle 1
\t\toifname "steer-abc" counter packets 0 bytes 0 accept # handle 9
\t\tiifname "steer-abcd" counter packets 0 bytes 0 accept # handle 8
\t}
\tchain FORWARD { # handle 2
\t\tiifname "steer-abc" counter packets 0 bytes 0 accept # handle 7
\t}
}
"""
    assert firewall.render_closing(ours, "steer-abc") == (
        "delete rule ip filter DOCKER-USER handle 9\ndelete rule ip filter FORWARD handle 7\n"
    )
    assert firewall.render_closing(DOCKER, "steer-abc") == ""


@pytest.mark.parametrize(
    ("known", "now", "off"),
    [
        (None, {"lo"}, False),
        ({"lo", "eth0"}, {"lo", "eth0"}, True),
        ({"lo", "eth0"}, {"lo"}, True),
        ({"lo"}, {"lo", "steer-abc"}, False),
        ({"lo", "steer-abc"}, {"lo", "steer-abc"}, False),
        ({"lo"}, {"lo", "docker0"}, False),
    ],
)
def test_forwarding_goes_off_where_it_was_off_and_nobody_is_left(
    known: set[str] | None, now: set[str], off: bool
) -> None:
    assert plan_off(known, now) is off
