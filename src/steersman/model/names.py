"""What may be a name: labels, subdomains, keys, ports, paths.

Each function returns what is wrong with a value, in upstream's words, or an empty list
(apimachinery/pkg/util/validation and pkg/api/validate/content). Nothing here knows a kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

Check = Callable[[str], list[str]]

DNS_LABEL_LENGTH: Final = 63
DNS_SUBDOMAIN_LENGTH: Final = 253
_KEY_LENGTH: Final = DNS_SUBDOMAIN_LENGTH + 1 + DNS_LABEL_LENGTH
# What no identifier of an expression may be (cel-spec, Syntax): kept for later, and what means
# something already
CEL_RESERVED: Final = frozenset(
    (
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    )
)
CEL_KEYWORDS: Final = frozenset(("true", "false", "null", "in"))
_CACHED: Final = 8192  # label keys and values seen again and again

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_KEY_NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = f"({_KEY_NAME})?"
_WILDCARD = rf"\*\.{_SUBDOMAIN}"
_C_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*"
_ENV_NAME = "[-._a-zA-Z][-._a-zA-Z0-9]*"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_PERCENT = "[0-9]+%"
_HEADER = "[-A-Za-z0-9]+"
_HTTP_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"

_is_label = re.compile(_LABEL).fullmatch
_is_subdomain = re.compile(_SUBDOMAIN).fullmatch
_is_label_1035 = re.compile(_LABEL_1035).fullmatch
_is_key_name = re.compile(_KEY_NAME).fullmatch
_is_label_value = re.compile(_LABEL_VALUE).fullmatch
_is_wildcard = re.compile(_WILDCARD).fullmatch
_is_c_identifier = re.compile(_C_IDENTIFIER).fullmatch
_is_env_name = re.compile(_ENV_NAME).fullmatch
_is_config_key = re.compile(_CONFIG_KEY).fullmatch
_is_percent = re.compile(_PERCENT).fullmatch
_is_header = re.compile(_HEADER).fullmatch
_is_http_path = re.compile(_HTTP_PATH).fullmatch
_is_port_charset = re.compile("[-a-z0-9]+").fullmatch
_has_letter = re.compile("[a-z]").search
_is_whole_number = re.compile("0|-?[1-9][0-9]*").fullmatch

_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' "
    "or '.', and must start and end with an alphanumeric character"
)
_CASELESS_SUBDOMAIN_TEXT = (
    "an RFC 1123 subdomain must consist of alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character"
)
_LABEL_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with "
    "an alphabetic character, and end with an alphanumeric character"
)
_KEY_NAME_TEXT = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character"
)
_LABEL_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character"
)
_WILDCARD_TEXT = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, "
    "which must consist of lower case alphanumeric characters, '-' or '.' and end with an "
    "alphanumeric character"
)
_C_IDENTIFIER_TEXT = (
    "a valid C identifier must start with alphabetic character or '_', followed by a string "
    "of alphanumeric characters or '_'"
)
_ENV_NAME_TEXT = (
    "a valid environment variable name must consist of alphabetic characters, digits, '_', "
    "'-', or '.', and must not start with a digit"
)
_RELAXED_ENV_TEXT = (
    "a valid environment variable name must consist only of printable ASCII characters other "
    "than '='"
)
_CONFIG_KEY_TEXT = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
_PERCENT_TEXT = "a valid percent string must be a numeric string followed by an ending '%'"
_HEADER_TEXT = "a valid HTTP header must consist of alphanumeric characters or '-'"


def regex_error(text: str, pattern: str, *examples: str) -> str:
    """Returns upstream's sentence about a value that a pattern refuses."""
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{text} ({'e.g. ' if examples else ''}{shown}regex used for validation is '{pattern}')"


def dns1123_label(value: str) -> list[str]:
    """Checks a DNS label: a Pod's container, a namespace (IsDNS1123Label)."""
    if len(value) <= DNS_LABEL_LENGTH and _is_label(value):
        return []
    problems = _too_long(value, DNS_LABEL_LENGTH)
    if not _is_label(value):
        if _is_subdomain(value):
            problems.append("must not contain dots")
        else:
            problems.append(regex_error(_LABEL_TEXT, _LABEL, "my-name", "123-abc"))
    return problems


