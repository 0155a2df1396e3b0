"""All functions of the base environment of Kubernetes 1.37, one module for each library."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from steersman.cel.functions import Functions, declared

_PACKAGE = "steersman.cel.library"
_MODULES = (
    "arithmetic", "comparison", "conversion", "times", "optionals", "strings", "patterns",
    "lists", "sets", "urls", "quantities", "addresses", "formats", "semver", "authorizer",
)  # fmt: skip


@cache
def all_functions() -> Functions:
    """Returns every function with its overloads."""
    modules = (import_module(f"{_PACKAGE}.{module}") for module in _MODULES)
    return declared(*(module.FUNCTIONS for module in modules))
