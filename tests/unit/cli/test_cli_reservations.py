"""The address ranges of clusters on one machine."""

from __future__ import annotations

from pathlib import Path

from steersman.cli.choose import Reservations, choose_ranges


def cluster(place: Path, name: str) -> Path:
    directory = place / name
    directory.mkdir()
    (directory / "cluster.json").write_text("{}")
    return directory


def test_a_range_that_another_cluster_took_is_not_chosen_again(tmp_path: Path) -> None:
    first, second = cluster(tmp_path, "first"), cluster(tmp_path, "second")
    with Reservations(tmp_path / "ranges") as reservations:
        pods, _ = choose_ranges((), reservations.taken(first))
        reservations.take(pods, first)
    with Reservations(tmp_path / "ranges") as reservations:
        taken = reservations.taken(second)
        assert taken == [pods]
        assert choose_ranges((), taken)[0] != pods
        assert reservations.taken(first) == []


def test_the_range_of_a_removed_cluster_is_free(tmp_path: Path) -> None:
    gone, new = cluster(tmp_path, "gone"), cluster(tmp_path, "new")
    with Reservations(tmp_path / "ranges") as reservations:
        reservations.take("10.64.0.0/16", gone)
        (gone / "cluster.json").unlink()
        assert reservations.taken(new) == []
