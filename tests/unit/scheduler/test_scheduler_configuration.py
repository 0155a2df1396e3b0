"""KubeSchedulerConfiguration: what files say, and what is refused with which words."""

from __future__ import annotations

from typing import Any

import pytest

from scheduler_cluster import Cluster, asking, node, pod
from steersman.scheduler.configuration import DEFAULT
from steersman.scheduler.configuration_file import parse
from steersman.scheduler.plugin_args import Refused
from steersman.scheduler.profile import FILTERS, WEIGHTS, Profile
from steersman.scheduler.scores.allocation import bent

HEAD = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}


def profile(**fields: Any) -> Profile:
    (found,) = parse({**HEAD, "profiles": [fields]}).profiles.values()
    return found


def with_args(plugin: str, **arguments: Any) -> Profile:
    kinds = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": f"{plugin}Args"}
    return profile(pluginConfig=[{"name": plugin, "args": {**kinds, **arguments}}])


def test_an_empty_configuration_is_the_default_one() -> None:
    found = parse({**HEAD, "leaderElection": {"leaderElect": True}, "parallelism": 16})
    assert list(found.profiles) == list(DEFAULT.profiles) == ["default-scheduler"]
    made = found.profiles["default-scheduler"]
    assert (made.filters, made.weights) == (frozenset(FILTERS), WEIGHTS)
    assert made.preempts
    assert (found.first_backoff_seconds, found.last_backoff_seconds) == (1.0, 10.0)


def test_profiles_have_names_shares_and_times() -> None:
    found = parse(
        {
            **HEAD,
            "podInitialBackoffSeconds": 2,
            "podMaxBackoffSeconds": 20,
            "percentageOfNodesToScore": 30,
            "profiles": [
                {"schedulerName": "one"},
                {"schedulerName": "two", "percentageOfNodesToScore": 70},
            ],
        }
    )
    assert {name: it.percentage for name, it in found.profiles.items()} == {"one": 30, "two": 70}
    assert (found.first_backoff_seconds, found.last_backoff_seconds) == (2.0, 20.0)


def test_plugins_are_switched_at_all_points_or_at_one() -> None:
    off = profile(plugins={"multiPoint": {"disabled": [{"name": "TaintToleration"}]}})
    assert "TaintToleration" not in off.filters
    assert "TaintToleration" not in off.weights
    half = profile(plugins={"score": {"disabled": [{"name": "TaintToleration"}]}})
    assert "TaintToleration" in half.filters
    assert "TaintToleration" not in half.weights
    only = {"disabled": [{"name": "*"}], "enabled": [{"name": "NodeResourcesFit", "weight": 5}]}
    assert profile(plugins={"score": only}).weights == {"NodeResourcesFit": 5}
    again = {"disabled": [{"name": "NodeAffinity"}], "enabled": [{"name": "NodeAffinity"}]}
    assert profile(plugins={"score": again}).weights["NodeAffinity"] == 1
    needed = [{"name": "PrioritySort"}, {"name": "DefaultBinder"}]
    few = {**only, "enabled": [*only["enabled"], *needed]}
    assert profile(plugins={"multiPoint": few}).filters == {"NodeResourcesFit"}
    assert not profile(plugins={"postFilter": {"disabled": [{"name": "*"}]}}).preempts


