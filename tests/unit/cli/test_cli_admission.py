"""The options that turn admission plugins on and off, and the file that configures them."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from steersman.api.admission.plugins.event_rate import Limit
from steersman.api.admission.plugins.registry import OFF, ORDER, enabled
from steersman.api.admission.quota_limited import Limited
from steersman.cli.apiserver import admission
from steersman.cli.failure import Failure

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "http://localhost:1234/images"}}]
users: [{name: u, user: {}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
"""
FILE = """
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: EventRateLimit
  path: limits.yaml
- name: PodNodeSelector
  configuration:
    podNodeSelectorPluginConfig:
      clusterDefaultNodeSelector: pool=all
- name: PodTolerationRestriction
  configuration:
    apiVersion: podtolerationrestriction.admission.k8s.io/v1alpha1
    kind: Configuration
    default: [{key: a, operator: Exists}]
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    exemptions: {namespaces: [kube-system]}
- name: ResourceQuota
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: ResourceQuotaConfiguration
    limitedResources: [{resource: pods, matchContains: [cpu]}]
"""
LIMITS = """
apiVersion: eventratelimit.admission.k8s.io/v1alpha1
kind: Configuration
limits: [{type: Server, qps: 5, burst: 10}]
"""


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    admission.add_options(parser)
    return parser.parse_args(words)


def why(*words: str) -> str:
    with pytest.raises(Failure) as raised:
        admission.check(parsed(*words))
    return str(raised.value)


def test_without_options_upstreams_plugins_run_and_the_nodes_own() -> None:
    found = admission.settings(parsed())
    assert found.plugins == enabled()
    assert "NodeRestriction" in found.plugins
    assert not set(found.plugins) & (OFF)
    assert len(found.plugins) == len(ORDER) - len(OFF)
    assert admission.words(parsed()) == []


