"""What is checked of webhooks: of admission, and where any of them is served
(pkg/apis/admissionregistration/validation, apiserver/pkg/util/webhook)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import SplitResult, urlsplit

from steersman.model import names
from steersman.model.causes import duplicate, each, invalid, required
from steersman.model.errors import Cause
from steersman.model.gotext import quote
from steersman.model.kind import Document
from steersman.model.types.admission_check import (
    FAILURE_POLICIES,
    MATCH_POLICIES,
    check_choice,
    check_conditions,
    check_rule,
)
from steersman.model.types.selector import check_selector

_REVIEW_VERSIONS: Final = ("v1", "v1beta1")
_REINVOCATIONS: Final = ("IfNeeded", "Never")
_NO_SIDE_EFFECTS: Final = ("None", "NoneOnDryRun")
_SIDE_EFFECTS: Final = (*_NO_SIDE_EFFECTS, "Some", "Unknown")
_SECONDS: Final = range(1, 31)
_FORM: Final = "; desired format: https://host[/path]"
_BAD_ESCAPE: Final = re.compile("%(?![0-9a-fA-F]{2}).{0,2}", re.DOTALL)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def check_webhooks(hooks: Sequence[Document], old: Sequence[Document] | None) -> Iterator[Cause]:
    """Yields what is wrong with webhooks; what was wrong with the old ones may stay."""
    before = old or ()
    side_effects: Sequence[str] = _NO_SIDE_EFFECTS
    if any(hook.get("sideEffects") not in _NO_SIDE_EFFECTS for hook in before):
        side_effects = _SIDE_EFFECTS
    known = all(_is_reviewed(hook) for hook in before)
    unique = len({hook.get("name") for hook in before}) == len(before)
    same = old is not None and _conditions(hooks) == _conditions(old)
    sound = not any(problem for hook in before for problem in _check_selectors(hook, "", True))
    seen: set[str] = set()
    for index, hook in enumerate(hooks):
        path, name = f"webhooks[{index}]", hook.get("name", "")
        yield from _check_hook(hook, side_effects, same, sound, path)
        versions = hook.get("admissionReviewVersions") or []
        yield from _check_versions(versions, known, f"{path}.admissionReviewVersions")
        if unique and name and name in seen:
            yield duplicate(f"{path}.name", name)
        seen.add(name)


def _conditions(hooks: Sequence[Document]) -> list[Sequence[Document]]:
    return [hook.get("matchConditions") or () for hook in hooks]


def _is_reviewed(hook: Document) -> bool:
    versions = hook.get("admissionReviewVersions") or ()
    return not versions or any(version in _REVIEW_VERSIONS for version in versions)


def _check_selectors(hook: Document, path: str, check_values: bool) -> Iterator[Cause]:
    for name in ("namespaceSelector", "objectSelector"):
        yield from check_selector(hook.get(name), f"{path}.{name}", check_values=check_values)


def _check_hook(
    hook: Document, side_effects: Sequence[str], same_conditions: bool, values: bool, path: str
) -> Iterator[Cause]:
    yield from check_qualified(hook.get("name", ""), f"{path}.name")
    for index, rule in enumerate(hook.get("rules") or ()):
        yield from check_rule(rule, f"{path}.rules[{index}]")
    yield from check_choice(hook, "failurePolicy", FAILURE_POLICIES, path)
    yield from check_choice(hook, "matchPolicy", MATCH_POLICIES, path)
    if hook.get("sideEffects") is None:
        detail = f"must specify one of {', '.join(side_effects)}"
        yield required(f"{path}.sideEffects", detail)
    yield from check_choice(hook, "sideEffects", side_effects, path)
    seconds = hook.get("timeoutSeconds")
    if seconds is not None and seconds not in _SECONDS:
        detail = "the timeout value must be between 1 and 30 seconds"
        yield invalid(f"{path}.timeoutSeconds", seconds, detail)
    yield from _check_selectors(hook, path, values)
    yield from check_choice(hook, "reinvocationPolicy", _REINVOCATIONS, path)
    yield from check_client(hook.get("clientConfig") or {}, f"{path}.clientConfig")
    if not same_conditions:
        conditions = hook.get("matchConditions") or ()
        yield from check_conditions(conditions, f"{path}.matchConditions")


def check_qualified(name: str, path: str) -> Iterator[Cause]:
    """Yields whether a name is no domain of three segments (IsFullyQualifiedName)."""
    if not name:
        yield required(path)
    elif problems := names.dns1123_subdomain(name):
        yield invalid(path, name, ",".join(problems))
    elif name.count(".") < 2:
        detail = "should be a domain with at least three segments separated by dots"
        yield invalid(path, name, detail)


def _check_versions(versions: list[str], known: bool, path: str) -> Iterator[Cause]:
    listed = ", ".join(_REVIEW_VERSIONS)
    if not versions:
        yield required(path, f"must specify one of {listed}")
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            yield invalid(f"{path}[{index}]", version, "duplicate version")
        else:
            yield from each(f"{path}[{index}]", version, names.dns1035_label(version))
    if known and not any(version in _REVIEW_VERSIONS for version in versions):
        yield invalid(path, versions, f"must include at least one of {listed}")


def check_client(client: Document, path: str) -> Iterator[Cause]:
    """Yields what is wrong with where a webhook is served."""
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        yield required(path, "exactly one of url or service is required")
    elif url is not None:
        yield from _check_url(url, f"{path}.url")
    elif service is not None:
        yield from _check_service(service, f"{path}.service")


def _check_url(url: str, path: str) -> Iterator[Cause]:
    parts = _split(url)
    if isinstance(parts, str):
        why = f"parse {quote(url)}: {parts}"
        yield required(path, f"url must be a valid URL: {why}{_FORM}")
        return
    user, _at, host = parts.netloc.rpartition("@")
    if parts.scheme != "https":
        detail = f"'https' is the only allowed URL scheme{_FORM}"
        yield invalid(path, parts.scheme, detail)
    if not host:
        yield invalid(path, host, f"host must be specified{_FORM}")
    if _at:
        yield invalid(path, user, "user information is not permitted in the URL")
    if parts.fragment:
        yield invalid(path, parts.fragment, "fragments are not permitted in the URL")
    if parts.query:
        yield invalid(path, parts.query, "query parameters are not permitted in the URL")


def _split(url: str) -> SplitResult | str:
    """Returns the parts of a URL, or what net/url says against it."""
    if _CONTROL.search(url):
        return "net/url: invalid control character in URL"
    if url.startswith(":"):
        return "missing protocol scheme"
    if bad := _BAD_ESCAPE.search(url):
        return f"invalid URL escape {quote(bad[0])}"
    try:
        parts = urlsplit(url)
        _port = parts.port  # raises where it is no number
    except ValueError:
        return "invalid host or port"
    return parts


def _check_service(service: Document, path: str) -> Iterator[Cause]:
    # upstream's callers give name and namespace in the other order than its function takes them
    for name, other in (("namespace", "name"), ("name", "namespace")):
        if not service.get(name):
            yield required(f"{path}.{other}")
    port = service.get("port", 0)
    if problems := names.port_number(port):
        yield invalid(f"{path}.port", port, f"port is not valid: {', '.join(problems)}")
    yield from each(f"{path}.path", service.get("path"), _path_problems(service.get("path") or ""))


def _path_problems(path: str) -> list[str]:
    if path in ("", "/"):
        return []
    if path == "//":
        return ["segment[0] may not be empty"]
    problems = [] if path.startswith("/") else ["must start with a '/'"]
    for index, step in enumerate(path[1:].removesuffix("/").split("/")):
        if not step:
            problems.append(f"segment[{index}] may not be empty")
        problems += [
            f"segment[{index}]: {problem}" for problem in names.dns1123_subdomain(step) if step
        ]
    return problems
