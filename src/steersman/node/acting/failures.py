"""How a failure of the node is told of a pod: the reason and the message of its event, pure."""

from __future__ import annotations

from typing import Final

from steersman.node.claims.interface import CannotPrepare
from steersman.node.plan import Action, KillContainer, PrepareVolumes, StartSandbox, TearDown

_REASONS: Final = {
    StartSandbox: ("FailedCreatePodSandBox", "Failed to create pod sandbox: "),
    PrepareVolumes: ("FailedMount", ""),
    KillContainer: ("FailedKillPod", "error killing pod: "),
    TearDown: ("FailedKillPod", "error killing pod: "),
}
_OTHER: Final = ("FailedSync", "error syncing pod: ")
_CLAIMS: Final = ("FailedPrepareDynamicResources", "Failed to prepare dynamic resources: ")


def describe_failure(action: Action, error: Exception) -> tuple[str, str]:
    """Returns reason and message of what was tried and failed."""
    reason, start = _REASONS.get(type(action), _OTHER)
    if isinstance(action, StartSandbox) and isinstance(error, CannotPrepare):
        reason, start = _CLAIMS
    return reason, f"{start}{str(error) or type(error).__name__}"
