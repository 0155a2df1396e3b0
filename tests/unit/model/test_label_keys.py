"""Label keys of affinity and spreading: merged into the selectors of a new pod, said once alone."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from tests.checked import causes

from steersman.model.types.label_keys import with_label_keys

LABELS = {"hash": "1", "app": "web"}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
SELECTOR = {"matchLabels": {"app": "web"}}


def term(**more: Any) -> dict[str, Any]:
    return {"topologyKey": "zone", "labelSelector": SELECTOR, **more}


def is_in(key: str, value: str, operator: str = "In") -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": [value]}


def test_a_pods_own_values_become_requirements_of_its_selectors() -> None:
    affinity = {
        "podAffinity": {REQUIRED: [term(matchLabelKeys=["hash"])]},
        "podAntiAffinity": {
            PREFERRED: [{"weight": 1, "podAffinityTerm": term(mismatchLabelKeys=["hash", "no"])}]
        },
        "nodeAffinity": {"untouched": 1},
    }
    constraint = {"maxSkew": 1, **term(matchLabelKeys=["hash"])}
    spec = {"affinity": affinity, "topologySpreadConstraints": [constraint], "x": 1}
    before = copy.deepcopy(spec)
    found = with_label_keys(spec, LABELS)
    assert spec == before
    (near,) = found["affinity"]["podAffinity"][REQUIRED]
    assert near["labelSelector"] == {**SELECTOR, "matchExpressions": [is_in("hash", "1")]}
    assert near["matchLabelKeys"] == ["hash"]
    (apart,) = found["affinity"]["podAntiAffinity"][PREFERRED]
    assert apart["podAffinityTerm"]["labelSelector"]["matchExpressions"] == [
        is_in("hash", "1", "NotIn")
    ]
    assert apart["weight"] == 1
    (spread,) = found["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchExpressions"] == [is_in("hash", "1")]
    assert (found["affinity"]["nodeAffinity"], found["x"]) == ({"untouched": 1}, 1)


def test_own_expressions_stay_before_and_terms_without_keys_or_selector_are_left_alone() -> None:
    own = {"key": "x", "operator": "Exists"}
    spread = [
        term(labelSelector={"matchExpressions": [own]}, matchLabelKeys=["hash", "app"]),
        term(matchLabelKeys=["missing"]),
        {"topologyKey": "zone", "matchLabelKeys": ["hash"]},
        term(),
    ]
    first, *rest = with_label_keys({"topologySpreadConstraints": spread}, LABELS)[
        "topologySpreadConstraints"
    ]
    assert first["labelSelector"]["matchExpressions"] == [
        own,
        is_in("hash", "1"),
        is_in("app", "web"),
    ]
    assert rest == spread[1:]
    assert with_label_keys({"affinity": {}}, LABELS) == {"affinity": {}}


WHERE = f"spec.affinity.podAffinity.{REQUIRED}[0]"
TWICE = 'Invalid value: "hash": exists in both matchLabelKeys and '


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (term(matchLabelKeys=["hash"]), []),
        (
            {"topologyKey": "zone", "mismatchLabelKeys": ["hash"]},
            [
                (
                    f"{WHERE}.mismatchLabelKeys",
                    "Forbidden: must not be specified when labelSelector is not set",
                )
            ],
        ),
        (
            term(matchLabelKeys=["hash"], mismatchLabelKeys=["hash"]),
            [(f"{WHERE}.matchLabelKeys[0]", f"{TWICE}mismatchLabelKeys")],
        ),
        (
            term(
                labelSelector={
                    "matchLabels": {"hash": "1"},
                    "matchExpressions": [is_in("hash", "1")],
                },
                matchLabelKeys=["hash"],
            ),
            [(f"{WHERE}[0]", f"{TWICE}labelSelector")],
        ),
        (
            term(
                labelSelector={"matchExpressions": [is_in("hash", "1"), is_in("hash", "2")]},
                matchLabelKeys=["app", "hash"],
            ),
            [(f"{WHERE}[1]", f"{TWICE}labelSelector")],
        ),
        (
            term(mismatchLabelKeys=["/x"]),
            [
                (
                    f"{WHERE}.mismatchLabelKeys[0]",
                    'Invalid value: "/x": prefix part must be non-empty',
                )
            ],
        ),
    ],
)
def test_keys_are_said_once_and_need_a_selector(given: Any, expected: Any) -> None:
    spec = {
        "containers": [{"name": "a", "image": "i"}],
        "affinity": {"podAffinity": {REQUIRED: [given]}},
    }
    assert causes("", "pods", {"spec": spec}) == expected
