"""Laws of patches and quantities that hold for all documents."""

from __future__ import annotations

import copy
from fractions import Fraction
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from steersman.model.patch import json_patch, merge_patch
from steersman.model.quantity import parse
from steersman.model.schema import builtin
from steersman.model.selectors import parse as parse_selector
from steersman.model.strategic import merge

KEYS = st.sampled_from(["a", "b", "c", "d/e", "f~g"])
LEAVES = st.one_of(st.booleans(), st.integers(-3, 3), st.text("xyz", max_size=2))
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=4)


@given(DOCUMENTS, DOCUMENTS)
def test_a_merge_patch_applied_twice_changes_nothing_more(
    document: dict[str, Any], patch: dict[str, Any]
) -> None:
    before = copy.deepcopy(document)
    once = merge_patch(document, patch)
    assert merge_patch(once, patch) == once
    assert document == before


@given(DOCUMENTS, KEYS, VALUES)
def test_what_a_json_patch_adds_it_can_test_and_remove(
    document: dict[str, Any], key: str, value: Any
) -> None:
    path = "/" + key.replace("~", "~0").replace("/", "~1")
    added = json_patch(document, [{"op": "add", "path": path, "value": value}])
    assert added == {**document, key: value}
    removed = [{"op": "test", "path": path, "value": value}, {"op": "remove", "path": path}]
    assert json_patch(added, removed) == {k: v for k, v in document.items() if k != key}


NAMES = st.sampled_from(["main", "side", "log"])
PORTS = st.lists(
    st.fixed_dictionaries(
        {"containerPort": st.integers(80, 83)}, optional={"name": st.sampled_from("pq")}
    ),
    max_size=3,
    unique_by=lambda port: port["containerPort"],
)
CONTAINERS = st.lists(
    st.fixed_dictionaries(
        {"name": NAMES},
        optional={
            "image": st.sampled_from(["x", "y"]),
            "ports": PORTS,
            "args": st.lists(st.sampled_from("ab"), max_size=2),
        },
    ),
    max_size=3,
    unique_by=lambda container: container["name"],
)
PODS = st.fixed_dictionaries(
    {},
    optional={
        "metadata": st.fixed_dictionaries(
            {},
            optional={
                "labels": st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy")),
                "finalizers": st.lists(st.sampled_from("abc"), unique=True),
            },
        ),
        "spec": st.fixed_dictionaries(
            {},
            optional={
                "containers": CONTAINERS,
                "nodeSelector": st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy")),
                "hostNetwork": st.booleans(),
            },
        ),
    },
)


@settings(max_examples=200)
@given(PODS, PODS)
def test_a_strategic_merge_patch_applied_twice_changes_nothing_more(
    pod: dict[str, Any], patch: dict[str, Any]
) -> None:
    node = builtin().definition("io.k8s.api.core.v1.Pod")
    before = copy.deepcopy((pod, patch))
    once = merge(pod, patch, node)
    assert merge(once, patch, node) == once
    assert merge(pod, {}, node) == pod
    assert (pod, patch) == before


SUFFIXES = {"n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "": 1}
SUFFIXES |= {sign: 1000**power for power, sign in enumerate("kMGTPE", 1)}
SUFFIXES |= {f"{sign}i": 1024**power for power, sign in enumerate("KMGT", 1)}
SUFFIXES |= {f"e{power}": Fraction(10) ** power for power in range(-12, 13)}
NUMBERS = st.tuples(
    st.sampled_from(["", "-", "+"]), st.integers(0, 10**6), st.sampled_from(["", ".5", ".025"])
)


def _fraction(number: tuple[str, int, str], suffix: str) -> Fraction:
    sign, whole, places = number
    exact = Fraction(f"{sign}{whole}{places}") * SUFFIXES[suffix]
    nanos = abs(exact) * 10**9
    rounded = -(-nanos.numerator // nanos.denominator)
    return Fraction(rounded if exact >= 0 else -rounded, 10**9)


@given(NUMBERS, st.sampled_from(sorted(SUFFIXES)))
def test_a_quantity_is_the_exact_number_rounded_away_from_zero_to_one_nano(
    number: tuple[str, int, str], suffix: str
) -> None:
    read = parse("".join(map(str, number)) + suffix)
    assert Fraction(read.nanos, 10**9) == _fraction(number, suffix)
    assert parse(str(read)) == read
    assert parse(str(read + read)).nanos == 2 * read.nanos


TERMS = st.sampled_from(
    ["a=1", "b==2", "c!=3", "d", "!e", "f in (1,2)", "g notin (x,)", "h>1", "i<9", "j="]
)


LABELS = st.dictionaries(st.sampled_from("abcdefghij"), st.sampled_from(["", "1", "2", "x"]))


@given(st.lists(TERMS, max_size=4), LABELS)
def test_a_selector_printed_and_read_again_selects_the_same(
    terms: list[str], labels: dict[str, str]
) -> None:
    selector = parse_selector(",".join(terms))
    again = parse_selector(str(selector))
    assert again(labels) == selector(labels) == all(parse_selector(term)(labels) for term in terms)
    if selector(labels):
        assert selector.pinned.items() <= labels.items()
