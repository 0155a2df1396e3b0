"""Nobody grants what they do not hold: the escalation check on writes of roles and bindings."""

from __future__ import annotations

from collections.abc import Hashable

from steersman.api.access.escalation import Escalation
from steersman.api.access.rbac import GROUP
from steersman.api.admission.chain import Change, Plugin
from steersman.api.call import Call
from steersman.model.kind import Document


class Granting(Plugin):
    """See the module."""

    name = "RBACEscalation"
    about = frozenset({"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"})

    def __init__(self, escalation: Escalation) -> None:
        self._escalation = escalation

    def check(self, change: Change) -> None:
        """Refuses a role or binding that grants more than its writer holds."""
        call = change.call
        if call.kind.group != GROUP or change.new is None:
            return
        plural, namespace = call.kind.plural, call.namespace
        self._escalation.check(call.user, plural, namespace, change.new, change.old)

    def rests_on(self, call: Call, meta: Document) -> Hashable | None:
        """Rests on all rules where they are written, and on nothing elsewhere."""
        return None if call.kind.group == GROUP else ()
