"""audit.k8s.io/v1 Policy: which requests are noted, and how much of each. The first rule that
matches decides; without one nothing is noted.

Pure. Follows apiserver's audit/policy and apis/audit/validation, messages included.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from steersman.api.access.authorization import Attributes
from steersman.model.gotext import quote
from steersman.model.names import dns1123_subdomain
from steersman.wire.message import User

LEVELS: Final = ("None", "Metadata", "Request", "RequestResponse")
NONE, METADATA, REQUEST, RESPONSE = range(4)
RECEIVED, STARTED = "RequestReceived", "ResponseStarted"
COMPLETE, PANIC = "ResponseComplete", "Panic"
STAGES: Final = (RECEIVED, STARTED, COMPLETE, PANIC)
VERSION: Final = "audit.k8s.io/v1"
_URLS_ALONE = "rules cannot apply to both regular resources and non-resource URLs"


class GroupResources(msgspec.Struct, frozen=True, rename="camel"):
    """Resources of one API group; `*` is every group."""

    group: str = ""
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()

    def matches(self, asked: Attributes) -> bool:
        """Says whether a request is about one of them."""
        if self.group not in (asked.group, "*"):
            return False
        if not self.resources:
            return True
        if self.resource_names and asked.object_name not in self.resource_names:
            return False
        wanted = {"*", asked.combined, f"{asked.resource}/*"}
        if asked.subresource:
            wanted.add(f"*/{asked.subresource}")
        return not wanted.isdisjoint(self.resources)


class Rule(msgspec.Struct, frozen=True, rename="camel"):
    """How much is noted of requests that match all of what the rule names."""

    level: str = ""
    users: tuple[str, ...] = ()
    user_groups: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    resources: tuple[GroupResources, ...] = ()
    namespaces: tuple[str, ...] = ()
    non_resource_urls: tuple[str, ...] = msgspec.field(default=(), name="nonResourceURLs")
    omit_stages: tuple[str, ...] = ()
    omit_managed_fields: bool | None = None

    def matches(self, user: User | None, asked: Attributes) -> bool:
        """Says whether a request is meant; nobody is None, whom no rule about users means."""
        if self.users and (user is None or user.name not in self.users):
            return False
        if self.user_groups and (user is None or set(user.groups).isdisjoint(self.user_groups)):
            return False
        if self.verbs and asked.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            return asked.is_resource and self._place(asked)
        if self.non_resource_urls:
            return not asked.is_resource and self._path(asked.path)
        return True

    def _place(self, asked: Attributes) -> bool:
        if self.namespaces and asked.namespace not in self.namespaces:
            return False
        return not self.resources or any(one.matches(asked) for one in self.resources)

    def _path(self, path: str) -> bool:
        return any(
            one in ("*", path) or (one.endswith("*") and path.startswith(one.rstrip("*")))
            for one in self.non_resource_urls
        )


class Verdict(msgspec.Struct, frozen=True):
    """What is kept of a request; `level` is a place in `LEVELS`."""

    level: int
    omitted: frozenset[str] = frozenset()
    bare: bool = False  # objects without their managedFields


NOTHING = Verdict(NONE)


class Policy(msgspec.Struct, frozen=True, rename="camel"):
    """The whole policy, as it stands in its file; unknown fields are left, as upstream does."""

    kind: str = ""
    api_version: str = ""
    rules: tuple[Rule, ...] = ()
    omit_stages: tuple[str, ...] = ()
    omit_managed_fields: bool = False

    def decide(self, user: User | None, asked: Attributes) -> Verdict:
        """Returns what is kept of a request."""
        for rule in self.rules:
            if rule.matches(user, asked):
                bare = rule.omit_managed_fields
                return Verdict(
                    LEVELS.index(rule.level),
                    frozenset((*self.omit_stages, *rule.omit_stages)),
                    self.omit_managed_fields if bare is None else bare,
                )
        return NOTHING


def parse(document: Any) -> Policy:
    """Returns the policy of a document; raises ValueError with all that is wrong."""
    try:
        found = msgspec.convert(document, Policy)
    except msgspec.ValidationError as error:
        raise ValueError(f"failed decoding: {error}") from None
    if not found.kind or not found.api_version:
        missing = "apiVersion" if found.kind else "Kind"
        raise ValueError(f"failed decoding: Object '{missing}' is missing")
    if (found.api_version, found.kind) != (VERSION, "Policy"):
        what = f"no kind {quote(found.kind)} is registered for version {quote(found.api_version)}"
        raise ValueError(f"failed decoding: {what}: a Policy of {VERSION} is wanted")
    if problems := list(_problems(found)):
        raise ValueError(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")
    if not found.rules:
        raise ValueError("loaded illegal policy with 0 rules")
    return found


def _problems(policy: Policy) -> Iterator[str]:
    yield from _stages(policy.omit_stages, "omitStages")
    for index, rule in enumerate(policy.rules):
        path = f"rules[{index}]"
        yield from _level(rule.level, f"{path}.level")
        yield from _urls(rule.non_resource_urls, f"{path}.nonResourceURLs")
        yield from _resources(rule.resources, f"{path}.resources")
        yield from _stages(rule.omit_stages, f"{path}.omitStages")
        if rule.non_resource_urls and (rule.resources or rule.namespaces):
            given = _list(rule.non_resource_urls)
            yield f"{path}.nonResourceURLs: Invalid value: {given}: {_URLS_ALONE}"


def _level(level: str, path: str) -> Iterator[str]:
    if not level:
        yield f"{path}: Required value"
    elif level not in LEVELS:
        known = ", ".join(quote(one) for one in LEVELS)
        yield f"{path}: Unsupported value: {quote(level)}: supported values: {known}"


def _urls(urls: tuple[str, ...], path: str) -> Iterator[str]:
    for index, url in enumerate(urls):
        wrong = f"{path}[{index}]: Invalid value: {quote(url)}: non-resource URL"
        if url != "*" and not url.startswith("/"):
            yield f"{wrong} rules must begin with a '/' character"
        if "*" in url[:-1]:
            yield f"{wrong} wildcards '*' must be the final character of the rule"


def _resources(resources: tuple[GroupResources, ...], path: str) -> Iterator[str]:
    for one in resources:
        if one.group not in ("", "*") and (why := dns1123_subdomain(one.group)):
            yield f"{path}.group: Invalid value: {quote(one.group)}: {','.join(why)}"
        if one.resource_names and not one.resources:
            given = _list(one.resource_names)
            why_not = "using resourceNames requires at least one resource"
            yield f"{path}.resourceNames: Invalid value: {given}: {why_not}"


def _stages(stages: tuple[str, ...], path: str) -> Iterator[str]:
    for index, stage in enumerate(stages):
        if stage not in STAGES:
            allowed = f"allowed stages are {','.join(STAGES)}"
            yield f"{path}[{index}]: Invalid value: {quote(stage)}: {allowed}"


def _list(texts: tuple[str, ...]) -> str:
    return f"[{','.join(quote(text) for text in texts)}]"
