"""Puts the chain of admission together: the plugins that are on, in their order, and those whom
objects configure."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec

from steersman.api.access.authorization import Authorizer
from steersman.api.access.escalation import Escalation
from steersman.api.admission import certificates
from steersman.api.admission.chain import Chain, Change, Plugin
from steersman.api.admission.devices import Devices
from steersman.api.admission.dynamic import Askers, Dynamic
from steersman.api.admission.figures import Figures, Timed
from steersman.api.admission.granting import Granting
from steersman.api.admission.lifecycle import NamespaceLifecycle
from steersman.api.admission.limit_ranger import LimitRanger
from steersman.api.admission.node_restriction import NodeRestriction
from steersman.api.admission.plugins import namespaces, permissions, placing
from steersman.api.admission.plugins.classes import DefaultIngressClass
from steersman.api.admission.plugins.declared_features import NodeDeclaredFeatureValidator
from steersman.api.admission.plugins.event_rate import EventRateLimit
from steersman.api.admission.plugins.expressions import AdmissionExpressions
from steersman.api.admission.plugins.image_policy import ImagePolicyWebhook
from steersman.api.admission.plugins.images import AlwaysPullImages
from steersman.api.admission.plugins.plain import AlwaysAdmit, Gated
from steersman.api.admission.plugins.registry import AdmissionSettings
from steersman.api.admission.pod_certificates import PodCertificates
from steersman.api.admission.pod_security.plugin import PodSecurity
from steersman.api.admission.pods import DefaultTolerationSeconds, Priority, TaintNodesByCondition
from steersman.api.admission.policies.reading import ParameterReading
from steersman.api.admission.quota import ResourceQuota
from steersman.api.admission.recording import Recording
from steersman.api.admission.service_account import ServiceAccount
from steersman.api.admission.storage import (
    DefaultStorageClass,
    PersistentVolumeClaimResize,
    StorageObjectInUseProtection,
)
from steersman.api.cache import Cache
from steersman.api.custom.admission import DefinitionLifecycle
from steersman.api.custom.definitions import Definitions
from steersman.api.hooks.client import Find
from steersman.model.builtin import Registry
from steersman.world.interface import World


class Parts(msgspec.Struct, frozen=True):
    """What plugins are made of; `provide` makes a namespace as the server."""

    cache: Cache
    world: World
    kinds: Registry
    definitions: Definitions
    find: Find
    authorizer: Authorizer
    escalation: Escalation
    provide: Callable[[str], Coroutine[Any, Any, None]]


class Unlimited(Plugin):
    """Takes the place of ResourceQuota where it is off."""

    name = "Unlimited"

    def charged(self, change: Change, stored: bytes = b"") -> AbstractContextManager[None]:
        """Charges nothing."""
        return nullcontext()


def assemble(settings: AdmissionSettings, parts: Parts) -> tuple[Chain, Dynamic]:
    """Returns the chain, and those in it whom objects configure."""
    plugins, cache, world = settings.plugins, parts.cache, parts.world
    figures = Figures()
    dynamic = Dynamic(cache, parts.kinds, lambda: _askers(settings, parts, figures))
    makers = _makers(settings, parts)
    chosen = [makers[name]() for name in plugins if name in makers]
    is_bounded = "ResourceQuota" in plugins
    quotas = ResourceQuota(cache, world, settings.limited) if is_bounded else Unlimited()
    own: list[Plugin] = [DefinitionLifecycle(parts.definitions), AdmissionExpressions()]
    last: list[Plugin] = [
        Recording(world),
        Devices(cache, parts.authorizer, world),
        PodCertificates(parts.authorizer, world),
        Granting(parts.escalation),
        ParameterReading(cache, parts.kinds, parts.authorizer),
    ]
    # AlwaysDeny comes behind all others, and so behind what only refuses
    denies = [one for one in chosen if isinstance(one, permissions.AlwaysDeny)]
    others = [one for one in chosen if one not in denies]
    timed = Timed(figures, world.monotonic)
    return Chain([*own, *others, *last, *denies], quotas, timed, dynamic), dynamic


def _askers(settings: AdmissionSettings, parts: Parts, figures: Figures) -> Askers:
    from steersman.api.admission.configuration import assemble_askers  # brings CEL

    cache, find, world = parts.cache, parts.find, parts.world
    return assemble_askers(cache, parts.kinds, parts.authorizer, find, world, settings, figures)


def _makers(settings: AdmissionSettings, parts: Parts) -> Mapping[str, Callable[[], Plugin]]:
    cache, world, authorizer = parts.cache, parts.world, parts.authorizer

    def image_policy() -> Plugin:
        assert settings.image_policy is not None, "the options were not checked"
        return ImagePolicyWebhook(settings.image_policy, world)

    return {
        "AlwaysAdmit": AlwaysAdmit,
        "NamespaceAutoProvision": lambda: namespaces.NamespaceAutoProvision(cache, parts.provide),
        "NamespaceLifecycle": lambda: NamespaceLifecycle(cache),
        "NamespaceExists": lambda: namespaces.NamespaceExists(cache),
        "LimitPodHardAntiAffinityTopology": placing.LimitPodHardAntiAffinityTopology,
        "LimitRanger": lambda: LimitRanger(cache),
        "ServiceAccount": lambda: ServiceAccount(cache, world),
        "NodeRestriction": lambda: NodeRestriction(parts.find),
        "TaintNodesByCondition": TaintNodesByCondition,
        "AlwaysPullImages": AlwaysPullImages,
        "ImagePolicyWebhook": image_policy,
        "PodSecurity": lambda: PodSecurity(cache, settings.pod_security),
        "PodNodeSelector": lambda: namespaces.PodNodeSelector(cache, settings.node_selectors),
        "Priority": lambda: Priority(cache),
        "DefaultTolerationSeconds": lambda: DefaultTolerationSeconds(
            settings.not_ready_seconds, settings.unreachable_seconds
        ),
        "PodTolerationRestriction": lambda: namespaces.PodTolerationRestriction(
            cache, settings.tolerations
        ),
        "EventRateLimit": lambda: EventRateLimit(settings.event_limits, world.monotonic),
        "ExtendedResourceToleration": placing.ExtendedResourceToleration,
        "DefaultStorageClass": lambda: DefaultStorageClass(cache),
        "StorageObjectInUseProtection": StorageObjectInUseProtection,
        "PodGroupProtection": lambda: Gated("PodGroupProtection"),
        "OwnerReferencesPermissionEnforcement": lambda: (
            permissions.OwnerReferencesPermissionEnforcement(authorizer, parts.kinds)
        ),
        "PersistentVolumeClaimResize": lambda: PersistentVolumeClaimResize(cache),
        "RuntimeClass": lambda: placing.RuntimeClass(cache),
        "CertificateApproval": lambda: certificates.CertificateApproval(authorizer),
        "CertificateSigning": lambda: certificates.CertificateSigning(authorizer),
        "CertificateSubjectRestriction": certificates.CertificateSubjectRestriction,
        "ClusterTrustBundleAttest": lambda: permissions.ClusterTrustBundleAttest(authorizer),
        "DefaultIngressClass": lambda: DefaultIngressClass(cache),
        "DenyServiceExternalIPs": permissions.DenyServiceExternalIPs,
        "PodTopologyLabels": lambda: placing.PodTopologyLabels(cache),
        "NodeDeclaredFeatureValidator": lambda: NodeDeclaredFeatureValidator(cache),
        "JobValidation": lambda: Gated("JobValidation"),
        "PodResizeValidator": lambda: placing.PodResizeValidator(cache),
        "AlwaysDeny": permissions.AlwaysDeny,
    }
