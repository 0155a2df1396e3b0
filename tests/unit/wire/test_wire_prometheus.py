"""Prometheus' text: values, histograms, and what must be escaped."""

from __future__ import annotations

from steersman.model.figures import Family, Histogram, Sample, Sources
from steersman.wire.prometheus import render


def test_values_are_written_with_their_labels() -> None:
    family = Family(
        "m", "What it is.", "gauge", [Sample((("a", "x"), ("b", "y")), 1), Sample((), 2.5)], "BETA"
    )
    assert render([family]).decode().splitlines() == [
        "# HELP m [BETA] What it is.",
        "# TYPE m gauge",
        'm{a="x",b="y"} 1',
        "m 2.5",
    ]


def test_a_time_is_told_in_milliseconds_and_whole_numbers_as_such() -> None:
    family = Family("m", "h", "counter", [Sample((), 3.0, 1.5)])
    assert render([family]).decode().splitlines()[2] == "m 3 1500"


def test_a_histogram_adds_up() -> None:
    found = Histogram((0.5, 1.0, 2))
    for value in (0.5, 0.75, 5):
        found.observe(value)
    assert found.count == 3
    lines = render([Family("m", "h", "histogram", [Sample((("a", "x"),), found)])]).decode()
    assert lines.splitlines()[2:] == [
        'm_bucket{a="x",le="0.5"} 1',
        'm_bucket{a="x",le="1"} 2',
        'm_bucket{a="x",le="2"} 2',
        'm_bucket{a="x",le="+Inf"} 3',
        'm_sum{a="x"} 6.250000',
        'm_count{a="x"} 3',
    ]


def test_a_metric_without_a_value_is_left_out() -> None:
    assert render([Family("m", "h", "gauge", [])]) == b""


def test_what_would_end_a_label_is_escaped() -> None:
    family = Family("m", "h", "gauge", [Sample((("a", 'x"\\\n'),), 1)])
    assert render([family]).decode().splitlines()[2] == 'm{a="x\\"\\\\\\n"} 1'


def test_all_sources_are_asked_when_somebody_wants_to_know() -> None:
    sources, asked = Sources(), []

    def ask() -> list[Family]:
        asked.append(1)
        return [Family("m", "h", "gauge", [Sample((), len(asked))])]

    sources.add(ask)
    sources.add(lambda: [Family("n", "h", "gauge", [Sample((), 0)])])
    assert asked == []
    assert [family.name for family in sources.families()] == ["m", "n"]
    assert [family.samples[0].value for family in sources.families()] == [2, 0]
