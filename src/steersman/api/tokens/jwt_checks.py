"""What is wrong with an AuthenticationConfiguration.

Follows apiserver's pkg/apis/apiserver/validation with its causes.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

from steersman.api.tokens.jwt_expressions import Expressions, asks_for
from steersman.api.tokens.jwt_settings import (
    JWT,
    Authentication,
    Extra,
    Issuer,
    Mapping,
    Mappings,
    Rule,
)
from steersman.model.causes import duplicate, invalid, required, too_many
from steersman.model.errors import Cause
from steersman.model.types.metadata import check_domain_prefixed

MOST_ISSUERS: Final = 64
MATCH_ANY: Final = "MatchAny"
_BOTH: Final = "claim and expression can't both be set"
_PREFIX: Final = (
    "prefix is required when claim is set. It can be set to an empty string to disable prefixing"
)
_UNVERIFIED: Final = (
    "claims.email_verified must be used in claimMappings.username.expression or "
    "claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when "
    "claims.email is used in claimMappings.username.expression"
)
_RESERVED: Final = ("kubernetes.io", "k8s.io")

Compile = Callable[[str], object]


def check(found: Authentication, disallowed: str = "") -> Iterator[Cause]:
    """Yields what is wrong; `disallowed` is an issuer whose tokens others know, if any."""
    if len(found.jwt) > MOST_ISSUERS:
        yield too_many("jwt", len(found.jwt), MOST_ISSUERS)
        return
    urls: set[str] = set()
    discoveries: set[str] = set()
    for index, one in enumerate(found.jwt):
        path = f"jwt[{index}]"
        yield from _jwt(path, one, disallowed)
        url, discovery = one.issuer.url, one.issuer.discovery_url
        yield from _once(f"{path}.issuer.url", url, urls)
        if discovery:
            yield from _once(f"{path}.issuer.discoveryURL", discovery, discoveries)
    anonymous = found.anonymous
    if anonymous is not None and anonymous.conditions and not anonymous.enabled:
        shown = [{"Path": one.path} for one in anonymous.conditions]
        what = "enabled should be set to true when conditions are defined"
        yield invalid("anonymous.conditions", shown, what)


def _jwt(path: str, one: JWT, disallowed: str) -> Iterator[Cause]:
    expressions = Expressions()
    yield from _issuer(f"{path}.issuer", one.issuer, disallowed)
    rules, mappings = one.claim_validation_rules, f"{path}.claimMappings"
    yield from _claim_rules(f"{path}.claimValidationRules", rules, expressions.claim_rule)
    yield from _mappings(mappings, one.claim_mappings, expressions.mapping)
    if _takes_unverified(one, expressions):
        text = one.claim_mappings.username.expression
        yield invalid(f"{mappings}.username.expression", text, _UNVERIFIED)
    rules = one.user_validation_rules
    yield from _user_rules(f"{path}.userValidationRules", rules, expressions.user_rule)


def _once(path: str, value: str, seen: set[str]) -> Iterator[Cause]:
    if value in seen:
        yield duplicate(path, value)
    seen.add(value)


def _issuer(path: str, issuer: Issuer, disallowed: str) -> Iterator[Cause]:
    if not issuer.url:
        yield required(f"{path}.url")
    else:
        yield from _url(f"{path}.url", issuer.url, disallowed)
    if discovery := issuer.discovery_url:
        place = f"{path}.discoveryURL"
        if issuer.url and issuer.url.rstrip("/") == discovery.rstrip("/"):
            yield invalid(place, discovery, "discoveryURL must be different from URL")
        yield from _url(place, discovery, "")
    yield from _audiences(path, issuer)
    if not _is_bundle(issuer.certificate_authority):
        what = "data does not contain any valid RSA or ECDSA certificates"
        yield invalid(f"{path}.certificateAuthority", "<omitted>", what)


def _url(path: str, url: str, disallowed: str) -> Iterator[Cause]:
    if url == disallowed:
        yield invalid(path, url, f"URL must not overlap with disallowed issuers: [{disallowed}]")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        yield invalid(path, url, str(error))
        return
    if parts.scheme != "https":
        yield invalid(path, url, "URL scheme must be https")
    if "@" in parts.netloc:
        yield invalid(path, url, "URL must not contain a username or password")
    if parts.query:
        yield invalid(path, url, "URL must not contain a query")
    if parts.fragment:
        yield invalid(path, url, "URL must not contain a fragment")


def _audiences(path: str, issuer: Issuer) -> Iterator[Cause]:
    audiences, policy = issuer.audiences, issuer.audience_match_policy
    place = f"{path}.audiences"
    if not audiences:
        yield required(place, f"at least one {place} is required")
        return
    seen: set[str] = set()
    for index, one in enumerate(audiences):
        if not one:
            yield required(f"{place}[{index}]")
        yield from _once(f"{place}[{index}]", one, seen)
    place = f"{path}.audienceMatchPolicy"
    if len(audiences) > 1 and policy != MATCH_ANY:
        what = "audienceMatchPolicy must be MatchAny for multiple audiences"
        yield invalid(place, policy, what)
    elif len(audiences) == 1 and policy not in ("", MATCH_ANY):
        what = "audienceMatchPolicy must be empty or MatchAny for single audience"
        yield invalid(place, policy, what)


def _is_bundle(text: str) -> bool:
    if not text:
        return True
    try:
        ssl.create_default_context(cadata=text)
    except (ssl.SSLError, ValueError):
        return False
    return True


def _claim_rules(path: str, rules: Sequence[Rule], compile: Compile) -> Iterator[Cause]:
    claims: set[str] = set()
    expressions: set[str] = set()
    for index, rule in enumerate(rules):
        place = f"{path}[{index}]"
        if rule.claim and rule.expression:
            yield invalid(place, rule.claim, _BOTH)
        elif rule.claim:
            if rule.message:
                what = "may not be specified when claim is set"
                yield invalid(f"{place}.message", rule.message, what)
            yield from _once(f"{place}.claim", rule.claim, claims)
        elif rule.expression:
            if rule.required_value:
                what = "may not be specified when expression is set"
                yield invalid(f"{place}.requiredValue", rule.required_value, what)
            place = f"{place}.expression"
            yield from _new_expression(place, rule.expression, expressions, compile)
        else:
            yield required(place, "claim or expression is required")


def _user_rules(path: str, rules: Sequence[Rule], compile: Compile) -> Iterator[Cause]:
    expressions: set[str] = set()
    for index, rule in enumerate(rules):
        place = f"{path}[{index}].expression"
        if rule.expression:
            yield from _new_expression(place, rule.expression, expressions, compile)
        else:
            yield required(place)


def _new_expression(path: str, text: str, seen: set[str], compile: Compile) -> Iterator[Cause]:
    if text in seen:
        yield duplicate(path, text)
        return
    seen.add(text)
    yield from _expression(path, text, compile)


def _expression(path: str, text: str, compile: Compile) -> Iterator[Cause]:
    try:
        compile(text)
    except ValueError as error:
        yield invalid(path, text, str(error))


def _mappings(path: str, mappings: Mappings, compile: Compile) -> Iterator[Cause]:
    if not mappings.username:
        yield required(f"{path}.username", "claim or expression is required")
    yield from _prefixed(f"{path}.username", mappings.username, compile)
    yield from _prefixed(f"{path}.groups", mappings.groups, compile)
    uid = mappings.uid
    if uid.claim and uid.expression:
        yield invalid(f"{path}.uid", "", _BOTH)
    elif uid.expression:
        yield from _expression(f"{path}.uid.expression", uid.expression, compile)
    seen: set[str] = set()
    for index, one in enumerate(mappings.extra):
        yield from _extra(f"{path}.extra[{index}]", one, seen, compile)


def _prefixed(path: str, one: Mapping, compile: Compile) -> Iterator[Cause]:
    if one.claim and one.expression:
        yield invalid(path, "", _BOTH)
    elif one.expression:
        if one.prefix is not None:
            what = "may not be specified when expression is set"
            yield invalid(f"{path}.prefix", one.prefix, what)
        yield from _expression(f"{path}.expression", one.expression, compile)
    elif one.claim and one.prefix is None:
        yield required(f"{path}.prefix", _PREFIX)


def _extra(path: str, one: Extra, seen: set[str], compile: Compile) -> Iterator[Cause]:
    place = f"{path}.key"
    yield from check_domain_prefixed(one.key, place)
    if one.key != one.key.lower():
        yield invalid(place, one.key, "must be lowercase")
    host, slash, _rest = one.key.partition("/")
    if slash and any(host == domain or host.endswith(f".{domain}") for domain in _RESERVED):
        what = "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use"
        yield invalid(place, one.key, what)
    if one.key in seen:
        yield duplicate(place, one.key)
        return
    seen.add(one.key)
    if one.value_expression:
        yield from _expression(f"{path}.valueExpression", one.value_expression, compile)
    else:
        yield required(f"{path}.valueExpression")


def _takes_unverified(one: JWT, expressions: Expressions) -> bool:
    """Says whether names are mail addresses of which nothing asks whether they are verified; what
    is no good expression asks for nothing."""
    username = one.claim_mappings.username
    named = "" if username.claim else username.expression
    if not _asks(named, "email", expressions.mapping):
        return False
    verified = "email_verified"
    extras = [extra.value_expression for extra in one.claim_mappings.extra]
    rules = [rule.expression for rule in one.claim_validation_rules if not rule.claim]
    return not (
        any(_asks(text, verified, expressions.mapping) for text in (named, *extras))
        or any(_asks(text, verified, expressions.claim_rule) for text in rules)
    )


def _asks(text: str, claim: str, compile: Compile) -> bool:
    return bool(text) and not any(_expression("", text, compile)) and asks_for(claim, text)
