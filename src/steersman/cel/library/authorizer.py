"""May somebody do something: checks through an authorizer that is handed in as a variable.

Follows k8s.io/apiserver/pkg/cel/library/authz.go. What decides is the caller's `Decide`; here are
only the questions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from steersman.cel.errors import EvaluationError
from steersman.cel.functions import Functions, Overload
from steersman.cel.types import BOOL, STRING, opaque
from steersman.model import names

AUTHORIZER_TYPE: Final = opaque("kubernetes.authorization.Authorizer")
PATH_TYPE: Final = opaque("kubernetes.authorization.PathCheck")
GROUP_TYPE: Final = opaque("kubernetes.authorization.GroupCheck")
RESOURCE_TYPE: Final = opaque("kubernetes.authorization.ResourceCheck")
DECISION_TYPE: Final = opaque("kubernetes.authorization.Decision")


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a path, or a resource. A service account stands for the one who asks."""

    verb: str = ""
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""
    service_account: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to a question."""

    type_name: ClassVar[str] = DECISION_TYPE.name
    allowed: bool
    reason: str = ""
    error: str = ""

    def equal(self, other: Any) -> bool:
        """Says whether another decision is the same."""
        return bool(self == other)


Decide = Callable[[Question], Decision]


@dataclass(frozen=True, slots=True)
class Check:
    """A question that is being put together, and who answers it."""

    type_name: str
    decide: Decide
    question: Question

    def equal(self, other: Any) -> bool:
        """Says whether another check asks the same."""
        return bool(self == other)

    def into(self, type_name: str, **parts: Any) -> Check:
        """Returns the check with more of its question."""
        return Check(type_name, self.decide, replace(self.question, **parts))


def authorizer(decide: Decide) -> Check:
    """Returns the value of the variable `authorizer`."""
    return Check(AUTHORIZER_TYPE.name, decide, Question())


def _path(check: Check, path: str) -> Check:
    if not path.strip():
        raise EvaluationError("path must not be empty")
    return check.into(PATH_TYPE.name, path=path)


def _resource(check: Check, resource: str) -> Check:
    if not resource.strip():
        raise EvaluationError("resource must not be empty")
    return check.into(RESOURCE_TYPE.name, resource=resource)


def _service_account(check: Check, namespace: str, name: str) -> Check:
    if names.dns1123_subdomain(name):
        raise EvaluationError("Invalid service account name")
    if names.dns1123_label(namespace):
        raise EvaluationError("Invalid service account namespace")
    return check.into(AUTHORIZER_TYPE.name, service_account=(namespace, name))


def _part(name: str) -> tuple[Overload, ...]:
    def narrowed(check: Check, value: str) -> Check:
        return check.into(RESOURCE_TYPE.name, **{name: value})

    return (Overload((RESOURCE_TYPE, STRING), RESOURCE_TYPE, narrowed, member=True),)


def _check(check: Check, verb: str) -> Decision:
    return check.decide(replace(check.question, verb=verb))


FUNCTIONS: Final[Functions] = {
    "path": (Overload((AUTHORIZER_TYPE, STRING), PATH_TYPE, _path, member=True),),
    "group": (
        Overload(
            (AUTHORIZER_TYPE, STRING),
            GROUP_TYPE,
            lambda check, group: check.into(GROUP_TYPE.name, group=group),
            member=True,
        ),
    ),
    "serviceAccount": (
        Overload((AUTHORIZER_TYPE, STRING, STRING), AUTHORIZER_TYPE, _service_account, member=True),
    ),
    "resource": (Overload((GROUP_TYPE, STRING), RESOURCE_TYPE, _resource, member=True),),
    "subresource": _part("subresource"),
    "namespace": _part("namespace"),
    "name": _part("name"),
    "fieldSelector": _part("field_selector"),
    "labelSelector": _part("label_selector"),
    "check": (
        Overload((PATH_TYPE, STRING), DECISION_TYPE, _check, member=True),
        Overload((RESOURCE_TYPE, STRING), DECISION_TYPE, _check, member=True),
    ),
    "allowed": (Overload((DECISION_TYPE,), BOOL, lambda found: found.allowed, member=True),),
    "reason": (Overload((DECISION_TYPE,), STRING, lambda found: found.reason, member=True),),
    "errored": (Overload((DECISION_TYPE,), BOOL, lambda found: bool(found.error), member=True),),
    "error": (Overload((DECISION_TYPE,), STRING, lambda found: found.error, member=True),),
}
