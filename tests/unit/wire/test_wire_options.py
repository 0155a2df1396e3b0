"""The options of a request's query: which combinations mean nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from steersman.model.errors import BadRequest, Invalid
from steersman.wire import options
from steersman.wire.message import Request

MATCH = "resourceVersionMatch"
NEWER = f"{MATCH}=NotOlderThan"


def fields(check: Callable[[Request], None], query: str) -> list[str]:
    try:
        check(Request("GET", "/", query))
    except Invalid as error:
        return [
            f"{cause.reason.removeprefix('FieldValue')} {cause.field}" for cause in error.causes
        ]
    return []


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("", []),
        ("resourceVersion=1", []),
        (f"{NEWER}&resourceVersion=1", []),
        (f"{NEWER}&resourceVersion=0", []),
        (f"{MATCH}=Exact&resourceVersion=1", []),
        ("continue=x&limit=1", []),
        (f"{MATCH}=Exact&resourceVersion=0", [f"Forbidden {MATCH}"]),
        (NEWER, [f"Forbidden {MATCH}"]),
        (f"{NEWER}&resourceVersion=1&continue=x", [f"Forbidden {MATCH}"]),
        (f"{MATCH}=Odd&resourceVersion=1", [f"NotSupported {MATCH}"]),
        ("sendInitialEvents=false", ["Forbidden sendInitialEvents"]),
    ],
)
def test_a_list_says_how_old_it_may_be(query: str, wrong: list[str]) -> None:
    assert fields(options.check_list, query) == wrong


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("", []),
        ("resourceVersion=1", []),
        (f"sendInitialEvents=true&{NEWER}", []),
        (f"sendInitialEvents=false&{NEWER}", []),
        ("sendInitialEvents=true", [f"Forbidden {MATCH}"]),
        (NEWER, [f"Forbidden {MATCH}"]),
        (f"sendInitialEvents=true&{MATCH}=Exact", [f"Forbidden {MATCH}", f"NotSupported {MATCH}"]),
        (f"sendInitialEvents=true&{NEWER}&continue=x", [f"Forbidden {MATCH}"]),
    ],
)
def test_a_watch_says_whether_it_begins_with_what_is_there(query: str, wrong: list[str]) -> None:
    assert fields(options.check_watch, query) == wrong


@pytest.mark.parametrize(
    ("kind", "query", "apply", "wrong"),
    [
        ("CreateOptions", "", False, []),
        ("CreateOptions", "fieldManager=" + "x" * 128, False, []),
        ("CreateOptions", "fieldManager=" + "%C3%A9" * 65, False, ["TooLong fieldManager"]),
        ("CreateOptions", "fieldManager=a%0Ab", False, ["Invalid fieldManager"]),
        ("CreateOptions", "dryRun=All&dryRun=All&fieldValidation=Warn", False, []),
        ("CreateOptions", "dryRun=All&dryRun=", False, ["NotSupported dryRun"]),
        ("CreateOptions", "fieldValidation=strict", False, ["NotSupported fieldValidation"]),
        ("CreateOptions", "force=true", False, []),
        ("PatchOptions", "force=true", False, ["Forbidden force"]),
        ("PatchOptions", "force=true", True, ["Required fieldManager"]),
        ("PatchOptions", "force=true&fieldManager=x", True, []),
        ("PatchOptions", "", True, ["Required fieldManager"]),
        ("PatchOptions", "", False, []),
    ],
)
def test_a_write_has_a_manager_and_a_way_of_validation(
    kind: str, query: str, apply: bool, wrong: list[str]
) -> None:
    assert fields(lambda it: options.check_write(it, kind, apply=apply), query) == wrong


def test_numbers_are_those_of_64_bits() -> None:
    most = 2**63
    for text, value in (("", 0), ("-5", -5), ("+5", 5), ("007", 7), (str(most - 1), most - 1),
                        (str(-most), -most)):  # fmt: skip
        assert options.whole(text) == value
    for text in (str(most), str(-most - 1), "1" * 2000, "", "x", "--1", "1.0", "-"):
        if text:
            with pytest.raises(BadRequest):
                options.whole(text)