def dns1123_subdomain(value: str) -> list[str]:
    """Checks a DNS subdomain, which most names are (IsDNS1123Subdomain)."""
    if len(value) <= DNS_SUBDOMAIN_LENGTH and _is_subdomain(value):
        return []
    problems = _too_long(value, DNS_SUBDOMAIN_LENGTH)
    if not _is_subdomain(value):
        problems.append(regex_error(_SUBDOMAIN_TEXT, _SUBDOMAIN, "example.com"))
    return problems


def dns1123_caseless_subdomain(value: str) -> list[str]:
    """Checks a DNS subdomain that may have capitals (IsDNS1123SubdomainCaseless)."""
    problems = _too_long(value, DNS_SUBDOMAIN_LENGTH)
    if not _is_subdomain(value.lower()):
        problems.append(regex_error(_CASELESS_SUBDOMAIN_TEXT, _SUBDOMAIN, "Example.com"))
    return problems


def dns1035_label(value: str) -> list[str]:
    """Checks a DNS label that starts with a letter: a Service (IsDNS1035Label)."""
    problems = _too_long(value, DNS_LABEL_LENGTH)
    if not _is_label_1035(value):
        problems.append(regex_error(_LABEL_1035_TEXT, _LABEL_1035, "my-name", "abc-123"))
    return problems


def wildcard_dns1123_subdomain(value: str) -> list[str]:
    """Checks a host that stands for many (IsWildcardDNS1123Subdomain)."""
    problems = _too_long(value, DNS_SUBDOMAIN_LENGTH)
    if not _is_wildcard(value):
        problems.append(regex_error(_WILDCARD_TEXT, _WILDCARD, "*.example.com"))
    return problems


def qualified_name(value: str) -> list[str]:
    """Checks a key of labels, annotations, taints, resources (IsQualifiedName)."""
    if len(value) <= _KEY_LENGTH and _is_qualified(value):
        return []
    parts = value.split("/")
    if len(parts) > 2:
        wrong = regex_error(_KEY_NAME_TEXT, _KEY_NAME, "MyName", "my.name", "123-abc")
        hint = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return [f"a valid label key {wrong}{hint}"]
    problems = _prefix_problems(parts[0]) if len(parts) == 2 else []
    return problems + [f"name part {text}" for text in _key_name_problems(parts[-1])]


def label_value(value: str) -> list[str]:
    """Checks the value of a label (IsValidLabelValue)."""
    if len(value) <= DNS_LABEL_LENGTH and _is_good_label_value(value):
        return []
    problems = _too_many_bytes(value, DNS_LABEL_LENGTH)
    if not _is_label_value(value):
        wrong = regex_error(_LABEL_VALUE_TEXT, _LABEL_VALUE, "MyValue", "my_value", "12345")
        problems.append(wrong)
    return problems


def c_identifier(value: str) -> list[str]:
    """Checks an identifier of C (IsCIdentifier)."""
    if _is_c_identifier(value):
        return []
    return [regex_error(_C_IDENTIFIER_TEXT, _C_IDENTIFIER, "my_name", "MY_NAME", "MyName")]


def env_name(value: str) -> list[str]:
    """Checks the strict form of an environment variable's name (IsEnvVarName)."""
    problems = []
    if not _is_env_name(value):
        examples = ("my.env-name", "MY_ENV.NAME", "MyEnvName1")
        problems.append(regex_error(_ENV_NAME_TEXT, _ENV_NAME, *examples))
    return problems + _upward(value)


def relaxed_env_name(value: str) -> list[str]:
    """Checks an environment variable's name as containers take it (IsRelaxedEnvVarName)."""
    if not value:
        return ["environment variable name must be non-empty"]
    good = value.isascii() and value.isprintable() and "=" not in value
    return [] if good else [_RELAXED_ENV_TEXT]


def config_map_key(value: str) -> list[str]:
    """Checks a key of a ConfigMap or Secret (IsConfigMapKey)."""
    problems = _too_long(value, DNS_SUBDOMAIN_LENGTH)
    if not _is_config_key(value):
        examples = ("key.name", "KEY_NAME", "key-name")
        problems.append(regex_error(_CONFIG_KEY_TEXT, _CONFIG_KEY, *examples))
    return problems + _upward(value)


