"""Puts together who is asked about a change beside the built-in plugins: what follows the objects
in which webhooks and policies are configured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from steersman.api.access.authorization import Authorizer
from steersman.api.admission.asking.configured import Configured
from steersman.api.admission.asking.matching import Asked
from steersman.api.admission.dynamic import Askers, Changing, Checking
from steersman.api.admission.figures import Figures
from steersman.api.admission.plugins.registry import AdmissionSettings
from steersman.api.admission.policies.bindings import Bindings
from steersman.api.admission.policies.mutating import MutatingPolicies
from steersman.api.admission.policies.mutator import Mutator
from steersman.api.admission.policies.params import Params
from steersman.api.admission.policies.policy import Covering, Evaluator, Policies, Policy
from steersman.api.admission.policies.validating import ValidatingPolicies
from steersman.api.admission.policies.validator import Validator
from steersman.api.admission.webhooks.asking import Asker, Asking
from steersman.api.admission.webhooks.hook import Hook, hooks_of
from steersman.api.admission.webhooks.mutating import MutatingWebhooks
from steersman.api.admission.webhooks.validating import ValidatingWebhooks
from steersman.api.cache import Cache
from steersman.api.hooks.client import Find
from steersman.api.hooks.credentials import PLUGINS
from steersman.client.kubeconfig import Users
from steersman.model.builtin import Registry
from steersman.model.kind import Document
from steersman.world.interface import World


def assemble_askers(
    cache: Cache,
    kinds: Registry,
    authorizer: Authorizer,
    find: Find,
    world: World,
    settings: AdmissionSettings,
    figures: Figures,
) -> Askers:
    """Returns who is asked from now on, of those that are on."""
    plugins = settings.plugins
    asker = Asker(authorizer, find, world, figures)

    def webhooks(plural: str, plugin: str) -> Configured[Hook, Asking]:
        users = settings.webhook_users.get(plugin, Users())
        return Configured(
            plural,
            cache,
            kinds,
            lambda configuration: tuple(hooks_of(configuration, find, world, users)),
            lambda hook, asked: _asking(hook, asked, kinds),
        )

    changes, checks = PLUGINS
    mutating = MutatingWebhooks(webhooks("mutatingwebhookconfigurations", changes), asker)
    configured = webhooks("validatingwebhookconfigurations", checks)
    validating = ValidatingWebhooks(configured, asker, world)
    params = Params(cache, kinds)

    def policies(plural: str, make: Callable[[Document], Evaluator]) -> Policies[Evaluator]:
        configured: Configured[Policy[Evaluator], Covering[Evaluator]] = Configured(
            plural.replace("policy", "policies"),
            cache,
            kinds,
            lambda policy: (Policy(policy, make(policy["spec"])),),
            lambda policy, asked: policy.covering(asked, kinds),
        )
        return Policies(configured, Bindings(f"{plural}bindings", cache), params, kinds, find)

    changing = MutatingPolicies(policies("mutatingadmissionpolicy", Mutator), authorizer)
    checking = ValidatingPolicies(policies("validatingadmissionpolicy", Validator), authorizer)
    asked_first: Mapping[str, Changing] = {
        "MutatingAdmissionPolicy": changing,
        changes: mutating,
    }
    asked_last: Mapping[str, Checking] = {
        "ValidatingAdmissionPolicy": checking,
        checks: validating,
    }
    return Askers(
        [one for name, one in asked_first.items() if name in plugins],
        [one for name, one in asked_last.items() if name in plugins],
    )


def _asking(hook: Hook, asked: Asked, kinds: Registry) -> Asking | None:
    target = hook.target(asked, kinds)
    return None if target is None else Asking(hook, target)
