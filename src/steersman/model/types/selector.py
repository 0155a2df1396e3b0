"""LabelSelector: its typed form. Matching lives in `model.selectors`."""

from __future__ import annotations

from collections.abc import Mapping

from steersman.model.view import View


class Requirement(View, frozen=True):
    """One expression of a label selector or a node selector; operators In, NotIn, Exists,
    DoesNotExist, and Gt and Lt for nodes."""

    key: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


class LabelSelector(View, frozen=True):
    """metav1.LabelSelector; empty matches everything, None (where allowed) nothing."""

    match_labels: Mapping[str, str] = {}
    match_expressions: tuple[Requirement, ...] = ()
