"""AuthenticationConfiguration v1: issuers of JSON web tokens, and who may stay anonymous.

Read strictly and checked (`jwt_checks`) before anything starts; errors name the field.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from steersman.model.errors import told

VERSIONS: Final = ("apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1")
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


def parse(document: Any, *, disallowed: str = "") -> Authentication:
    """Returns what a document says; `disallowed` is who issues the tokens of ServiceAccounts.

    Raises ValueError with all that is wrong.
    """
    from steersman.api.tokens import jwt_checks  # with expressions, where there is a file

    try:
        found = msgspec.convert(document, Authentication)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    if found.kind != "AuthenticationConfiguration" or found.apiVersion not in VERSIONS:
        raise ValueError(f"it is no AuthenticationConfiguration of {VERSIONS[0]}")
    if wrong := tuple(jwt_checks.check(found, disallowed)):
        raise ValueError(told(wrong))
    return found
