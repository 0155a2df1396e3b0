"""The admission plugins by upstream's names, in upstream's order, and which of them run.

A table of facts from pkg/kubeapiserver/options/plugins.go.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import field

from steersman.api.admission.plugins.event_rate import Limit
from steersman.api.admission.plugins.image_policy import PolicySettings
from steersman.api.admission.pod_security.configuration import PodSecuritySettings
from steersman.api.admission.quota_limited import Limited
from steersman.client.kubeconfig import Users
from steersman.model.kind import Document

ORDER: Final = (
    "AlwaysAdmit", "NamespaceAutoProvision", "NamespaceLifecycle", "NamespaceExists",
    "LimitPodHardAntiAffinityTopology", "LimitRanger", "ServiceAccount", "NodeRestriction",
    "TaintNodesByCondition", "AlwaysPullImages", "ImagePolicyWebhook", "PodSecurity",
    "PodNodeSelector", "Priority", "DefaultTolerationSeconds", "PodTolerationRestriction",
    "EventRateLimit", "ExtendedResourceToleration", "DefaultStorageClass",
    "StorageObjectInUseProtection", "PodGroupProtection", "OwnerReferencesPermissionEnforcement",
    "PersistentVolumeClaimResize", "RuntimeClass", "CertificateApproval", "CertificateSigning",
    "ClusterTrustBundleAttest", "CertificateSubjectRestriction", "DefaultIngressClass",
    "DenyServiceExternalIPs", "PodTopologyLabels", "NodeDeclaredFeatureValidator", "JobValidation",
    "PodResizeValidator", "MutatingAdmissionPolicy", "MutatingAdmissionWebhook",
    "ValidatingAdmissionPolicy", "ValidatingAdmissionWebhook", "ResourceQuota", "AlwaysDeny",
)  # fmt: skip
OFF: Final = frozenset((
    "AlwaysAdmit", "NamespaceAutoProvision", "NamespaceExists", "LimitPodHardAntiAffinityTopology",
    "AlwaysPullImages", "ImagePolicyWebhook", "PodNodeSelector", "PodTolerationRestriction",
    "EventRateLimit", "ExtendedResourceToleration", "OwnerReferencesPermissionEnforcement",
    "DenyServiceExternalIPs", "AlwaysDeny",
))  # fmt: skip


TOLERATION_SECONDS: Final = 300


def enabled(on: Collection[str] = (), off: Collection[str] = ()) -> tuple[str, ...]:
    """Returns the plugins that run, in order: the usual ones, and those, and without these. Beside
    upstream's defaults NodeRestriction is one, as kubeadm has it."""
    left_out = (OFF | set(off)) - set(on)
    return tuple(name for name in ORDER if name not in left_out)


class AdmissionSettings(msgspec.Struct, frozen=True):
    """Which plugins run, and what some of them were told.

    event_limits:   of EventRateLimit
    image_policy:   of ImagePolicyWebhook
    node_selectors: of PodNodeSelector, by namespace
    tolerations:    of PodTolerationRestriction: `default` and `whitelist`
    pod_security:   of PodSecurity
    limited:        of ResourceQuota: what must be covered
    webhook_users:  as whom webhooks are asked, by the plugin that asks them
    not_ready_seconds, unreachable_seconds: of DefaultTolerationSeconds
    """

    plugins: Sequence[str] = enabled()
    event_limits: Sequence[Limit] = ()
    image_policy: PolicySettings | None = None
    node_selectors: Mapping[str, str] = field(default_factory=dict)
    tolerations: Mapping[str, list[Document]] = field(default_factory=dict)
    pod_security: PodSecuritySettings = PodSecuritySettings()
    limited: Sequence[Limited] = ()
    webhook_users: Mapping[str, Users] = field(default_factory=dict)
    not_ready_seconds: int = TOLERATION_SECONDS
    unreachable_seconds: int = TOLERATION_SECONDS
