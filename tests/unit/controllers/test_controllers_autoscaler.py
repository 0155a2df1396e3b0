"""How many replicas metrics ask for, and how far and fast an autoscaler goes: the pure parts."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.controllers import autoscaler_replicas as replicas
from steersman.controllers.autoscaler_bounds import Bounds, History, normalize
from steersman.controllers.autoscaler_metrics import duration, shown
from steersman.controllers.autoscaler_replicas import (
    Groups,
    NoProposal,
    Sample,
    Situation,
    Tolerance,
)
from unit.controllers.views import NOW, pod, time


def runs(name: str, request: str = "1", **more: Any) -> Any:
    """Returns a pod that has been ready for an hour and requests processor time."""
    resources = {"requests": {"cpu": request}}
    status = {"startTime": time(4000), **more.pop("status", {})}
    spec = {"containers": [{"name": "web", "resources": resources}], **more.pop("spec", {})}
    return pod(name, **{"ready": 3600, "spec": spec, "status": status, **more})


def of(*pods: Any, current: int | None = None, tolerance: Tolerance | None = None) -> Situation:
    return Situation(pods, len(pods) if current is None else current, tolerance or Tolerance(), NOW)


def using(**amounts: int) -> dict[str, Sample]:
    return {name: Sample(value, NOW - 10, 30) for name, value in amounts.items()}


A, B, C = runs("a"), runs("b"), runs("c")


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        (500, (2, 50, 500)),
        (750, (3, 75, 750)),
        (549, (2, 54, 549)),
        (551, (2, 55, 551)),
        (560, (3, 56, 560)),
        (449, (2, 44, 449)),
        (240, (1, 24, 240)),
    ],
)
def test_usage_is_held_against_requests(used: int, expected: Any) -> None:
    assert replicas.by_utilization(of(A, B), using(a=used, b=used), 50, "cpu") == expected


def test_a_tolerance_of_its_own_holds_in_its_direction() -> None:
    exact = of(A, B, tolerance=Tolerance(0.0, 0.5))
    assert replicas.by_utilization(exact, using(a=510, b=510), 50, "cpu")[0] == 3
    assert replicas.by_utilization(exact, using(a=260, b=260), 50, "cpu")[0] == 2


def test_a_pod_without_metrics_speaks_against_every_change() -> None:
    several = of(A, B, C)
    assert replicas.by_utilization(several, using(a=1000, b=1000), 50, "cpu")[0] == 4
    assert replicas.by_utilization(several, using(a=600, b=600), 50, "cpu")[0] == 3
    assert replicas.by_utilization(several, using(a=100, b=100), 50, "cpu")[0] == 3
    assert replicas.by_utilization(several, using(a=50, b=50), 100, "cpu")[0] == 2
    assert replicas.by_average(several, using(a=100, b=100), 1000)[0] == 2
    assert replicas.by_average(several, using(a=9000, b=9000), 1000)[0] == 18


def test_a_pod_that_is_not_ready_uses_nothing_where_the_others_use_much() -> None:
    pending = runs("new", phase="Pending")
    both = of(A, pending)
    assert replicas.by_utilization(both, using(a=1000), 50, "cpu") == (2, 100, 1000)
    assert replicas.by_utilization(both, using(a=3000), 50, "cpu")[0] == 6
    assert replicas.by_utilization(both, using(a=100), 50, "cpu")[0] == 1


def test_pods_that_are_supposed_never_turn_the_direction() -> None:
    pending = runs("new", phase="Pending")
    few = of(A, pending, current=1)
    assert replicas.by_utilization(few, using(a=400), 50, "cpu")[0] == 1
    # a missing pod counts at the target where that is above its request
    wide = of(A, B, current=2)
    assert replicas.by_utilization(wide, using(a=1000), 200, "cpu")[0] == 2
    # with the missing ones it would be too much where it was too little
    large = runs("c", request="9")
    assert replicas.by_utilization(of(A, large), using(a=400), 50, "cpu")[0] == 2
    # fewer pods than the target wants: no growth is made of a shrinking
    assert replicas.by_utilization(of(A, B, C, current=2), using(a=1, b=1), 100, "cpu")[0] <= 2
    four = [runs(f"m{number}") for number in range(4)]
    many = of(A, *four, current=3)
    assert replicas.by_average(many, using(a=100), 1000)[0] == 3


def test_pods_that_end_or_have_failed_do_not_count() -> None:
    ended = (runs("d", deleted=True), runs("f", phase="Failed"))
    found = replicas.by_utilization(of(A, *ended), using(a=500, d=9000, f=9000), 50, "cpu")
    assert found == (3, 50, 500)
    assert replicas.group((A, *ended), using(a=1, d=1), of_cpu=True, now=NOW) == Groups(
        1, frozenset(), frozenset(), frozenset({"d", "f"})
    )


@pytest.mark.parametrize(
    ("started", "ready", "measured", "counts"),
    [
        (100, 50, 10, True),
        (100, 50, 30, False),  # the sample began before the pod was ready
        (100, None, 10, False),
        (400, 50, 49, True),
        (400, None, 10, True),  # was ready once: its condition changed late
    ],
)
def test_processor_time_of_a_beginning_is_not_counted(
    started: float, ready: float | None, measured: float, counts: bool
) -> None:
    one = runs("a", ready=ready, status={"startTime": time(started)})
    if ready is None:
        condition = {"type": "Ready", "status": "False", "lastTransitionTime": time(50)}
        one = runs("a", status={"startTime": time(started), "conditions": [condition]})
    sample = {"a": Sample(1, NOW - measured, 30)}
    groups = replicas.group((one,), sample, of_cpu=True, now=NOW)
    assert (groups.ready, groups.unready) == ((1, frozenset()) if counts else (0, frozenset("a")))
    assert replicas.group((one,), sample, of_cpu=False, now=NOW).ready == 1


def test_a_pod_that_was_never_ready_is_not_counted_after_its_beginning() -> None:
    condition = {"type": "Ready", "status": "False", "lastTransitionTime": time(399)}
    one = runs("a", status={"startTime": time(400), "conditions": [condition]})
    assert replicas.group((one,), using(a=1), of_cpu=True, now=NOW).unready == {"a"}
    without = runs("a", status={"startTime": time(400), "conditions": []})
    assert replicas.group((without,), using(a=1), of_cpu=True, now=NOW).unready == {"a"}


def test_what_cannot_be_told_is_told_why() -> None:
    bare = pod("bare", spec={"containers": [{"name": "web"}]})
    for pods, samples, why in (
        ((), {}, "no pods returned by selector while calculating replica count"),
        ((A,), {}, "did not receive metrics for any ready pods"),
        ((A, bare), using(a=1), "missing request for cpu in container web of Pod bare"),
        ((A,), using(other=1), "no metrics returned matched known pods"),
    ):
        with pytest.raises(NoProposal) as error:
            replicas.by_utilization(of(*pods), samples, 50, "cpu")
        assert str(error.value) == why
    for pods, samples, why in (
        ((), {}, "no pods returned by selector while calculating replica count"),
        ((A,), {}, "did not receive metrics for any ready pods"),
    ):
        with pytest.raises(NoProposal, match=why):
            replicas.by_average(of(*pods), samples, 50)


def test_requests_are_those_of_containers_and_sidecars_or_of_the_pod() -> None:
    two = [{"name": name, "resources": {"requests": {"cpu": "1"}}} for name in ("web", "log")]
    early = [
        {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "3"}}},
        {"name": "init", "resources": {"requests": {"cpu": "9"}}},
    ]
    one = runs("a", spec={"containers": two, "initContainers": early})
    assert replicas.requests((one,), "cpu", "") == {"a": 5000}
    assert replicas.requests((one,), "cpu", "log") == {"a": 1000}
    whole = runs("a", spec={"containers": two, "resources": {"requests": {"cpu": "7"}}})
    assert replicas.requests((whole,), "cpu", "") == {"a": 7000}
    assert replicas.requests((whole,), "cpu", "log") == {"a": 1000}


def test_a_value_is_divided_by_ready_pods_or_shared() -> None:
    unready = runs("n", ready=None)
    assert replicas.by_value(of(A, B, unready), 2000, 1000) == 4
    assert replicas.by_value(of(A, B, unready), 1050, 1000) == 3
    assert replicas.by_value(of(current=0), 2500, 1000) == 3
    with pytest.raises(NoProposal, match="unable to calculate ready pods: no pods returned"):
        replicas.by_value(of(current=2), 2500, 1000)
    assert replicas.by_share(of(A, B), 2, 4500, 1000) == (5, 2250)
    assert replicas.by_share(of(A, B), 2, 2100, 1000) == (2, 1050)
    assert replicas.by_share(of(current=0), 0, 2500, 1000) == (3, 0)


RULES = {
    "scaleUp": {
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [
            {"type": "Pods", "value": 4, "periodSeconds": 15},
            {"type": "Percent", "value": 100, "periodSeconds": 15},
        ],
    },
    "scaleDown": {
        "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    },
}


def ruled(up: Any = None, down: Any = None, least: int = 1, most: int = 100) -> Bounds:
    rules = {name: {**RULES[name], **(more or {})} for name, more in
             (("scaleUp", up), ("scaleDown", down))}  # fmt: skip
    return Bounds(least, most, rules)


@pytest.mark.parametrize(
    ("current", "wanted", "replicas", "reason"),
    [
        (1, 3, 3, "DesiredWithinRange"),
        (1, 9, 4, "ScaleUpLimit"),
        (5, 30, 10, "ScaleUpLimit"),
        (6, 30, 12, "TooManyReplicas"),
        (5, 1, 2, "TooFewReplicas"),
        (5, 2, 2, "DesiredWithinRange"),
    ],
)
def test_without_rules_replicas_double_at_most(
    current: int, wanted: int, replicas: int, reason: str
) -> None:
    found = normalize(Bounds(2, 12), History(), current, wanted, NOW)
    assert (found.replicas, found.limited[0]) == (replicas, reason)
    assert found.is_limited == (reason != "DesiredWithinRange")
    assert found.able[0] == "ReadyForNewScale"
    assert found.history.asked == ((NOW, wanted),)


def test_without_rules_the_highest_of_five_minutes_holds() -> None:
    history = History(asked=((NOW - 301, 9), (NOW - 300, 5), (NOW - 10, 3)))
    found = normalize(Bounds(1, 12), history, 5, 2, NOW)
    assert (found.replicas, found.able[0]) == (5, "ScaleDownStabilized")
    assert found.history.asked == (*history.asked[1:], (NOW, 2))
    later = normalize(Bounds(1, 12), found.history, 5, 2, NOW + 1)
    assert later.replicas == 3
    assert normalize(Bounds(1, 12), history, 5, 7, NOW).replicas == 7


def test_windows_keep_replicas_between_what_was_asked_for_within_them() -> None:
    bounds = ruled({"stabilizationWindowSeconds": 60}, {"stabilizationWindowSeconds": 120})
    history = History(asked=((NOW - 121, 1), (NOW - 100, 9), (NOW - 59, 4), (NOW - 60, 2)))
    up = normalize(bounds, history, 3, 8, NOW)
    assert (up.replicas, up.able[0]) == (4, "ScaleUpStabilized")
    down = normalize(bounds, history, 10, 3, NOW)
    assert (down.replicas, down.able[0]) == (9, "ScaleDownStabilized")
    steady = normalize(bounds, history, 6, 3, NOW)
    assert steady.replicas == 6
    assert down.history.asked == (*history.asked[1:], (NOW, 3))


@pytest.mark.parametrize(
    ("up", "scaled", "current", "expected"),
    [
        (None, (), 1, 5),
        (None, (), 10, 20),
        ({"selectPolicy": "Min"}, (), 10, 14),
        ({"selectPolicy": "Disabled"}, (), 10, 10),
        (None, ((10, 4),), 5, 5),
        (None, ((10, 9),), 10, 10),  # more than policies allow now; nobody goes for that
        (None, ((10, 2),), 5, 7),
        (None, ((15, 4),), 5, 10),
        (None, ((10, -3),), 5, 16),
        ({"policies": [{"type": "Percent", "value": 10, "periodSeconds": 60}]}, (), 5, 6),
    ],
)
def test_policies_bound_how_fast_replicas_grow(
    up: Any, scaled: Any, current: int, expected: int
) -> None:
    history = History(scaled=tuple((NOW - ago, change) for ago, change in scaled))
    found = normalize(ruled(up), history, current, 90, NOW)
    assert (found.replicas, found.limited[0]) == (expected, "ScaleUpLimit")


@pytest.mark.parametrize(
    ("down", "scaled", "expected"),
    [
        ({"policies": [{"type": "Pods", "value": 3, "periodSeconds": 60}]}, (), 7),
        ({"policies": [{"type": "Pods", "value": 3, "periodSeconds": 60}]}, ((50, -2),), 9),
        ({"policies": [{"type": "Pods", "value": 3, "periodSeconds": 60}]}, ((50, -5),), 10),
        ({"policies": [{"type": "Percent", "value": 15, "periodSeconds": 60}]}, (), 8),
        ({"selectPolicy": "Disabled"}, (), 10),
        (
            {
                "selectPolicy": "Min",
                "policies": [
                    {"type": "Pods", "value": 3, "periodSeconds": 60},
                    {"type": "Percent", "value": 50, "periodSeconds": 60},
                ],
            },
            (),
            7,
        ),
    ],
)
def test_policies_bound_how_fast_replicas_shrink(down: Any, scaled: Any, expected: int) -> None:
    history = History(scaled=tuple((NOW - ago, change) for ago, change in scaled))
    found = normalize(ruled(None, {"stabilizationWindowSeconds": 0, **down}), history, 10, 1, NOW)
    assert (found.replicas, found.limited[0]) == (expected, "ScaleDownLimit")


def test_bounds_hold_beside_rules() -> None:
    down = {"stabilizationWindowSeconds": 0}
    found = normalize(ruled(down=down, least=3), History(), 9, 1, NOW)
    assert (found.replicas, found.limited[0]) == (3, "TooFewReplicas")
    found = normalize(ruled(most=6), History(), 4, 9, NOW)
    assert (found.replicas, found.limited[0]) == (6, "TooManyReplicas")
    found = normalize(ruled(), History(), 4, 6, NOW)
    assert (found.replicas, found.limited[0], found.is_limited) == (6, "DesiredWithinRange", False)


def test_changes_are_remembered_for_the_longest_period() -> None:
    history = History(scaled=((NOW - 1801, 1), (NOW - 1800, 2)))
    assert history.after(-3, NOW).scaled == ((NOW - 1800, 2), (NOW, -3))


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30s", 30), ("1m0s", 60), ("1h2m3.5s", 3723.5), ("150ms", 0.15), ("", 60), ("5", 60),
     ("x", 60), ("1..5s", 60), ("5y", 60)],
)  # fmt: skip
def test_a_window_is_read_as_go_writes_it(text: str, expected: float) -> None:
    assert duration(text) == pytest.approx(expected)


def test_a_selector_is_shown_as_go_prints_it() -> None:
    expression = {"key": "k", "operator": "In", "values": ["x", "y"]}
    selector = {"matchLabels": {"b": "2", "a": "1"}, "matchExpressions": [expression]}
    assert shown(None) == "nil"
    assert shown(selector) == (
        "&LabelSelector{MatchLabels:map[string]string{a: 1,b: 2,},MatchExpressions:"
        "[]LabelSelectorRequirement{{Key:k,Operator:In,Values:[x y],},},}"
    )
