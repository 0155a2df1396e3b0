"""Names in upstream's words (validation_test.go, kube_test.go)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from steersman.model import names

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_1035 = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
    "regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
KEY_NAME = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
LABEL_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  "
    "or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
C_IDENTIFIER = (
    "a valid C identifier must start with alphabetic character or '_', followed by a string of "
    "alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for "
    "validation is '[A-Za-z_][A-Za-z0-9_]*')"
)
ENV = (
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', "
    "or '.', and must not start with a digit (e.g. 'my.env-name',  or 'MY_ENV.NAME',  or "
    "'MyEnvName1', regex used for validation is '[-._a-zA-Z][-._a-zA-Z0-9]*')"
)
CONFIG_KEY = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
    "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)

Check = Callable[[str], list[str]]

CASES: list[tuple[Check, str, list[str]]] = [
    (names.dns1123_label, "a", []),
    (names.dns1123_label, "a" * 63, []),
    (names.dns1123_label, "a" * 64, ["must be no more than 63 characters"]),
    (names.dns1123_label, "a.b", ["must not contain dots"]),
    (names.dns1123_label, "", [LABEL]),
    (names.dns1123_label, "A", [LABEL]),
    (names.dns1123_label, "-a", [LABEL]),
    (names.dns1123_label, "a\n", [LABEL]),
    (names.dns1123_label, "é" * 32, ["must be no more than 63 characters", LABEL]),
    (names.dns1123_subdomain, "a.b-c.9", []),
    (names.dns1123_subdomain, "a" * 253, []),
    (names.dns1123_subdomain, "a" * 254, ["must be no more than 253 characters"]),
    (names.dns1123_subdomain, "a..b", [SUBDOMAIN]),
    (names.dns1123_subdomain, "a_b", [SUBDOMAIN]),
    (names.dns1035_label, "a-1", []),
    (names.dns1035_label, "1-a", [LABEL_1035]),
    (names.dns1035_label, "a" * 64, ["must be no more than 63 characters"]),
    (names.qualified_name, "simple", []),
    (names.qualified_name, "Upper_case.9/ok", ["prefix part " + SUBDOMAIN]),
    (names.qualified_name, "example.com/Now_is.ok", []),
    (names.qualified_name, "a" * 63, []),
    (names.qualified_name, "a" * 64, ["name part must be no more than 63 bytes"]),
    (names.qualified_name, "a" * 253 + "/b", []),
    (names.qualified_name, "a" * 254 + "/b", ["prefix part must be no more than 253 bytes"]),
    (names.qualified_name, "/b", ["prefix part must be non-empty"]),
    (names.qualified_name, "a/", ["name part must be non-empty", "name part " + KEY_NAME]),
    (names.qualified_name, "-a", ["name part " + KEY_NAME]),
    (
        names.qualified_name,
        "a/b/c",
        [
            f"a valid label key {KEY_NAME} with an optional DNS subdomain prefix and '/' "
            "(e.g. 'example.com/MyName')"
        ],
    ),
    (names.label_value, "", []),
    (names.label_value, "My_value.1", []),
    (names.label_value, "a" * 64, ["must be no more than 63 bytes"]),
    (names.label_value, "a b", [LABEL_VALUE]),
    (names.label_value, "a\n", [LABEL_VALUE]),
    (names.c_identifier, "_a1", []),
    (names.c_identifier, "1a", [C_IDENTIFIER]),
    (names.env_name, "my.env-name", []),
    (names.env_name, "1a", [ENV]),
    (names.env_name, "..a", ["must not start with '..'"]),
    (names.relaxed_env_name, "1 a", []),
    (names.relaxed_env_name, "", ["environment variable name must be non-empty"]),
    (
        names.relaxed_env_name,
        "a=b",
        ["a valid environment variable name must consist only of printable ASCII characters other "
         "than '='"],
    ),
    (names.config_map_key, "a.b_c-D", []),
    (names.config_map_key, ".", ["must not be '.'"]),
    (names.config_map_key, "..", ["must not be '..'"]),
    (names.config_map_key, "..a", ["must not start with '..'"]),
    (names.config_map_key, "a/b", [CONFIG_KEY]),
    (names.config_map_key, "a" * 254, ["must be no more than 253 characters"]),
    (names.port_name, "http-2", []),
    (names.port_name, "a" * 16, ["must be no more than 15 characters"]),
    (names.port_name, "80", ["must contain at least one letter (a-z)"]),
    (names.port_name, "a--b", ["must not contain consecutive hyphens"]),
    (names.port_name, "-a", ["must not begin or end with a hyphen"]),
    (
        names.port_name,
        "A",
        [
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
            "must contain at least one letter (a-z)",
        ],
    ),
    (names.percent, "25%", []),
    (names.http_header_name, "X-Header-Name", []),
    (names.http_path, "/a/b?c", ["Invalid path (regex used for validation is "
        "'[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')"]),
    (names.http_path, "/a/b", []),
    (names.path_segment, "a", []),
    (names.path_segment, "..", ["may not be '..'"]),
    (names.path_segment, "a/%b", ["may not contain '/'", "may not contain '%'"]),
    (names.wildcard_dns1123_subdomain, "*.bar.com", []),
    (names.whole_number, "-12", []),
    (names.whole_number, "012", ["must be a valid decimal integer in canonical form"]),
    (names.whole_number, "", ["must be non-empty"]),
]  # fmt: skip


@pytest.mark.parametrize(("check", "value", "problems"), CASES)
def test_a_name_is_judged_in_upstreams_words(check: Check, value: str, problems: list[str]) -> None:
    assert check(value) == problems
    assert check(value) == problems, "a cached answer differs from the first"


@pytest.mark.parametrize("value", ["25", "%", "x%"])
def test_a_percentage_ends_with_its_sign(value: str) -> None:
    (problem,) = names.percent(value)
    assert problem.startswith("a valid percent string must be a numeric string")


@pytest.mark.parametrize("value", ["*.*.com", "*bar.com", "*", "a.com"])
def test_a_wildcard_stands_for_the_first_label_alone(value: str) -> None:
    (problem,) = names.wildcard_dns1123_subdomain(value)
    assert problem.startswith("a wildcard DNS-1123 subdomain must start with '*.'")


def test_a_port_number_is_from_1_to_65535() -> None:
    assert [port for port in (0, 1, 65535, 65536) if names.port_number(port)] == [0, 65536]
    assert names.port_number(0) == ["must be between 1 and 65535, inclusive"]


def test_a_header_name_holds_no_underscore() -> None:
    (problem,) = names.http_header_name("a_b")
    assert problem.startswith("a valid HTTP header must consist of alphanumeric")


def test_a_generate_name_may_end_with_a_dash() -> None:
    assert names.without_trailing_dash("web-") == "wea"
    assert names.without_trailing_dash("-") == "-"
    assert names.without_trailing_dash("web") == "web"
