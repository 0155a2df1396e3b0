"""AuthenticationConfiguration v1: issuers of JSON web tokens, and who may stay anonymous.

Read strictly and checked before anything starts; errors name the field.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

VERSIONS: Final = ("apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1")
MOST_ISSUERS: Final = 64
# those that are taken (allowedSigningAlgs); the first is the one that every issuer knows
ALGORITHMS: Final = tuple(
    f"{family}{size}" for family in ("RS", "ES", "PS") for size in (256, 384, 512)
)


class Issuer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who signs, and for whom."""

    url: str = ""
    audiences: tuple[str, ...] = ()
    audience_match_policy: str = msgspec.field(default="", name="audienceMatchPolicy")
    discovery_url: str = msgspec.field(default="", name="discoveryURL")
    certificate_authority: str = msgspec.field(default="", name="certificateAuthority")


class Rule(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """What claims, or the user made of them, must be."""

    claim: str = ""
    required_value: str = ""
    expression: str = ""
    message: str = ""


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A claim with a prefix, or an expression."""

    claim: str = ""
    prefix: str | None = None
    expression: str = ""

    def __bool__(self) -> bool:
        return bool(self.claim or self.expression)


class Extra(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """One key of a user's extra."""

    key: str = ""
    value_expression: str = ""


class Mappings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which claims make the user."""

    username: Mapping = Mapping()
    groups: Mapping = Mapping()
    uid: Mapping = Mapping()
    extra: tuple[Extra, ...] = ()


class JWT(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """One issuer and what its tokens make."""

    issuer: Issuer = Issuer()
    claim_validation_rules: tuple[Rule, ...] = ()
    claim_mappings: Mappings = Mappings()
    user_validation_rules: tuple[Rule, ...] = ()


class Path(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A path for which nobody need say who they are."""

    path: str = ""


class Anonymous(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether requests may be anonymous, and for which paths; none: for all."""

    enabled: bool = False
    conditions: tuple[Path, ...] = ()


class Authentication(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    kind: str = ""
    apiVersion: str = ""
    jwt: tuple[JWT, ...] = ()
    anonymous: Anonymous | None = None

    @property
    def algorithms(self) -> tuple[str, ...]:
        """By which its issuers may sign: any that is known."""
        return ALGORITHMS


class OfOptions(Authentication, frozen=True):
    """What the options of one issuer say, who may sign only by what they name (`--oidc-*`)."""

    signing_algorithms: tuple[str, ...] = ALGORITHMS[:1]

    @property
    def algorithms(self) -> tuple[str, ...]:
        """By which the issuer may sign."""
        return self.signing_algorithms


def parse(document: Any) -> Authentication:
    """Returns what a document says; raises ValueError."""
    try:
        found = msgspec.convert(document, Authentication)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    if found.kind != "AuthenticationConfiguration" or found.apiVersion not in VERSIONS:
        raise ValueError(f"it is no AuthenticationConfiguration of {VERSIONS[0]}")
    for problem in _problems(found.jwt):
        raise ValueError(problem)
    return found


def _problems(issuers: Sequence[JWT]) -> Iterator[str]:
    """Says what is wrong (pkg/apis/apiserver/validation)."""
    if len(issuers) > MOST_ISSUERS:
        yield f"jwt: Too many: {len(issuers)}: must have at most {MOST_ISSUERS} items"
    seen: set[str] = set()
    for index, one in enumerate(issuers):
        place, issuer = f"jwt[{index}]", one.issuer
        yield from _url(f"{place}.issuer.url", issuer.url)
        if issuer.url in seen:
            yield f'{place}.issuer.url: Duplicate value: "{issuer.url}"'
        seen.add(issuer.url)
        if issuer.discovery_url:
            yield from _url(f"{place}.issuer.discoveryURL", issuer.discovery_url)
        if not _is_bundle(issuer.certificate_authority):
            what = "data does not contain any valid RSA or ECDSA certificates"
            yield f"{place}.issuer.certificateAuthority: Invalid value: {what}"
        yield from _audiences(f"{place}.issuer", issuer)
        yield from _mappings(f"{place}.claimMappings", one.claim_mappings)
        for number, rule in enumerate(one.claim_validation_rules):
            if bool(rule.claim) == bool(rule.expression):
                yield f"{place}.claimValidationRules[{number}]: claim or expression is required"
        for number, rule in enumerate(one.user_validation_rules):
            if not rule.expression:
                yield f"{place}.userValidationRules[{number}].expression: Required value"


def _url(place: str, url: str) -> Iterator[str]:
    if not url:
        yield f"{place}: Required value: URL is required"
        return
    parts = urlsplit(url)
    if parts.scheme != "https":
        yield f'{place}: Invalid value: "{url}": URL scheme must be https'
    if parts.username or parts.query or parts.fragment:
        what = "URL must not contain a username, a query or a fragment"
        yield f"{place}: Invalid value: {what}"


def _is_bundle(text: str) -> bool:
    if not text:
        return True
    try:
        ssl.create_default_context(cadata=text)
    except (ssl.SSLError, ValueError):
        return False
    return True


def _audiences(place: str, issuer: Issuer) -> Iterator[str]:
    if not issuer.audiences:
        yield f"{place}.audiences: Required value: at least one {place}.audiences is required"
    if len(issuer.audiences) > 1 and issuer.audience_match_policy != "MatchAny":
        shown = issuer.audience_match_policy
        what = "audienceMatchPolicy must be MatchAny for multiple audiences"
        yield f'{place}.audienceMatchPolicy: Invalid value: "{shown}": {what}'


def _mappings(place: str, mappings: Mappings) -> Iterator[str]:
    if not mappings.username:
        yield f"{place}.username: Required value: claim or expression is required"
    for name in ("username", "groups", "uid"):
        one: Mapping = getattr(mappings, name)
        if one.claim and one.expression:
            yield f"{place}.{name}: Invalid value: claim and expression can't both be set"
        if one.claim and one.prefix is None and name != "uid":
            what = "prefix is required when claim is set. It can be set to an empty string"
            yield f"{place}.{name}.prefix: Required value: {what} to disable prefixing"
    for number, extra in enumerate(mappings.extra):
        if not extra.key or not extra.value_expression:
            yield f"{place}.extra[{number}]: Required value"