def test_plugins_are_turned_on_and_off_in_upstreams_order() -> None:
    given = parsed(
        "--enable-admission-plugins=AlwaysPullImages,NamespaceExists",
        "--enable-admission-plugins=AlwaysDeny",
        "--disable-admission-plugins=ServiceAccount,CertificateApproval",
    )
    found = admission.settings(given).plugins
    assert set(found) == set(enabled()) - {"ServiceAccount", "CertificateApproval"} | {
        "AlwaysPullImages",
        "NamespaceExists",
        "AlwaysDeny",
    }
    assert list(found) == sorted(found, key=ORDER.index)
    assert found[-1] == "AlwaysDeny"
    assert admission.settings(parsed(*admission.words(given))).plugins == found


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["--enable-admission-plugins=Magic"],
            'enable-admission-plugins plugin "Magic" is unknown',
        ),
        (
            ["--disable-admission-plugins=Magic"],
            'disable-admission-plugins plugin "Magic" is unknown',
        ),
        (
            ["--enable-admission-plugins=Priority,AlwaysDeny",
             "--disable-admission-plugins=AlwaysDeny,Priority"],
            "[AlwaysDeny Priority] in enable-admission-plugins and disable-admission-plugins "
            "overlapped",
        ),
        (
            ["--enable-admission-plugins=PodGroupWorkloadExists"],
            'enable-admission-plugins plugin "PodGroupWorkloadExists" is unknown',
        ),
        (
            ["--enable-admission-plugins=EventRateLimit"],
            "failed to initialize admission plugin 'EventRateLimit': limits: Invalid value: []: "
            "must not be empty",
        ),
        (
            ["--enable-admission-plugins=ImagePolicyWebhook"],
            "failed to initialize admission plugin 'ImagePolicyWebhook': "
            "imagePolicy.kubeConfigFile: Required value",
        ),
        (
            ["--admission-control-config-file=/nowhere/f"],
            'unable to read admission control configuration from "/nowhere/f" [No such file or '
            "directory]",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_upstreams_words(words: list[str], expected: str) -> None:
    assert why(*words) == expected


def test_a_file_configures_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text(FILE)
    Path("limits.yaml").write_text(LIMITS)
    given = parsed(
        "--enable-admission-plugins=EventRateLimit", "--admission-control-config-file=file"
    )
    found = admission.settings(given)
    assert found.event_limits == (Limit("Server", 5, 10),)
    assert found.node_selectors == {"clusterDefaultNodeSelector": "pool=all"}
    assert found.tolerations == {"default": [{"key": "a", "operator": "Exists"}], "whitelist": []}
    assert found.pod_security.namespaces == {"kube-system"}
    assert found.limited == (Limited("pods", match_contains=("cpu",)),)
    assert f"--admission-control-config-file={tmp_path / 'file'}" in admission.words(given)


def test_a_file_says_as_whom_webhooks_are_asked(tmp_path: Path) -> None:
    file, users = tmp_path / "file", tmp_path / "users"
    users.write_text("users: [{name: '*', user: {token: abc}}]")
    file.write_text(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n"
        "- name: ValidatingAdmissionWebhook\n  configuration:\n"
        "    apiVersion: apiserver.config.k8s.io/v1\n    kind: WebhookAdmissionConfiguration\n"
        f"    kubeConfigFile: {users}\n"
    )
    option = f"--admission-control-config-file={file}"
    found = admission.settings(parsed(option)).webhook_users
    assert list(found) == ["ValidatingAdmissionWebhook"]
    token = found["ValidatingAdmissionWebhook"].named["*"].token
    assert token is not None and token() == "abc"
    users.unlink()
    assert why(option) == (
        "failed to initialize admission plugin 'ValidatingAdmissionWebhook': "
        f"{users} cannot be read: No such file or directory"
    )


def test_how_long_pods_stay_on_a_node_that_is_away_can_be_said() -> None:
    found = admission.settings(parsed())
    assert (found.not_ready_seconds, found.unreachable_seconds) == (300, 300)
    words = [f"--default-{state}-toleration-seconds" for state in ("not-ready", "unreachable")]
    words = [f"{words[0]}=0", f"{words[1]}=9"]
    assert admission.words(parsed(*words)) == words
    found = admission.settings(parsed(*words))
    assert (found.not_ready_seconds, found.unreachable_seconds) == (0, 9)


def test_two_plugins_have_files_of_their_own_as_they_always_had(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("podNodeSelectorPluginConfig: {default: a=b}")
    found = admission.settings(parsed(f"--admission-control-config-file={file}"))
    assert found.node_selectors == {"default": "a=b"}
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(KUBECONFIG)
    file.write_text(f"imagePolicy: {{kubeConfigFile: {kubeconfig}, defaultAllow: true}}")
    words = ["--enable-admission-plugins=ImagePolicyWebhook"]
    found = admission.settings(parsed(*words, f"--admission-control-config-file={file}"))
    assert found.image_policy is not None
    assert found.image_policy.allows
    assert found.image_policy.target.prefix == "/images"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[]", "it holds no map"),
        ("kind: Pod", "it is no AdmissionConfiguration of apiserver.config.k8s.io/v1"),
        (
            FILE.replace("name: PodNodeSelector", "name: ServiceAccount"),
            "plugin 'ServiceAccount' takes no configuration",
        ),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "file"
    file.write_text(text)
    (tmp_path / "limits.yaml").write_text(LIMITS)
    option = f"--admission-control-config-file={file}"
    assert why(option) == f"--admission-control-config-file {file}: {expected}"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("pool=all", "pool", "'PodNodeSelector': invalid selector: pool"),
        ("podtolerationrestriction.", "", "'PodTolerationRestriction': it is no Configuration of "
         "podtolerationrestriction.admission.k8s.io/v1alpha1"),
        ("default: [{key: a, operator: Exists}]", "default: 3",
         "'PodTolerationRestriction': default, whitelist: must be lists of tolerations"),
    ],
)  # fmt: skip
def test_a_plugins_own_configuration_is_checked(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    file = tmp_path / "file"
    file.write_text(FILE.replace(old, new))
    (tmp_path / "limits.yaml").write_text(LIMITS)
    said = why(f"--admission-control-config-file={file}")
    assert said == f"failed to initialize admission plugin {expected}"


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("{type: Colour, qps: 1, burst: 1}", 'limits[0].type: Unsupported value: "Colour": '
         'supported values: "Namespace", "Server", "SourceAndObject", "User"'),
        ("{type: Server, qps: 0, burst: 1}", "limits[0].qps: Invalid value: 0: must be positive"),
        ("{type: Server, qps: 1, burst: -1}",
         "limits[0].burst: Invalid value: -1: must be positive"),
        ("{type: User, qps: 1, burst: 1, cacheSize: -1}",
         "limits[0].cacheSize: Invalid value: -1: must not be negative"),
    ],
)  # fmt: skip
def test_limits_of_events_are_checked(tmp_path: Path, limit: str, expected: str) -> None:
    file = tmp_path / "file"
    file.write_text(FILE)
    (tmp_path / "limits.yaml").write_text(
        LIMITS.replace("{type: Server, qps: 5, burst: 10}", limit)
    )
    words = ["--enable-admission-plugins=EventRateLimit", f"--admission-control-config-file={file}"]
    assert why(*words) == f"failed to initialize admission plugin 'EventRateLimit': {expected}"
