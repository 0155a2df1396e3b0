"""Webhooks of admission: the views and columns that both kinds of configurations share."""

from __future__ import annotations

from steersman.model.kind import Column
from steersman.model.kinds.printing import AGE, NAME, count
from steersman.model.types.admission import MatchCondition, Rule
from steersman.model.types.selector import LabelSelector
from steersman.model.view import View


class ServiceReference(View, frozen=True):
    """A path of a Service."""

    namespace: str = ""
    name: str = ""
    path: str | None = None
    port: int = 443


class WebhookClientConfig(View, frozen=True):
    """Where a webhook is served: a URL or a Service; `ca_bundle` is the decoded PEM."""

    url: str | None = None
    service: ServiceReference | None = None
    ca_bundle: bytes = b""


class ValidatingWebhook(View, frozen=True):
    """A webhook that says yes or no."""

    name: str = ""
    client_config: WebhookClientConfig = WebhookClientConfig()
    rules: tuple[Rule, ...] = ()
    failure_policy: str = "Fail"
    match_policy: str = "Equivalent"
    namespace_selector: LabelSelector = LabelSelector()
    object_selector: LabelSelector = LabelSelector()
    side_effects: str = ""
    timeout_seconds: int = 10
    admission_review_versions: tuple[str, ...] = ()
    match_conditions: tuple[MatchCondition, ...] = ()


class MutatingWebhook(ValidatingWebhook, frozen=True):
    """A webhook that may also change the object."""

    reinvocation_policy: str = "Never"


WEBHOOK_COLUMNS = (NAME, Column("Webhooks", count("webhooks"), type="integer"), AGE)
