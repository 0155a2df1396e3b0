"""What the answers of webhooks say, and what is wrong with them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from steersman.api.admission.webhooks.review import Answer, Uncalled, denied, parse, render
from steersman.model.errors import Cause
from steersman.model.kind import Document

PATCH = base64.b64encode(b'[{"op": "add"}]').decode()
JSON: Document = {"patch": PATCH, "patchType": "JSONPatch"}


def answer(version: str = "v1", **response: Any) -> Document:
    return {**render(version, "1", {}), "response": {"uid": "1", **response}}


def why(document: Any, version: str = "v1", *, mutating: bool = True) -> str:
    with pytest.raises(Uncalled) as raised:
        parse(document, version, "1", mutating)
    return str(raised.value).removeprefix("received invalid webhook response: ")


def test_an_answer_allows_warns_and_notes() -> None:
    told = {"warnings": ["careful", 1], "auditAnnotations": {"k": 2}, "status": {"code": 403}}
    assert parse(answer(allowed=True, **told), "v1", "1", False) == Answer(
        True, {"code": 403}, ("careful", "1"), None, {"k": "2"}
    )
    assert parse(answer(allowed="yes", warnings="x", status="x"), "v1", "1", True) == Answer(
        False, {}
    )


def test_an_answer_patches_where_it_may() -> None:
    assert parse(answer(**JSON), "v1", "1", True).patch == [{"op": "add"}]
    assert parse(answer("v1beta1", patch=PATCH), "v1beta1", "1", True).patch == [{"op": "add"}]
    assert parse(answer("v1beta1", patch=PATCH), "v1beta1", "1", False).patch is None
    nothing = base64.b64encode(b"[]").decode()
    assert parse(answer(patch=nothing, patchType="JSONPatch"), "v1", "1", True).patch is None


def test_the_first_version_answers_without_saying_what_it_answers() -> None:
    assert parse({"response": {"allowed": True}}, "v1beta1", "1", True).allowed
    typed = {"response": {"allowed": True, "patchType": "JSONPatch"}}
    assert parse(typed, "v1beta1", "1", True) == Answer(True, {})


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ([], "webhook response was absent"),
        ({"response": []}, "webhook response was absent"),
        (answer(uid="2"), 'expected response.uid="1", got "2"'),
        (answer(uid=None), 'expected response.uid="1", got ""'),
        (
            answer("v1beta1"),
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got "
            "admission.k8s.io/v1beta1, Kind=AdmissionReview",
        ),
        (
            {**answer(), "kind": "Review"},
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got "
            "admission.k8s.io/v1, Kind=Review",
        ),
        (
            {"response": {"uid": "1"}},
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got /, Kind=",
        ),
        (
            {**answer(), "apiVersion": "a/b/c"},
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got "
            "/, Kind=AdmissionReview",
        ),
        (
            {**answer(), "apiVersion": "v1"},
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got "
            "/v1, Kind=AdmissionReview",
        ),
        (answer(patch=PATCH), "webhook returned response.patch but not response.patchType"),
        (
            answer(patchType="JSONPatch"),
            "webhook returned response.patchType but not response.patch",
        ),
        (
            answer(patch=PATCH, patchType=""),
            'webhook returned invalid response.patchType of ""',
        ),
        (answer(patch=PATCH, patchType="Merge"), 'unsupported patch type "Merge"'),
    ],
)
def test_an_answer_that_cannot_be_is_told(document: Any, told: str) -> None:
    assert why(document) == told


def test_a_patch_that_cannot_be_read_is_told() -> None:
    for patch in ("%", base64.b64encode(b"[").decode(), 5):
        told = why(answer(patch=patch, patchType="JSONPatch"))
        assert told.startswith("received undecodable patch in webhook response: ")


def test_who_validates_patches_nothing() -> None:
    told = "validating webhook may not return response."
    assert why(answer(**JSON), mutating=False) == f"{told}patch"
    assert why(answer(patchType="JSONPatch"), mutating=False) == f"{told}patchType"
    assert why(answer(patchType=""), mutating=False) == f"{told}patchType"
    assert parse(answer(patch="", patchType=None), "v1", "1", False).patch is None


@pytest.mark.parametrize(
    ("given", "code"), [(399, 400), (400, 400), (599, 599), (600, 400), ("403", 400)]
)
def test_a_refusal_has_the_code_of_an_error(given: Any, code: int) -> None:
    assert denied("w", {"code": given}).code == code


def test_a_refusal_tells_its_causes() -> None:
    causes = [{"reason": "R", "message": "m", "field": "f"}, {"message": "n"}, "x"]
    found = denied("w", {"message": "no", "details": {"name": "a", "causes": causes}})
    assert found.message == 'admission webhook "w" denied the request: no'
    assert found.details == {"name": "a"}
    assert found.causes == (Cause("R", "m", "f"), Cause("", "n", ""))
    assert denied("w", {"details": "x"}).details == {}
    assert denied("w", {"reason": "Forbidden"}).reason == "Forbidden"
