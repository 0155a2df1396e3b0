"""One admission webhook, made ready once for each change of its configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from steersman.api.admission.asking.expressions import Conditions
from steersman.api.admission.asking.matching import Asked, Selectors, Target, targets
from steersman.api.admission.asking.variables import declared
from steersman.api.hooks.client import Client, Find
from steersman.cel.environment import Environment
from steersman.client.kubeconfig import Users
from steersman.model.builtin import Registry
from steersman.model.kind import Document
from steersman.world.interface import World


class Hook:
    """A webhook of a configuration; `uid` tells it from all others, as names may come twice."""

    def __init__(
        self, raw: Mapping[str, Any], uid: str, find: Find, world: World, users: Users
    ) -> None:
        self.uid = uid
        self.configuration = uid.partition("/")[0]
        self.name: str = raw["name"]
        self.ignores = raw.get("failurePolicy") == "Ignore"
        self.seconds: int = raw.get("timeoutSeconds") or 10
        self.has_effects = raw.get("sideEffects") not in ("None", "NoneOnDryRun")
        self.reinvocable = raw.get("reinvocationPolicy") == "IfNeeded"
        self.selectors = Selectors(raw)
        self.client = Client(raw["clientConfig"], find, world, users)
        versions = raw.get("admissionReviewVersions") or ()
        self.review = next((one for one in versions if one in ("v1", "v1beta1")), "")
        environment = Environment(declared())
        self.conditions = Conditions(raw.get("matchConditions") or (), environment, self.ignores)
        self._rules = raw.get("rules") or ()
        self._equivalent = raw.get("matchPolicy") != "Exact"

    def target(self, asked: Asked, kinds: Registry) -> Target | None:
        """Returns the version in which the webhook is to see a request, None where it is not."""
        found = targets(self._rules, self._equivalent, asked, kinds)
        return found[0] if found else None


def hooks_of(configuration: Document, find: Find, world: World, users: Users) -> Iterator[Hook]:
    """Yields the webhooks of a configuration in their order, which are asked as one of `users`."""
    name, seen = configuration["metadata"]["name"], dict[str, int]()
    for raw in configuration.get("webhooks") or ():
        count = seen.get(raw["name"], 0)
        seen[raw["name"]] = count + 1
        yield Hook(raw, f"{name}/{raw['name']}/{count}", find, world, users)
