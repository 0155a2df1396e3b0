"""A file of behaviour: YAML or JSON, read whole or refused with the line of what is wrong."""

from __future__ import annotations

from typing import Any

from steersman.model.kind import Document
from steersman.node.simulated.reading import MOST_BYTES, BadBehaviour, parse_rules
from steersman.wire import yaml


class BadFile(ValueError):
    """The file cannot be used; the text says in which line, and why."""


def parse(data: bytes) -> Document:
    """Returns the document of a file that says what can be; raises BadFile."""
    if len(data) > MOST_BYTES:
        raise BadFile(f"it is longer than {MOST_BYTES} bytes")
    try:
        documents = list(yaml.load_all(data))
    except yaml.BadYAML as error:
        raise BadFile(str(error).removeprefix("yaml: ")) from None
    if len(documents) != 1:
        raise BadFile(f"it holds {len(documents)} documents, one is wanted")
    document: Any = documents[0]
    try:
        parse_rules(document)
    except BadBehaviour as error:
        raise BadFile(f"line {yaml.line_of(data, error.path)}: {error}") from None
    return document or {}
