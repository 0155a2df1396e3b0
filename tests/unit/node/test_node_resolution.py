"""How a pod resolves names: by policy, with its own additions, within what resolvers can hold."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from steersman.model.kinds.pod import Pod
from steersman.node.render.resolution import (
    Rendered,
    Resolution,
    parse_resolution,
    plan_searches,
    render_resolution,
)

HERE = Resolution("10.96.0.10", "cluster.local", "nameserver 1.1.1.1\nsearch home\noptions edns0\n")
OWN = "default.svc.cluster.local svc.cluster.local cluster.local"


def rendered(spec: dict[str, Any] | None = None, here: Resolution = HERE) -> Rendered:
    document = {"metadata": {"namespace": "default", "name": "web"}, "spec": spec or {}}
    return render_resolution(msgspec.convert(document, Pod), here)


def text(spec: dict[str, Any] | None = None, host: str = HERE.host) -> str:
    """The file of a pod about which there is nothing to complain."""
    found = rendered(spec, Resolution(HERE.server, HERE.domain, host))
    assert found.complaints == ()
    return found.text


CLUSTER = f"search {OWN} home\nnameserver 10.96.0.10\noptions ndots:5\n"
HOST = "search home\nnameserver 1.1.1.1\noptions edns0\n"


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, CLUSTER),
        ({"dnsPolicy": "ClusterFirst"}, CLUSTER),
        ({"dnsPolicy": "ClusterFirst", "hostNetwork": True}, HOST),
        ({"dnsPolicy": "ClusterFirstWithHostNet", "hostNetwork": True}, CLUSTER),
        ({"dnsPolicy": "ClusterFirstWithHostNet"}, CLUSTER),
        ({"dnsPolicy": "Default"}, HOST),
        ({"dnsPolicy": "Default", "hostNetwork": True}, HOST),
        ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["9.9.9.9"]}}, "nameserver 9.9.9.9\n"),
    ],
)
def test_the_policy_says_who_is_asked(spec: dict[str, Any], wanted: str) -> None:
    assert text(spec) == wanted


def test_what_the_pod_adds_comes_after_and_once_and_options_replace() -> None:
    config = {
        "nameservers": ["9.9.9.9", "10.96.0.10", "9.9.9.9"],
        "searches": ["x", "home", "x"],
        "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
    }
    assert text({"dnsConfig": config}) == (
        f"search {OWN} home x\nnameserver 10.96.0.10\nnameserver 9.9.9.9\noptions ndots:2 edns0\n"
    )
    assert text({"dnsPolicy": "None", "dnsConfig": config}) == (
        "search x home\nnameserver 9.9.9.9\nnameserver 10.96.0.10\noptions ndots:2 edns0\n"
    )


def test_the_host_s_paths_are_not_told_twice() -> None:
    host = "search cluster.local. . home.\n"
    assert text(host=host).startswith(f"search {OWN} home\n")


def test_a_host_that_says_nothing_adds_nothing() -> None:
    assert text(host="") == f"search {OWN}\nnameserver 10.96.0.10\noptions ndots:5\n"
    assert text({"dnsPolicy": "Default"}, host="") == ""


def test_more_nameservers_than_resolvers_read_are_left_out_and_that_is_told() -> None:
    config = {"nameservers": ["9.9.9.1", "9.9.9.2", "9.9.9.3"]}
    found = rendered({"dnsConfig": config})
    assert found.text.count("nameserver ") == 3 and "9.9.9.3" not in found.text
    assert found.complaints == (
        "Nameserver limits were exceeded, some nameservers have been omitted, the applied "
        "nameserver line is: 10.96.0.10 9.9.9.1 9.9.9.2",
    )


def test_more_search_paths_than_fit_are_left_out_and_that_is_told() -> None:
    found = rendered({"dnsConfig": {"searches": [f"d{number}" for number in range(40)]}})
    line = found.text.splitlines()[0]
    assert line.split()[-1] == "d27" and len(line.split()) == 33
    assert found.complaints == (
        "Search Line limits were exceeded, some search paths have been omitted, the applied "
        f"search line is: {line.removeprefix('search ')}",
    )


def test_long_search_paths_are_left_out() -> None:
    long, longest = "a" * 253, "a" * 254
    assert plan_searches(["x", longest, long]) == ["x", long]
    assert plan_searches([long] * 9) == [long] * 8
    assert plan_searches([long] * 8 + ["a" * 16]) == [long] * 8 + ["a" * 16]
    assert plan_searches([long] * 8 + ["a" * 17]) == [long] * 8


def test_the_host_s_file_is_read_as_the_kubelet_reads_it() -> None:
    found = parse_resolution(
        "# nameserver 0.0.0.0\n; nameserver 0.0.0.1\nnameserver\n\n"
        "nameserver 1.1.1.1\n  nameserver fd00::1 # here\n"
        "domain ignored\nsearch first\nsearch a. . b\noptions rotate\noptions ndots:2 edns0\n"
    )
    assert found == (["1.1.1.1", "fd00::1"], ["a", "b"], {"ndots": "2", "edns0": ""})
