"""The chain of admission plugins: who is asked about what."""

from __future__ import annotations

from typing import Any

import pytest

from served import Served, serving
from steersman.api.access.authorization import Attributes
from steersman.api.admission.chain import Change, Operation, Plugin
from steersman.api.admission.plugins.event_rate import Limit
from steersman.api.admission.plugins.registry import OFF, AdmissionSettings, enabled
from steersman.api.call import Call
from steersman.api.form import Form
from steersman.api.present import PLAIN
from steersman.model import builtin
from steersman.model.kind import Kind
from steersman.wire.message import Request, User
from steersman.world.simulated import SimulatedWorld, simulate

LIMIT = Limit("Server", 1, 1)
SETTINGS = AdmissionSettings(
    enabled(OFF - {"AlwaysDeny", "ImagePolicyWebhook"}), event_limits=(LIMIT,)
)


def call_of(api: Served, kind: Kind, subresource: str) -> Call:
    """A write of an object of a kind."""
    version = kind.versions[0]
    place = "default" if kind.namespaced else ""
    sent = Request("PUT", "/", body=b"{}")
    asked = Attributes("update", kind.group, version.name, kind.plural, subresource, place, "x")
    table = api.assembly.cache.table(kind.resource)
    form = Form(kind, version.name)
    return Call(sent, User("jane"), asked, kind, version, form, table, PLAIN)


def changes(api: Served, kind: Kind) -> list[Change]:
    """Writes of a kind of every sort."""
    old: dict[str, Any] = {"metadata": {"name": "x"}, "spec": {"a": 1}}
    new: dict[str, Any] = {"metadata": {"name": "x"}, "spec": {"a": 2}, "status": {"a": 2}}
    states: dict[Operation, Any] = {
        "CREATE": (new, None),
        "UPDATE": (new, old),
        "DELETE": (None, old),
    }
    calls = [call_of(api, kind, it) for it in ("", *(one.name for one in kind.subresources))]
    return [Change(one, what, *state) for one in calls for what, state in states.items()]


def plugins(api: Served) -> list[Plugin]:
    found = (it for asked in api.assembly.writer._chain._about.values() for it in members(asked))
    return [*{id(it): it for it in found}.values()]


def members(asked: Any) -> list[Plugin]:
    """Who is asked."""
    return [it.__self__ for it in (*asked.admit, *asked.check)]


def test_a_plugin_has_nothing_to_say_of_kinds_that_it_is_not_about() -> None:
    async def main(world: SimulatedWorld) -> None:
        async with serving(world, admission=SETTINGS) as api:
            asked = 0
            for plugin in plugins(api):
                kinds = [it for it in builtin.all() if it.name not in (plugin.about or {it.name})]
                for change in (one for kind in kinds for one in changes(api, kind)):
                    assert plugin.admit(change) is None, (plugin.name, change.call.kind)
                    plugin.check(change)
                    asked += 1
            assert asked > 1000

    simulate(1, main)


@pytest.mark.parametrize(
    ("group", "plural", "named", "not_named"),
    [
        ("", "pods", {"LimitRanger", "Priority", "PodSecurity"}, {"CertificateSigning"}),
        ("", "configmaps", {"NodeRestriction", "NamespaceLifecycle"}, {"Priority", "PodSecurity"}),
        ("apps", "deployments", {"PodSecurity"}, {"LimitRanger", "ResourceQuota"}),
    ],
)
def test_a_kind_is_shown_to_those_that_are_about_it_in_their_order(
    group: str, plural: str, named: set[str], not_named: set[str]
) -> None:
    async def main(world: SimulatedWorld) -> None:
        async with serving(world) as api:
            kind = builtin.by_resource(group, "v1", plural)
            assert kind is not None
            asked = api.assembly.writer._chain._of(call_of(api, kind, ""))
            found = {it.name for it in members(asked)}
            assert named <= found
            assert not not_named & found
            for each in (asked.admit, asked.check):
                names = [it.__self__.name for it in each]
                order = [it for it in enabled() if it in names]
                assert [it for it in names if it in order] == order

    simulate(1, main)
