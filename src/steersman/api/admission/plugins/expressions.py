"""The plugin that has the expressions of webhooks and policies compiled when they are written.

What was there before an update may stay. CEL is loaded with the first object that has some.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from steersman.api.admission.asking.configured import GROUP
from steersman.api.admission.chain import Change, Plugin
from steersman.api.call import Call
from steersman.model import errors
from steersman.model.kind import Document


class AdmissionExpressions(Plugin):
    """An admission plugin; see the module."""

    name = "AdmissionExpressions"
    about = frozenset(
        {
            "MutatingAdmissionPolicy",
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
            "ValidatingWebhookConfiguration",
        }
    )

    def check(self, change: Change) -> None:
        """Refuses what has expressions that are no good."""
        kind, new = change.call.kind, change.new
        if kind.group != GROUP or new is None or change.call.subresource:
            return
        if change.old is not None and _content(new) == _content(change.old):
            return
        from steersman.api.admission.policies.expression_check import CHECKS

        check = CHECKS.get(kind.name)
        if check is not None and (found := list(check(new))):
            raise errors.invalid(kind.group, kind.name, new["metadata"].get("name", ""), found)

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on nothing for other kinds."""
        return None if call.kind.group == GROUP else ()


def _content(document: Document) -> Any:
    return document.get("spec") or document.get("webhooks")
