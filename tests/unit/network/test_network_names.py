"""Names of bridges and links: short enough for Linux, one cluster's never another's."""

from __future__ import annotations

import pytest

from steersman.network.bridge import LONGEST_NAME, bridge_name, link_name, link_prefix
from steersman.network.clean import plan_links
from steersman.network.rules import table_name


def test_names_fit_linux_and_bear_the_cluster() -> None:
    assert bridge_name("2rskf9") == "steer-2rskf9"
    assert link_name("2rskf9", "uid").startswith(link_prefix("2rskf9"))
    assert len(link_name("2rskf9", "uid")) == LONGEST_NAME
    assert table_name("2rskf9") == "steer_2rskf9"


def test_links_of_one_pod_have_one_name_and_of_others_others() -> None:
    names = {link_name(cluster, pod) for cluster in ("aaaaaa", "bbbbbb") for pod in "xyz"}
    assert len(names) == 6
    assert link_name("aaaaaa", "x") in names


@pytest.mark.parametrize("cluster", ["", "seventh"])
def test_an_id_that_does_not_fit_is_refused(cluster: str) -> None:
    for named in (bridge_name, link_prefix):
        with pytest.raises(ValueError, match="of 1 to 6 characters"):
            named(cluster)


def test_cleaning_plans_the_links_of_one_cluster_alone() -> None:
    own = [link_name("abc", "one"), bridge_name("abc"), link_name("abc", "two")]
    others = [
        "lo", "eth0", "docker0", "stabc", "stabcd", "steer-abcd", "xsteer-abc",
        link_name("abcd", "one"), link_name("ab", "one"), bridge_name("ab"), bridge_name("abd"),
        link_name("abd", "one"),
    ]  # fmt: skip
    assert plan_links("abc", [*others, *own]) == own
    assert plan_links("abc", []) == []
