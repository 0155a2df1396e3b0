"""Laws of extenders: any answer is read or refused, and a word only narrows and reorders."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from extenders import URL
from scheduler_cluster import Cluster, asking, node
from steersman.scheduler.decide import Chosen, Unfit, decide
from steersman.scheduler.extenders.failure import Failed
from steersman.scheduler.extenders.messages import parse_filtered, parse_scores, parse_victims
from steersman.scheduler.extenders.word import Word
from steersman.scheduler.filters.refusal import Refusal

NAMES = ("a", "b", "c", "d")
KEYS = st.sampled_from(
    ("NodeNames", "nodes", "FailedNodes", "Error", "Host", "Score", "NodeNameToMetaVictims", "a")
)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(NAMES)
)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4)
)


@given(JSON, st.booleans())
def test_any_answer_is_read_or_refused_and_names_no_foreign_node(
    answer: Any, names_only: bool
) -> None:
    for read in (parse_scores, parse_victims):
        try:
            read(answer)
        except Failed as error:
            assert str(error)
    try:
        found = parse_filtered(answer, URL, NAMES, names_only=names_only)
    except Failed:
        return
    assert set(found.passed) <= set(NAMES)
    assert set(found.refused) <= set(NAMES) - set(found.passed)


@given(
    st.lists(st.integers(0, 4), min_size=4, max_size=4),
    st.frozensets(st.sampled_from(NAMES)),
    st.dictionaries(st.sampled_from(NAMES), st.integers(-500, 500)),
    st.floats(0, 0.999),
)
def test_the_best_of_those_that_fit_and_passed_is_chosen(
    taken: list[int], passed: frozenset[str], scores: dict[str, int], draw: float
) -> None:
    cluster = Cluster(*(node(name) for name in NAMES))
    for name, cpu in zip(NAMES, taken, strict=True):
        cluster.put(asking(str(cpu), metadata={"uid": f"on-{name}"}), on=name)
    wanted = asking("2")
    fits = {name for name, cpu in zip(NAMES, taken, strict=True) if cpu <= 2}
    silent = Refusal("Extender", ("no",))
    refused = {name: silent for name in NAMES if name not in passed}
    answer = decide(cluster.memory.of(wanted, word=Word(passed, refused, (), scores)), draw=draw)
    if isinstance(answer, Unfit):
        assert not fits & passed
        return
    assert isinstance(answer, Chosen)
    assert answer.node.name in fits & passed
    # less taken is better by our own scores, and they never differ by more than 200 in all
    for name in fits & passed:
        assert scores.get(answer.node.name, 0) + 200 >= scores.get(name, 0)
        if scores.get(name, 0) == scores.get(answer.node.name, 0):
            place = NAMES.index
            assert taken[place(answer.node.name)] <= taken[place(name)]
