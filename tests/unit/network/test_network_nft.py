"""What applies rules: what it says when nothing that could is installed."""

from __future__ import annotations

import pytest

from steersman.network import nft


def test_without_nftables_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setattr(nft, "LIBRARIES", ("libnftables-is-not-there.so.1",))
    monkeypatch.setattr(nft, "PROGRAM_PATH", str(tmp_path))
    nft.find_library.cache_clear()
    try:
        with pytest.raises(nft.Unavailable, match="apt-get install nftables"):
            nft.Rules()
    finally:
        nft.find_library.cache_clear()


def test_closed_rules_apply_nothing() -> None:
    if nft.find_library() is None:
        pytest.skip("libnftables is not installed here")
    applied = nft.Rules()
    applied.close()
    applied.close()


LISTED = """table ip steer_abc {
\tset a29a562ae89353d53 {
\t\ttype ipv4_addr
\t\tsize 65535
\t\tflags dynamic,timeout
\t\ttimeout 10m
\t\telements = { 192.0.2.1 expires 8s936ms, 192.0.2.2 timeout 1d expires 9m59s,
\t\t\t     192.0.2.3 expires 1d2h3m4s, 192.0.2.4 expires 12ms }
\t}
\tset afccfb1db7ef7d119 {
\t\ttype ipv4_addr
\t}
\tset without_endpoints {
\t\telements = { 10.96.0.11 . tcp . 80 }
\t}
}
"""


def test_listed_sets_are_read_with_the_time_that_is_left() -> None:
    assert nft.parse_sets(LISTED) == {
        "a29a562ae89353d53": {
            "192.0.2.1": 9,
            "192.0.2.2": 599,
            "192.0.2.3": 93784,
            "192.0.2.4": 1,
        },
        "afccfb1db7ef7d119": {},
        "without_endpoints": {},
    }
    assert nft.parse_sets("") == {}
