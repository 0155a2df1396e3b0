"""Files that say whose tokens are trusted: what is wrong with them, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.api.tokens import jwt_settings
from steersman.model.gotext import quote
from steersman.model.kind import Document

URL = "https://issuer.example.com"
BUNDLE = "data does not contain any valid RSA or ECDSA certificates"
PREFIX = (
    "Required value: prefix is required when claim is set. It can be set to an empty string to "
    "disable prefixing"
)
UNVERIFIED = (
    "claims.email_verified must be used in claimMappings.username.expression or "
    "claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when "
    "claims.email is used in claimMappings.username.expression"
)
EMAIL = {"username": {"expression": "claims.email"}}
NAMED: Document = {"username": {"claim": "sub", "prefix": ""}}


def file(*issuers: Document, **more: Any) -> Document:
    head = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthenticationConfiguration"}
    return {**head, "jwt": list(issuers), **more}


def settings(**more: Any) -> Document:
    issuer = {"url": URL, "audiences": ["kubernetes"]}
    return {"issuer": issuer, "claimMappings": NAMED, **more}


def issuer(**more: Any) -> Document:
    return file(settings(issuer={"url": URL, "audiences": ["a"], **more}))


def mapped(**more: Any) -> Document:
    return file(settings(claimMappings={**NAMED, **more}))


def claims(*rules: Document) -> Document:
    return file(settings(claimValidationRules=list(rules)))


def users(*rules: Document) -> Document:
    return file(settings(userValidationRules=list(rules)))


def extra(key: str, value: str = "'a'") -> Document:
    return mapped(extra=[{"key": key, "valueExpression": value}])


def wrong(document: Document) -> str:
    with pytest.raises(ValueError, match=r".") as raised:
        jwt_settings.parse(document, disallowed="https://kubernetes")
    return str(raised.value)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        *(
            (
                {**file(), **other},
                "it is no AuthenticationConfiguration of apiserver.config.k8s.io/v1",
            )
            for other in ({"kind": ""}, {"apiVersion": "v1"}, {"kind": "AdmissionConfiguration"})
        ),
        (file(more=1), "Object contains unknown field `more`"),
        (file(*(settings() for _ in range(65))), "jwt: Too many: 65: must have at most 64 items"),
        (
            file(anonymous={"enabled": False, "conditions": [{"path": "/livez"}]}),
            'anonymous.conditions: Invalid value: [{"Path":"/livez"}]: '
            "enabled should be set to true when conditions are defined",
        ),
    ],
)
def test_a_file_that_cannot_be_is_refused(document: Document, told: str) -> None:
    assert wrong(document) == told


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (issuer(url=""), "url: Required value"),
        (issuer(url="http://x"), 'url: Invalid value: "http://x": URL scheme must be https'),
        (
            issuer(url="https://a@x"),
            'url: Invalid value: "https://a@x": URL must not contain a username or password',
        ),
        (
            issuer(url="https://x?a=b"),
            'url: Invalid value: "https://x?a=b": URL must not contain a query',
        ),
        (
            issuer(url="https://x#a"),
            'url: Invalid value: "https://x#a": URL must not contain a fragment',
        ),
        (
            issuer(url="https://kubernetes"),
            'url: Invalid value: "https://kubernetes": '
            "URL must not overlap with disallowed issuers: [https://kubernetes]",
        ),
        (
            issuer(discoveryURL="x"),
            'discoveryURL: Invalid value: "x": URL scheme must be https',
        ),
        (
            issuer(discoveryURL=f"{URL}/"),
            f'discoveryURL: Invalid value: "{URL}/": discoveryURL must be different from URL',
        ),
        (
            issuer(audiences=[]),
            "audiences: Required value: at least one jwt[0].issuer.audiences is required",
        ),
        (issuer(audiences=[""]), "audiences[0]: Required value"),
        (
            issuer(audiences=["a", "a"], audienceMatchPolicy="MatchAny"),
            'audiences[1]: Duplicate value: "a"',
        ),
        (
            issuer(audiences=["a", "b"]),
            'audienceMatchPolicy: Invalid value: "": '
            "audienceMatchPolicy must be MatchAny for multiple audiences",
        ),
        (
            issuer(audienceMatchPolicy="All"),
            'audienceMatchPolicy: Invalid value: "All": '
            "audienceMatchPolicy must be empty or MatchAny for single audience",
        ),
        (
            issuer(certificateAuthority="x"),
            f'certificateAuthority: Invalid value: "<omitted>": {BUNDLE}',
        ),
    ],
)
def test_an_issuer_that_cannot_be_is_refused_by_field(document: Document, told: str) -> None:
    assert wrong(document) == f"jwt[0].issuer.{told}"


def test_issuers_are_told_apart_by_their_addresses() -> None:
    assert wrong(file(settings(), settings())) == f'jwt[1].issuer.url: Duplicate value: "{URL}"'
    both = [
        settings(issuer={"url": url, "audiences": ["a"], "discoveryURL": "https://found"})
        for url in ("https://a", "https://b")
    ]
    assert wrong(file(*both)) == 'jwt[1].issuer.discoveryURL: Duplicate value: "https://found"'
    assert jwt_settings.parse(issuer(audienceMatchPolicy="MatchAny")).jwt


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (
            file(settings(claimMappings={})),
            "username: Required value: claim or expression is required",
        ),
        (
            mapped(username={"claim": "sub", "expression": "'a'"}),
            'username: Invalid value: "": claim and expression can\'t both be set',
        ),
        (mapped(username={"claim": "sub"}), f"username.prefix: {PREFIX}"),
        (mapped(groups={"claim": "groups"}), f"groups.prefix: {PREFIX}"),
        (
            mapped(groups={"expression": "claims.g", "prefix": "o:"}),
            'groups.prefix: Invalid value: "o:": may not be specified when expression is set',
        ),
        (
            mapped(username={"expression": "other"}),
            'username.expression: Invalid value: "other": compilation failed: ERROR: '
            "<input>:1:1: undeclared reference to 'other' (in container '')\n | other\n | ^",
        ),
        (
            mapped(uid={"claim": "uid", "expression": "'a'"}),
            'uid: Invalid value: "": claim and expression can\'t both be set',
        ),
        (
            mapped(uid={"expression": "user"}),
            'uid.expression: Invalid value: "user": compilation failed: ERROR: '
            "<input>:1:1: undeclared reference to 'user' (in container '')\n | user\n | ^",
        ),
        (extra(""), "extra[0].key: Required value"),
        (
            extra("role"),
            'extra[0].key: Invalid value: "role": '
            'must be a domain-prefixed path (such as "acme.io/foo")',
        ),
        (extra("a.io/Role"), 'extra[0].key: Invalid value: "a.io/Role": must be lowercase'),
        *(
            (
                extra(key),
                f'extra[0].key: Invalid value: "{key}": '
                "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use",
            )
            for key in ("k8s.io/a", "x.kubernetes.io/a", "kubernetes.io/a", "x.k8s.io/a")
        ),
        (extra("a.io/a", ""), "extra[0].valueExpression: Required value"),
        (
            extra("a.io/a", "b"),
            'extra[0].valueExpression: Invalid value: "b": compilation failed: ERROR: '
            "<input>:1:1: undeclared reference to 'b' (in container '')\n | b\n | ^",
        ),
        (
            mapped(extra=[{"key": "a.io/a", "valueExpression": "'a'"}] * 2),
            'extra[1].key: Duplicate value: "a.io/a"',
        ),
    ],
)
def test_a_mapping_that_cannot_be_is_refused_by_field(document: Document, told: str) -> None:
    assert wrong(document) == f"jwt[0].claimMappings.{told}"


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (
            claims({}),
            "claimValidationRules[0]: Required value: claim or expression is required",
        ),
        (
            claims({"claim": "a", "expression": "true"}),
            'claimValidationRules[0]: Invalid value: "a": claim and expression can\'t both be set',
        ),
        (
            claims({"claim": "a", "message": "no"}),
            'claimValidationRules[0].message: Invalid value: "no": '
            "may not be specified when claim is set",
        ),
        (
            claims({"claim": "a"}, {"claim": "a", "requiredValue": "b"}),
            'claimValidationRules[1].claim: Duplicate value: "a"',
        ),
        (
            claims({"expression": "true", "requiredValue": "a"}),
            'claimValidationRules[0].requiredValue: Invalid value: "a": '
            "may not be specified when expression is set",
        ),
        (
            claims({"expression": "true"}, {"expression": "true"}),
            'claimValidationRules[1].expression: Duplicate value: "true"',
        ),
        (
            claims({"expression": "claims.a"}),
            'claimValidationRules[0].expression: Invalid value: "claims.a": must evaluate to bool',
        ),
        (users({"message": "no"}), "userValidationRules[0].expression: Required value"),
        (
            users({"expression": "true"}, {"expression": "true"}),
            'userValidationRules[1].expression: Duplicate value: "true"',
        ),
        (
            users({"expression": "user.name == 'a'"}),
            "userValidationRules[0].expression: Invalid value: \"user.name == 'a'\": "
            "compilation failed: ERROR: <input>:1:5: undefined field 'name'\n"
            " | user.name == 'a'\n | ....^",
        ),
        (
            users({"expression": "user.username"}),
            'userValidationRules[0].expression: Invalid value: "user.username": '
            "must evaluate to bool",
        ),
    ],
)
def test_a_rule_that_cannot_be_is_refused_by_field(document: Document, told: str) -> None:
    assert wrong(document) == f"jwt[0].{told}"


@pytest.mark.parametrize(
    ("name", "more", "takes"),
    [
        ("claims.email", {}, False),
        ("[claims.email][0]", {}, False),
        ("{'a': claims.email}['a']", {}, False),
        ("['a'].map(one, claims.email)[0]", {}, False),
        ("claims.?email.orValue('a')", {}, False),
        ("cel.bind(mail, claims.email, mail)", {}, False),
        ("claims['email']", {}, True),
        ("claims.sub", {}, True),
        ("claims.email_verified ? claims.email : 'nobody'", {}, True),
        ("claims.email",
         {"claimValidationRules": [{"expression": "claims.email_verified == true"}]}, True),
        ("claims.email", {"userValidationRules": [{"expression": "true"}]}, False),
    ],
)  # fmt: skip
def test_mail_addresses_are_names_where_it_is_asked_whether_they_are_verified(
    name: str, more: Document, takes: bool
) -> None:
    mappings: Document = {"username": {"expression": name}}
    document = file(settings(claimMappings=mappings, **more))
    if takes:
        assert jwt_settings.parse(document).jwt
    else:
        place = "jwt[0].claimMappings.username.expression"
        assert wrong(document) == f"{place}: Invalid value: {quote(name)}: {UNVERIFIED}"


def test_what_else_is_wrong_does_not_hide_that_mail_addresses_are_not_verified() -> None:
    rules = [{"expression": "claims.email_verified"}, {"expression": "claims."}, {}]
    told = wrong(file(settings(claimMappings=EMAIL, claimValidationRules=rules[1:])))
    last = f'jwt[0].claimMappings.username.expression: Invalid value: "claims.email": {UNVERIFIED}]'
    assert told.startswith("[jwt[0].claimValidationRules[0].expression: Invalid value")
    assert told.endswith(
        f"claimValidationRules[1]: Required value: claim or expression is required, {last}"
    )
    told = wrong(file(settings(claimMappings=EMAIL, claimValidationRules=rules)))
    assert UNVERIFIED in told  # that claim may be no boolean: the rule is none
    both = {"username": {"claim": "sub", "prefix": "", "expression": "claims.email"}}
    assert UNVERIFIED not in wrong(file(settings(claimMappings=both)))
    torn = {"username": {"expression": "claims.email + "}}
    assert UNVERIFIED not in wrong(file(settings(claimMappings=torn)))


def test_an_extra_of_the_user_may_ask_whether_a_mail_address_is_verified() -> None:
    asks = {"key": "a.io/verified", "valueExpression": "string(claims.email_verified)"}
    assert jwt_settings.parse(file(settings(claimMappings={**EMAIL, "extra": [asks]}))).jwt


def test_all_that_is_wrong_is_told_at_once() -> None:
    document = file(settings(issuer={"url": "", "audiences": [""]}, claimMappings={}))
    assert wrong(document) == (
        "[jwt[0].issuer.url: Required value, jwt[0].issuer.audiences[0]: Required value, "
        "jwt[0].claimMappings.username: Required value: claim or expression is required]"
    )