def test_a_filter_that_is_off_refuses_nobody() -> None:
    off = profile(plugins={"filter": {"disabled": [{"name": "TaintToleration"}]}})
    tainted = node("n", taints=[{"key": "k", "effect": "NoSchedule"}])
    assert Cluster(tainted, profile=off).fitting(pod()) == {"n"}
    assert Cluster(tainted).fitting(pod()) == set()
    spread = profile(plugins={"filter": {"disabled": [{"name": "PodTopologySpread"}]}})
    term = {"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}
    found = pod(topologySpreadConstraints=[term])
    assert Cluster(node("n"), profile=spread).fitting(found) == {"n"}
    assert Cluster(node("n")).fitting(found) == set()


def scoring(kind: str, **more: Any) -> Profile:
    return with_args("NodeResourcesFit", scoringStrategy={"type": kind, **more})


def test_the_fullest_node_is_best_by_most_allocated() -> None:
    for kind, expected in (("MostAllocated", "full"), ("LeastAllocated", "empty")):
        found = scoring(kind, resources=[{"name": "cpu", "weight": 1}])
        weights = {"NodeResourcesFit": 1}
        cluster = Cluster(node("empty"), node("full"), profile=found)
        assert cluster.profile.weights.keys() >= weights.keys()
        cluster.put(asking("2", "4Gi", name="there"), on="full")
        assert cluster.chosen(asking("1", "2Gi")) == expected


def test_a_shape_bends_the_ratio() -> None:
    shape = {"shape": [{"utilization": 0, "score": 0}, {"utilization": 100, "score": 10}]}
    found = scoring("RequestedToCapacityRatio", requestedToCapacityRatio=shape)
    assert found.strategy.shape == ((0, 0), (100, 100))
    cluster = Cluster(node("empty"), node("full"), profile=found)
    cluster.put(asking("2", "4Gi", name="there"), on="full")
    assert cluster.chosen(asking("1", "2Gi")) == "full"
    line = ((10, 0), (20, 100), (40, 50))
    assert [bent(line, at) for at in (0, 10, 15, 20, 30, 40, 90)] == [0, 0, 50, 100, 75, 50, 50]


def test_added_affinity_holds_for_every_pod() -> None:
    wanted = {"key": "pool", "operator": "In", "values": ["a"]}
    required = {"nodeSelectorTerms": [{"matchExpressions": [wanted]}]}
    rules = {"requiredDuringSchedulingIgnoredDuringExecution": required}
    found = with_args("NodeAffinity", addedAffinity=rules)
    cluster = Cluster(node("in", labels={"pool": "a"}), node("out"), profile=found)
    assert cluster.fitting(pod()) == {"in"}
    cluster = Cluster(node("out"), profile=found)
    text = "node(s) didn't match scheduler-enforced node affinity"
    assert cluster.refused(pod()) == {"out": (text,)}


def test_ignored_resources_need_not_be_free() -> None:
    wants = {"resources": {"requests": {"example.com/gpu": "1", "other.io/x": "1", "cpu": "1"}}}
    found = with_args(
        "NodeResourcesFit",
        ignoredResources=["example.com/gpu"],
        ignoredResourceGroups=["other.io"],
    )
    assert Cluster(node("n"), profile=found).fitting(pod(container=wants)) == {"n"}
    assert Cluster(node("n", room={"pods": "1"}), profile=found).refused(pod(container=wants)) == {
        "n": ("Insufficient cpu",)
    }
    assert Cluster(node("n")).fitting(pod(container=wants)) == set()


def test_other_arguments_are_taken_over() -> None:
    spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    found = with_args("PodTopologySpread", defaultConstraints=[spread], defaultingType="List")
    assert found.default_constraints[0].topology_key == "zone"
    assert not found.system_constraints
    assert with_args("PodTopologySpread").system_constraints
    assert with_args("InterPodAffinity", hardPodAffinityWeight=7).hard_affinity_weight == 7
    assert with_args("DefaultPreemption", minCandidateNodesAbsolute=5).candidates_least == 5
    assert with_args("VolumeBinding", bindTimeoutSeconds=9).bind_timeout_seconds == 9
    devices = with_args("DynamicResources", filterTimeout="5s", bindingTimeout="1m30s")
    assert devices.device_timeout_seconds == 90
    names = [{"name": "cpu", "weight": 1}, {"name": "example.com/gpu", "weight": 1}]
    balanced = with_args("NodeResourcesBalancedAllocation", resources=names).balanced
    assert balanced == ("cpu", "example.com/gpu")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "a KubeSchedulerConfiguration is expected"),
        ({}, "Object missing required field `apiVersion`"),
        (
            {**HEAD, "apiVersion": "kubescheduler.config.k8s.io/v1beta3"},
            "kubescheduler.config.k8s.io/v1beta3 KubeSchedulerConfiguration is not "
            "kubescheduler.config.k8s.io/v1 KubeSchedulerConfiguration",
        ),
        ({**HEAD, "profile": []}, "Object contains unknown field `profile`"),
        (
            {**HEAD, "extenders": [{"urlPrefix": "x"}]},
            'extenders[0].urlPrefix: Invalid value: "x": must be an http or https URL',
        ),
        (
            {**HEAD, "percentageOfNodesToScore": 101},
            "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]",
        ),
        (
            {**HEAD, "podInitialBackoffSeconds": 0},
            "podInitialBackoffSeconds: Invalid value: 0: must be greater than 0",
        ),
        (
            {**HEAD, "podInitialBackoffSeconds": 20},
            "podMaxBackoffSeconds: Invalid value: 10: must be greater than or equal to "
            "PodInitialBackoffSeconds",
        ),
        ({**HEAD, "profiles": [{}, {}]}, "profiles[0].schedulerName: Required value"),
        (
            {**HEAD, "profiles": [{"schedulerName": "a"}, {"schedulerName": "a"}]},
            "profiles[1].schedulerName: Duplicate value: profiles[0].schedulerName",
        ),
    ],
)
def test_a_file_that_cannot_be_is_refused_in_one_line(document: Any, said: str) -> None:
    with pytest.raises(Refused) as caught:
        parse(document)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("plugin", "arguments", "said"),
    [
        (
            "NodeResourcesFit",
            {"scoringStrategy": {"type": "Best"}},
            'scoringStrategy.type: Unsupported value: "Best": supported values: "LeastAllocated", '
            '"MostAllocated", "RequestedToCapacityRatio"',
        ),
        (
            "NodeResourcesFit",
            {"scoringStrategy": {"type": "RequestedToCapacityRatio"}},
            "scoringStrategy.requestedToCapacityRatio.shape: Required value: at least one point "
            "must be specified",
        ),
        (
            "InterPodAffinity",
            {"hardPodAffinityWeight": 101},
            "hardPodAffinityWeight: Invalid value: 101: not in valid range [0, 100]",
        ),
        (
            "PodTopologySpread",
            {"defaultConstraints": [{"topologyKey": "zone"}]},
            'defaultingType: Invalid value: "System": when .defaultConstraints are not empty',
        ),
        (
            "PodTopologySpread",
            {"defaultingType": "None"},
            'defaultingType: Unsupported value: "None": supported values: "System", "List"',
        ),
        (
            "NodeResourcesFit",
            {"scoringStrategy": {"resources": [{"name": "cpu", "weight": 101}]}},
            "scoringStrategy.resources[0].weight: Invalid value: 101: resource weight of cpu not "
            "in valid range (0, 100]",
        ),
        (
            "NodeResourcesBalancedAllocation",
            {"resources": [{"name": "cpu"}, {"name": "cpu"}]},
            'resources[1].name: Duplicate value: "cpu"',
        ),
        (
            "NodeResourcesBalancedAllocation",
            {"resources": [{"name": "cpu", "weight": 2}]},
            "resources[0].weight: Invalid value: 2: must be 1",
        ),
        (
            "DefaultPreemption",
            {"minCandidateNodesAbsolute": -1},
            "minCandidateNodesAbsolute: Invalid value: -1: not in valid range [0, inf)",
        ),
        (
            "DefaultPreemption",
            {"minCandidateNodesAbsolute": 0, "minCandidateNodesPercentage": 0},
            "minCandidateNodesPercentage: Invalid value: 0: cannot be zero at the same time as "
            "minCandidateNodesAbsolute",
        ),
        (
            "VolumeBinding",
            {"bindTimeoutSeconds": -1},
            "bindTimeoutSeconds: Invalid value: -1: invalid BindTimeoutSeconds, should not be a "
            "negative value",
        ),
        (
            "NodeAffinity",
            {"affinity": {}},
            "NodeAffinity: Object contains unknown field `affinity`",
        ),
        (
            "DynamicResources",
            {"bindingTimeout": "500ms"},
            'bindingTimeout: Invalid value: "500ms": must be at least 1 second',
        ),
        (
            "DynamicResources",
            {"filterTimeout": "-1s"},
            'filterTimeout: Invalid value: "-1s": must be zero or positive',
        ),
        ("ImageLocality", {}, 'no arguments are known for plugin "ImageLocality"'),
    ],
)
def test_arguments_that_cannot_be_are_refused(plugin: str, arguments: Any, said: str) -> None:
    with pytest.raises(Refused) as caught:
        profile(pluginConfig=[{"name": plugin, "args": arguments}])
    assert str(caught.value).removeprefix("profiles[0].pluginConfig[0].args.") == said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"maxSkew": 0}, "[0].maxSkew: Invalid value: 0: not in valid range (0, inf)"),
        ({"topologyKey": ""}, "[0].topologyKey: Required value: can not be empty"),
        (
            {"whenUnsatisfiable": "Never"},
            '[0].whenUnsatisfiable: Unsupported value: "Never": supported values: '
            '"DoNotSchedule", "ScheduleAnyway"',
        ),
        (
            {"labelSelector": {}},
            "[0].labelSelector: Forbidden: constraint must not define a selector, as they deduced "
            "for each pod",
        ),
        ({}, '[1]: Duplicate value: "{zone, DoNotSchedule}"'),
    ],
)
def test_default_constraints_that_cannot_be_are_refused(changed: Any, said: str) -> None:
    spread = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    constraints = [{**spread, **changed}, spread]
    with pytest.raises(Refused) as caught:
        with_args("PodTopologySpread", defaultConstraints=constraints, defaultingType="List")
    assert str(caught.value) == (f"profiles[0].pluginConfig[0].args.defaultConstraints{said}")


def test_a_profile_sorts_its_queue_and_binds_and_configures_a_plugin_once() -> None:
    everything = {"disabled": [{"name": "*"}]}
    twice = [{"name": "NodeAffinity", "args": {}}] * 2
    of = 'for profile with scheduler name "default-scheduler"'
    for fields, said in (
        ({"plugins": {"bind": everything}}, f"at least one bind plugin is needed {of}"),
        (
            {"plugins": {"queueSort": everything}},
            f"only one queue sort plugin required {of}, but got 0",
        ),
        ({"pluginConfig": twice}, 'profiles[0].pluginConfig[1]: Duplicate value: "NodeAffinity"'),
    ):
        with pytest.raises(Refused) as caught:
            profile(**fields)
        assert str(caught.value) == said


def test_an_unknown_plugin_is_named() -> None:
    with pytest.raises(Refused, match='plugin "Mine" does not exist'):
        profile(plugins={"filter": {"enabled": [{"name": "Mine"}]}})
