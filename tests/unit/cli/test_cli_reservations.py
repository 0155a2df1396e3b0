"""The address ranges and ports of clusters on one machine."""

from __future__ import annotations

import fcntl
import os
import socket
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from ports import free_port
from steersman.cli import choose
from steersman.cli.choose import (
    Reservations,
    choose_port,
    choose_ranges,
    new_id,
    parse_routes,
)
from steersman.cli.directory import ID_ALPHABET
from steersman.cli.failure import Failure


def cluster(place: Path, name: str, described: str = "") -> Path:
    directory = place / name
    directory.mkdir()
    (directory / "cluster.json").write_text(described or f'{{"id": "id-{name}"}}')
    return directory


def test_a_range_that_another_cluster_took_is_not_chosen_again(tmp_path: Path) -> None:
    first, second = cluster(tmp_path, "first"), cluster(tmp_path, "second")
    with Reservations(tmp_path / "ranges") as reservations:
        pods, _ = choose_ranges((), reservations.taken(first))
        reservations.take(pods, first, "id-first")
    with Reservations(tmp_path / "ranges") as reservations:
        taken = reservations.taken(second)
        assert taken == [pods]
        assert choose_ranges((), taken)[0] != pods
        assert reservations.taken(first) == []


def test_where_no_range_is_left_one_is_shared_with_a_cluster_that_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "_PODS", choose._PODS[:2])
    monkeypatch.setattr(choose, "_SERVICES", choose._SERVICES[:2])
    first, second, third = (cluster(tmp_path, name) for name in ("first", "second", "third"))
    with Reservations(tmp_path / "ranges") as reservations:
        for directory, pods in ((first, "10.64.0.0/16"), (second, "10.65.0.0/16")):
            assert reservations.choose((), directory)[0] == pods
            reservations.take(pods, directory, f"id-{directory.name}")
        with pytest.raises(Failure, match="no free address range is left"):
            reservations.choose((), third)
        (tmp_path / "id-second").rmdir()  # it was stopped
        assert reservations.choose((), third)[0] == "10.65.0.0/16"
        reservations.take("10.65.0.0/16", third, "id-third")
        with pytest.raises(Failure, match=f"the cluster in {third} runs and has the same"):
            reservations.take("10.65.0.0/16", second, "id-second")
        assert not (tmp_path / "id-second").exists()
        (tmp_path / "id-third").rmdir()
        reservations.take("10.65.0.0/16", second, "id-second")  # it continues
        assert reservations.taken(first) == ["10.65.0.0/16", "10.65.0.0/16"]
        assert reservations.taken(first, running=True) == ["10.65.0.0/16"]


def test_the_range_of_a_removed_cluster_is_free(tmp_path: Path) -> None:
    gone, new = cluster(tmp_path, "gone"), cluster(tmp_path, "new")
    with Reservations(tmp_path / "ranges") as reservations:
        reservations.take("10.64.0.0/16", gone, "id-gone")
        (gone / "cluster.json").unlink()
        assert reservations.taken(new) == []


def test_a_port_that_another_cluster_has_or_is_about_to_have_is_known(tmp_path: Path) -> None:
    first = cluster(tmp_path, "first", '{"port": 7001}')
    broken = cluster(tmp_path, "broken", '{"port": "many"}')
    with Reservations(tmp_path / "ranges") as reservations:
        reservations.take("10.64.0.0/16", first, "one")
        reservations.take("10.65.0.0/16", broken, "two")
        assert reservations.ports(tmp_path / "second") == {7001}
        assert reservations.ports(first) == set()


def test_the_first_port_that_is_free_and_nobody_elses_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken, used, free, other = (free_port() for _ in range(4))
    monkeypatch.setattr(choose, "PORTS", (taken, used, free, other))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", used))
        listener.listen()
        assert choose_port(None, None, {taken}) == free
        with pytest.raises(Failure, match=f"no port from {taken} to {other} is free"):
            choose_port(None, None, {taken, free, other})


def test_a_port_that_was_asked_for_or_is_the_clusters_own_is_not_exchanged() -> None:
    port, used = free_port(), free_port()
    assert choose_port(port, used, {port}) == port
    assert choose_port(None, port, {port}) == port
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", used))
        listener.listen()
        for wanted, remembered in ((used, None), (None, used)):
            with pytest.raises(Failure, match=f"port {used} is in use: .*--port"):
                choose_port(wanted, remembered)


# What the kernel writes: addresses in the machine's byte order (proc(5), /proc/net/route)
ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t0002A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
vpn0\t0000400A\t00000000\t0001\t0\t0\t50\t0000FFFF\t0\t0\t0
"""


def test_the_routes_of_a_machine_are_read_without_those_to_everywhere() -> None:
    nets = [IPv4Network("192.168.2.0/24"), IPv4Network("10.64.0.0/16")]
    assert parse_routes(ROUTES) == nets


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("192.168.2.0/24", ("10.64.0.0/16", "10.96.0.0/16")),
        ("10.64.0.0/16", ("10.65.0.0/16", "10.97.0.0/16")),
        ("10.96.7.0/24", ("10.65.0.0/16", "10.97.0.0/16")),
        ("10.64.0.0/12", ("10.80.0.0/16", "10.112.0.0/16")),
    ],
)
def test_ranges_that_a_route_of_the_machine_touches_are_not_chosen(
    route: str, expected: tuple[str, str]
) -> None:
    assert choose_ranges([IPv4Network(route)], ()) == expected


def test_the_first_two_clusters_of_a_machine_have_the_first_ranges() -> None:
    assert choose_ranges((), ()) == ("10.64.0.0/16", "10.96.0.0/16")
    assert choose_ranges((), ["10.64.0.0/16"]) == ("10.65.0.0/16", "10.97.0.0/16")


def test_two_that_choose_at_the_same_time_wait_for_each_other(tmp_path: Path) -> None:
    with Reservations(tmp_path / "a" / "ranges"):
        other = os.open(tmp_path / "a" / "ranges" / "lock", os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)
    assert (tmp_path / "a" / "ranges").stat().st_mode & 0o777 == 0o700


def test_the_id_of_a_new_cluster_can_stand_in_the_name_of_a_bridge() -> None:
    first, second = new_id(), new_id()
    assert first != second
    assert len(first) == 6 and set(first + second) <= set(ID_ALPHABET)
