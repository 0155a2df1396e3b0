"""AuthorizationConfiguration v1: the authorizers of this server in their order.

Read strictly and checked before anything starts; errors name the field in upstream's words
(apiserver/validation).
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from steersman.client.http import Target
from steersman.model import names
from steersman.model.gotext import quote

KIND: Final = "AuthorizationConfiguration"
VERSIONS: Final = ("apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1")
TYPES: Final = ("ABAC", "AlwaysAllow", "AlwaysDeny", "Node", "RBAC", "Webhook")
WEBHOOK: Final = "Webhook"
MOST_CONDITIONS: Final = 64
MOST_SECONDS: Final = 30.0
POLICIES: Final = ("NoOpinion", "Deny")
CONNECTIONS: Final = ("InClusterConfig", "KubeConfigFile")
REVIEW_VERSIONS: Final = ("v1", "v1beta1")


class Connection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a webhook is reached."""

    type: str = ""
    kubeConfigFile: str | None = None


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An expression that must be true of what is asked about."""

    expression: str = ""


class Webhook(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """One webhook as the file has it; durations are texts."""

    authorized_ttl: str = msgspec.field(default="5m", name="authorizedTTL")
    unauthorized_ttl: str = msgspec.field(default="30s", name="unauthorizedTTL")
    cache_authorized_requests: bool = True
    cache_unauthorized_requests: bool = True
    timeout: str = ""
    subject_access_review_version: str = ""
    match_condition_subject_access_review_version: str = ""
    failure_policy: str = ""
    connection_info: Connection = Connection()
    match_conditions: tuple[Condition, ...] = ()


class Authorizer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One authorizer."""

    type: str = ""
    name: str = ""
    webhook: Webhook | None = None


