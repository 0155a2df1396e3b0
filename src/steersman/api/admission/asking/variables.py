"""The variables of expressions in admission: their types, and their values for one change.

`object` and `oldObject` are dynamic; what is known of a request and of a namespace is typed.
Follows apiserver's plugin/cel/compile.go and activation.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from steersman.api.access.authorization import Attributes, Authorizer
from steersman.api.admission.chain import Change
from steersman.cel.declared import Declaration, declare
from steersman.cel.library.authorizer import (
    AUTHORIZER_TYPE,
    RESOURCE_TYPE,
    Check,
    Decide,
    Decision,
    Question,
    authorizer,
)
from steersman.cel.types import BOOL, DYN, STRING, USER_INFO, Type, object_of
from steersman.model.kind import Document
from steersman.wire.message import User

REQUEST_RESOURCE: Final = "authorizer.requestResource"


_KIND: Final = object_of("kubernetes.GroupVersionKind", group=STRING, version=STRING, kind=STRING)
_RESOURCE: Final = object_of(
    "kubernetes.GroupVersionResource", group=STRING, version=STRING, resource=STRING
)
REQUEST: Final = object_of(
    "kubernetes.AdmissionRequest",
    kind=_KIND,
    resource=_RESOURCE,
    subResource=STRING,
    requestKind=_KIND,
    requestResource=_RESOURCE,
    requestSubResource=STRING,
    name=STRING,
    namespace=STRING,
    operation=STRING,
    userInfo=USER_INFO,
    dryRun=BOOL,
    options=DYN,
)

_TEXT: Final = {"type": "string"}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_MAP: Final = {"type": "object", "additionalProperties": _TEXT}
_TIME: Final = {"type": "string", "format": "date-time"}
_NUMBER: Final = {"type": "integer"}


def _schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


_NAMESPACE: Final = _schema(
    metadata=_schema(
        name=_TEXT,
        generateName=_TEXT,
        namespace=_TEXT,
        labels=_MAP,
        annotations=_MAP,
        UID=_TEXT,
        creationTimestamp=_TIME,
        deletionGracePeriodSeconds=_NUMBER,
        deletionTimestamp=_TIME,
        generation=_NUMBER,
        resourceVersion=_TEXT,
        finalizers=_TEXTS,
    ),
    spec=_schema(finalizers=_TEXTS),
    status=_schema(
        phase=_TEXT,
        conditions={
            "type": "array",
            "items": _schema(
                type=_TEXT, status=_TEXT, lastTransitionTime=_TIME, message=_TEXT, reason=_TEXT
            ),
        },
    ),
)


def _declare_namespace() -> Declaration:
    found = declare(_NAMESPACE, "kubernetes.Namespace")
    assert found is not None
    return found


NAMESPACE: Final = _declare_namespace()


def declared(*, params: bool = False, decides: bool = True) -> dict[str, Type]:
    """Returns the types of variables, with parameters and with an authorizer."""
    found = {"object": DYN, "oldObject": DYN, "namespaceObject": NAMESPACE.type, "request": REQUEST}
    if params:
        found["params"] = DYN
    if decides:
        found |= {"authorizer": AUTHORIZER_TYPE, REQUEST_RESOURCE: RESOURCE_TYPE}
    return found


def values(
    change: Change,
    request: Document,
    seen: tuple[Document | None, Document | None],
    authorize: Authorizer,
    namespace: Document | None = None,
) -> dict[str, Any]:
    """Returns the values of all variables for a change whose objects are seen in some version;
    `params` is null."""
    decide = _decide(authorize, change.call.user)
    return {
        "object": seen[0],
        "oldObject": seen[1],
        "namespaceObject": None if namespace is None else NAMESPACE.value(namespace),
        "request": request,
        "params": None,
        "authorizer": authorizer(decide),
        REQUEST_RESOURCE: Check(RESOURCE_TYPE.name, decide, _asked(change)),
    }


def _asked(change: Change) -> Question:
    kind = change.call.kind
    return Question(
        group=kind.group,
        resource=kind.plural,
        subresource=change.subresource,
        namespace=change.namespace,
        name=change.name,
    )


def _decide(authorize: Authorizer, user: User) -> Decide:
    def decide(question: Question) -> Decision:
        found = authorize.allowed(_who(question, user), _attributes(question))
        return Decision(found.allowed, found.reason)

    return decide


def _who(question: Question, user: User) -> User:
    if question.service_account is None:
        return user
    namespace, name = question.service_account
    accounts = "system:serviceaccounts"
    groups = (accounts, f"{accounts}:{namespace}", "system:authenticated")
    return User(f"system:serviceaccount:{namespace}:{name}", groups)


def _attributes(question: Question) -> Attributes:
    if question.path:
        return Attributes(question.verb, path=question.path, is_resource=False)
    return Attributes(
        question.verb,
        question.group,
        "*",
        question.resource,
        question.subresource,
        question.namespace,
        question.name,
        fields=question.field_selector,
        labels=question.label_selector,
    )


Values = Mapping[str, Any]
