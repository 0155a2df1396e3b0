"""The ServiceAccount `default` of every active namespace
(pkg/controller/serviceaccount/serviceaccounts_controller.go)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

from steersman.client.interface import Views
from steersman.model.errors import AlreadyExists
from steersman.model.kinds.namespace import NAMESPACE, Namespace
from steersman.model.kinds.serviceaccount import SERVICEACCOUNT
from steersman.model.ref import Ref
from steersman.reconcile.actions import Create, act
from steersman.reconcile.loop import Done, Given
from steersman.reconcile.rules import Rule, Watch, to_self

NAME = "default"


def plan(namespace: Namespace | None, present: Any | None) -> list[Create]:
    """Returns the creation of the account where an active namespace lacks it."""
    if namespace is None or namespace.status.phase != "Active" or present is not None:
        return []
    name = namespace.metadata.name
    document = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": NAME, "namespace": name},
    }
    return [Create(SERVICEACCOUNT, document, name)]


def _of_account(_views: Views, old: Any | None, new: Any | None) -> Iterable[Ref]:
    """Maps the deletion of a default account to its namespace."""
    if new is not None or old is None or old.metadata.name != NAME:
        return ()
    return (NAMESPACE.ref("", old.metadata.namespace),)


class ServiceAccountController:
    """See `reconcile.loop.Controller`."""

    name: ClassVar[str] = "service-account-controller"
    watches: ClassVar[tuple[Watch, ...]] = (
        Watch(NAMESPACE, partial(to_self, kind=NAMESPACE)),
        Watch(SERVICEACCOUNT, _of_account),
    )
    writes: ClassVar[tuple[Rule, ...]] = (Rule("", ("serviceaccounts",), ("create",)),)

    def __init__(self, given: Given) -> None:
        self._given = given
        self._namespaces = given.views.of(NAMESPACE)
        self._accounts = given.views.of(SERVICEACCOUNT)

    async def reconcile(self, ref: Ref) -> Done:
        """Makes sure that one namespace has its account."""
        present = self._accounts.get(SERVICEACCOUNT.ref(ref.name, NAME))
        try:
            await act(
                self._given.client, self._given.events, plan(self._namespaces.get(ref), present)
            )
        except AlreadyExists:  # somebody else was faster, which is as good
            return Done()
        return Done()
