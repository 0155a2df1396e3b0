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
