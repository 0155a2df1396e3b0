"""How the machine resolves names: its file, what stands behind a stub, and a file that changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from steersman.cluster.network import HostResolution


def resolution(place: Path, text: str | None, behind: str | None = None) -> HostResolution:
    for name, content in (("resolv.conf", text), ("behind.conf", behind)):
        if content is not None:
            (place / name).write_text(content)
    return HostResolution(place / "resolv.conf", place / "behind.conf")


def test_a_file_that_names_servers_is_what_pods_get(tmp_path: Path) -> None:
    text = "search example.org\nnameserver 192.0.2.1\nnameserver 192.0.2.2\n"
    found = resolution(tmp_path, text, "nameserver 192.0.2.9\n")
    assert found.text() == text
    assert found.servers() == ["192.0.2.1", "192.0.2.2"]


@pytest.mark.parametrize("stub", ["127.0.0.53", "::1"])
def test_behind_a_stub_pods_get_what_it_asks_and_the_machine_goes_on_to_ask_the_stub(
    tmp_path: Path, stub: str
) -> None:
    found = resolution(tmp_path, f"nameserver {stub}\n", "nameserver 192.0.2.9\n")
    assert found.text() == "nameserver 192.0.2.9\n"
    assert found.servers() == [stub]


@pytest.mark.parametrize(
    "text",
    ["nameserver 127.0.0.1\nnameserver 192.0.2.1\n", "nameserver not-an-address\n", "search x\n"],
)
def test_a_file_that_does_not_name_loopback_alone_is_no_stub(tmp_path: Path, text: str) -> None:
    assert resolution(tmp_path, text, "nameserver 192.0.2.9\n").text() == text


def test_a_stub_with_nothing_behind_it_is_better_than_nothing(tmp_path: Path) -> None:
    assert resolution(tmp_path, "nameserver 127.0.0.53\n").text() == "nameserver 127.0.0.53\n"


def test_a_machine_without_the_file_asks_nobody(tmp_path: Path) -> None:
    found = resolution(tmp_path, None)
    assert (found.text(), found.servers()) == ("", [])


def test_a_file_that_is_replaced_is_read_again(tmp_path: Path) -> None:
    found = resolution(tmp_path, "nameserver 192.0.2.1\n")
    assert found.servers() == ["192.0.2.1"]
    (tmp_path / "new").write_text("nameserver 192.0.2.2\n")
    (tmp_path / "new").replace(tmp_path / "resolv.conf")
    assert found.servers() == ["192.0.2.2"]
    (tmp_path / "resolv.conf").unlink()
    assert found.servers() == []