def port_name(value: str) -> list[str]:
    """Checks the name of a port (IsValidPortName)."""
    problems = _too_long(value, 15)
    if not _is_port_charset(value):
        problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not _has_letter(value):
        problems.append("must contain at least one letter (a-z)")
    if "--" in value:
        problems.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        problems.append("must not begin or end with a hyphen")
    return problems


def port_number(value: int) -> list[str]:
    """Checks the number of a port (IsValidPortNum)."""
    return in_range(value, 1, 65535)


def in_range(value: int, low: int, high: int) -> list[str]:
    """Checks that a number is within bounds, both included (IsInRange)."""
    return [] if low <= value <= high else [f"must be between {low} and {high}, inclusive"]


def percent(value: str) -> list[str]:
    """Checks a percentage such as `25%` (IsValidPercent)."""
    return [] if _is_percent(value) else [regex_error(_PERCENT_TEXT, _PERCENT, "1%", "93%")]


def http_header_name(value: str) -> list[str]:
    """Checks the name of an HTTP header (IsHTTPHeaderName)."""
    return [] if _is_header(value) else [regex_error(_HEADER_TEXT, _HEADER, "X-Header-Name")]


def http_path(value: str) -> list[str]:
    """Checks the characters of a path as RFC 3986 allows them."""
    return [] if _is_http_path(value) else [regex_error("Invalid path", _HTTP_PATH)]


def path_segment(value: str) -> list[str]:
    """Checks a name that becomes part of a URL (IsValidPathSegmentName)."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{sign}'" for sign in "/%" if sign in value]


def whole_number(value: str) -> list[str]:
    """Checks an integer written as a person writes it (IsDecimalInteger)."""
    if not value:
        return ["must be non-empty"]
    good = _is_whole_number(value)
    return [] if good else ["must be a valid decimal integer in canonical form"]


def without_trailing_dash(prefix: str) -> str:
    """Returns what to check of a `generateName`, whose dash stands before a suffix
    (maskTrailingDash)."""
    return prefix[:-2] + "a" if len(prefix) > 1 and prefix.endswith("-") else prefix


@lru_cache(_CACHED)
def _is_qualified(value: str) -> bool:
    prefix, slash, name = value.rpartition("/")
    if slash and not (len(prefix) <= DNS_SUBDOMAIN_LENGTH and _is_subdomain(prefix)):
        return False
    return len(name) <= DNS_LABEL_LENGTH and _is_key_name(name) is not None


@lru_cache(_CACHED)
def _is_good_label_value(value: str) -> bool:
    return _is_label_value(value) is not None


def _prefix_problems(prefix: str) -> list[str]:
    if not prefix:
        return ["prefix part must be non-empty"]
    problems = _too_many_bytes(prefix, DNS_SUBDOMAIN_LENGTH)
    if not _is_subdomain(prefix):
        problems.append(regex_error(_SUBDOMAIN_TEXT, _SUBDOMAIN, "example.com"))
    return [f"prefix part {text}" for text in problems]


def _key_name_problems(name: str) -> list[str]:
    problems = [] if name else ["must be non-empty"]
    problems += _too_many_bytes(name, DNS_LABEL_LENGTH)
    if not _is_key_name(name):
        examples = ("MyName", "my.name", "123-abc")
        problems.append(regex_error(_KEY_NAME_TEXT, _KEY_NAME, *examples))
    return problems


def _too_long(value: str, most: int) -> list[str]:
    if len(value.encode("utf-8", "surrogatepass")) <= most:
        return []
    return [f"must be no more than {most} characters"]


def _too_many_bytes(value: str, most: int) -> list[str]:
    # the same check in upstream's newer package, which has other words for it
    if len(value.encode("utf-8", "surrogatepass")) <= most:
        return []
    return [f"must be no more than {most} bytes"]


def _upward(value: str) -> list[str]:
    if value in (".", ".."):
        return [f"must not be '{value}'"]
    return ["must not start with '..'"] if value.startswith("..") else []
