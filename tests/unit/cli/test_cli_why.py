"""`steer why`: what it takes for an object, and what it says when it cannot ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from steersman.cli.failure import Failure
from steersman.cli.main import main
from steersman.cli.why import split


def test_an_object_is_named_in_one_word_or_in_two() -> None:
    assert split(["pod/web"]) == split(["pod", "web"]) == ("pod", "web")


@pytest.mark.parametrize("words", [["pod"], ["pod/"], ["pod/a", "b"], ["pod", "a", "b"]])
def test_anything_else_is_refused_in_one_line(words: list[str]) -> None:
    with pytest.raises(Failure, match="name one object, as in: steer why pod/web-1"):
        split(words)


def test_an_unknown_kind_and_a_missing_kubeconfig_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["why", "thing/x"]) == 1
    assert capsys.readouterr().err == (
        "steer: 'thing' is no kind that Kubernetes has; try pod, deployment or pvc\n"
    )
    missing = tmp_path / "none"
    assert main(["why", "pod/x", "--kubeconfig", str(missing)]) == 1
    assert str(missing) in capsys.readouterr().err