class Authorization(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    kind: str = ""
    apiVersion: str = ""
    authorizers: tuple[Authorizer, ...] = ()


class WebhookSettings(msgspec.Struct, frozen=True):
    """One webhook, ready to be asked.

    authorized_seconds, unauthorized_seconds: how long an answer is kept, 0: not at all
    denies: a webhook that does not answer denies; else it has no opinion
    name:   what metrics call it; upstream's for one that options configure
    """

    target: Target
    version: str
    conditions: tuple[str, ...] = ()
    timeout_seconds: float = MOST_SECONDS
    authorized_seconds: float = 300.0
    unauthorized_seconds: float = 30.0
    denies: bool = False
    name: str = "default"


def parse(document: Any) -> Authorization:
    """Returns what a document says; raises ValueError with all that is wrong."""
    try:
        found = msgspec.convert(document, Authorization)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    if found.kind != KIND or found.apiVersion not in VERSIONS:
        raise ValueError(f"it is no {KIND} of {VERSIONS[0]}")
    problems = list(_problems(found.authorizers))
    if problems:
        raise ValueError(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")
    return found


def ready(
    webhook: Webhook, read: Callable[[Path], Target], name: str = "default"
) -> WebhookSettings:
    """Returns a checked webhook as it is to be asked; `read` reads a kubeconfig."""
    path = webhook.connection_info.kubeConfigFile
    assert path is not None, "checked before"
    kept = (webhook.cache_authorized_requests, webhook.cache_unauthorized_requests)
    return WebhookSettings(
        read(Path(path)),
        webhook.subject_access_review_version,
        tuple(one.expression for one in webhook.match_conditions),
        seconds(webhook.timeout),
        seconds(webhook.authorized_ttl) if kept[0] else 0.0,
        seconds(webhook.unauthorized_ttl) if kept[1] else 0.0,
        webhook.failure_policy == "Deny",
        name,
    )


def seconds(text: str) -> float:
    """Returns a Go duration in seconds; raises ValueError."""
    from steersman.cel.errors import EvaluationError  # loaded with the first file that has one
    from steersman.cel.library.times import parse_duration

    try:
        return parse_duration(text).nanos / 1e9
    except EvaluationError as error:
        raise ValueError(str(error)) from None


def _problems(authorizers: Sequence[Authorizer]) -> Iterator[str]:
    if not authorizers:
        yield "authorizers: Required value: at least one authorization mode must be defined"
    types: set[str] = set()
    taken: set[str] = set()
    for index, one in enumerate(authorizers):
        path = f"authorizers[{index}]"
        if not one.type:
            yield f"{path}.type: Required value"
        elif one.type not in TYPES:
            yield _unsupported(f"{path}.type", one.type, TYPES)
        elif one.type in types and one.type != WEBHOOK:
            yield f"{path}.type: Duplicate value: {quote(one.type)}"
        else:
            types.add(one.type)
            yield from _name(f"{path}.name", one.name, taken)
            taken.add(one.name)
            yield from _webhook(path, one)


def _name(path: str, name: str, taken: set[str]) -> Iterator[str]:
    if not name:
        yield f"{path}: Required value"
    elif name in taken:
        yield f"{path}: Duplicate value: {quote(name)}"
    elif wrong := names.dns1123_subdomain(name):
        yield _invalid(path, name, f"authorizer name is invalid: {', '.join(wrong)}")


def _webhook(path: str, one: Authorizer) -> Iterator[str]:
    if one.type != WEBHOOK:
        if one.webhook is not None:
            yield _invalid(f"{path}.webhook", "non-null", "may only be specified when type=Webhook")
        return
    if (hook := one.webhook) is None:
        yield f"{path}.webhook: Required value: required when type=Webhook"
        return
    most = "must be > 0s and <= 30s"
    yield from _duration(f"{path}.timeout", hook.timeout, MOST_SECONDS, most)
    for name, text in (
        ("authorizedTTL", hook.authorized_ttl),
        ("unauthorizedTTL", hook.unauthorized_ttl),
    ):
        yield from _duration(f"{path}.{name}", text, None, "must be > 0s")
    place, version = f"{path}.subjectAccessReviewVersion", hook.subject_access_review_version
    yield from _one_of(place, version, REVIEW_VERSIONS)
    place = f"{path}.matchConditionSubjectAccessReviewVersion"
    version = hook.match_condition_subject_access_review_version
    if not version and hook.match_conditions:
        yield f"{place}: Required value: required if match conditions are specified"
    elif version not in ("", "v1"):
        yield _unsupported(place, version, ("v1",))
    yield from _one_of(f"{path}.failurePolicy", hook.failure_policy, POLICIES)
    yield from _connection(f"{path}.connectionInfo", hook.connection_info)
    yield from _conditions(f"{path}.matchConditions", hook.match_conditions)


def _duration(path: str, text: str, most: float | None, what: str) -> Iterator[str]:
    try:
        found = seconds(text or "0")
    except ValueError as error:
        yield f"{path}: {error}"
        return
    if not found:
        yield f"{path}: Required value"
    elif found < 0 or (most is not None and found > most):
        yield _invalid(path, text, what)


def _one_of(path: str, value: str, known: Sequence[str]) -> Iterator[str]:
    if not value:
        yield f"{path}: Required value"
    elif value not in known:
        yield _unsupported(path, value, known)


def _connection(path: str, info: Connection) -> Iterator[str]:
    file, place = info.kubeConfigFile, f"{path}.kubeConfigFile"
    if info.type != "KubeConfigFile":
        yield from _one_of(f"{path}.type", info.type, CONNECTIONS)
        if info.type == "InClusterConfig":
            if file is not None:
                yield _invalid(place, file, "can only be set when type=KubeConfigFile")
            yield _invalid(f"{path}.type", info.type, "this server cannot ask itself")
    elif not file:
        yield f"{place}: Required value"
    elif not Path(file).is_absolute():
        yield _invalid(place, file, "must be an absolute path")
    else:
        yield from _file(place, file)


def _file(path: str, file: str) -> Iterator[str]:
    try:
        mode = Path(file).stat().st_mode
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        yield _invalid(path, file, f"error loading file: stat {file}: {why}")
        return
    if not stat.S_ISREG(mode):
        yield _invalid(path, file, "must be a regular file")


def _conditions(path: str, conditions: Sequence[Condition]) -> Iterator[str]:
    if len(conditions) > MOST_CONDITIONS:
        count = len(conditions)
        yield f"{path}: Too many: {count}: must have at most {MOST_CONDITIONS} items"
        return
    seen: set[str] = set()
    for index, one in enumerate(conditions):
        place, text = f"{path}[{index}].expression", one.expression
        if not text.strip():
            yield f"{place}: Required value"
        elif text in seen:
            yield f"{place}: Duplicate value: {quote(text)}"
        else:
            seen.add(text)
            from steersman.api.access.webhook.conditions import Conditions  # with the first one

            try:
                Conditions((text,))
            except ValueError as error:
                yield _invalid(place, text, str(error))


def _invalid(path: str, value: str, what: str) -> str:
    return f"{path}: Invalid value: {quote(value)}: {what}"


def _unsupported(path: str, value: str, known: Sequence[str]) -> str:
    shown = ", ".join(quote(one) for one in known)
    return f"{path}: Unsupported value: {quote(value)}: supported values: {shown}"
