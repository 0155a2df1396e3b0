"""Metrics as text, in Prometheus' exposition format 0.0.4; pure. The one place that writes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from steersman.model.figures import Family, Histogram, Labels

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def render(families: Iterable[Family]) -> bytes:
    """Returns metrics as Prometheus reads them; those without a value are left out."""
    return "".join(f"{line}\n" for family in families for line in _family(family)).encode()


def _family(family: Family) -> Iterator[str]:
    if family.samples:
        mark = f"[{family.stability}] " if family.stability else ""
        yield f"# HELP {family.name} {mark}{family.help}"
        yield f"# TYPE {family.name} {family.type}"
    for sample in family.samples:
        if isinstance(sample.value, Histogram):
            yield from _histogram(family.name, sample.labels, sample.value)
        else:
            yield _line(family.name, sample.labels, sample.value, sample.time)


def _histogram(name: str, labels: Labels, found: Histogram) -> Iterator[str]:
    total = 0
    for bound, count in zip((*found.bounds, "+Inf"), found.counts, strict=True):
        total += count
        yield _line(f"{name}_bucket", (*labels, ("le", str(bound).removesuffix(".0"))), total)
    shown = _labels(labels)
    yield f"{name}_sum{shown} {found.sum:.6f}"
    yield f"{name}_count{shown} {total}"


def _line(name: str, labels: Labels, value: float, seconds: float = 0.0) -> str:
    time = f" {round(seconds * 1000)}" if seconds else ""
    return f"{name}{_labels(labels)} {value:.15g}{time}"


def _labels(labels: Labels) -> str:
    told = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
    return f"{{{told}}}" if told else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
