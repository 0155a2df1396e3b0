"""kubectl's verbs against a cluster, and what they print."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from clusters import Cluster

pytestmark = pytest.mark.system

DEPLOYMENT = "deployment/nginx-deployment"
TIMEOUT = "--timeout=120s"
AGE = r"(\d+m)?\d+s"


@pytest.fixture
def manifests(shared: Path) -> Path:
    return shared / "manifests"


def deployed(cluster: Cluster, namespace: str, manifests: Path) -> None:
    cluster.ok("apply", "-n", namespace, "-f", str(manifests / "deployment.yaml"))
    said = cluster.ok("rollout", "status", "-n", namespace, DEPLOYMENT, TIMEOUT)
    assert said.endswith('deployment "nginx-deployment" successfully rolled out\n')


def told(cluster: Cluster, namespace: str, reason: str, count: int) -> None:
    """Waits until so many events of a reason are written, which nothing else waits for."""
    chosen = ("--field-selector", f"reason={reason}", "--watch", "-o", "name")
    cluster.first(count, "get", "events", "-n", namespace, *chosen)


def test_nodes_are_listed_as_upstream_lists_them(cluster: Cluster) -> None:
    head, *rows = cluster.ok("get", "nodes").splitlines()
    assert head.split() == ["NAME", "STATUS", "ROLES", "AGE", "VERSION"]
    assert [row.split()[:3] for row in rows] == [
        [f"simulated-{number}", "Ready", "<none>"] for number in range(3)
    ]


def test_real_manifests_are_applied_and_run(
    cluster: Cluster, namespace: str, manifests: Path
) -> None:
    for name in ("deployment", "pod", "service"):
        path = str(manifests / f"{name}.yaml")
        assert cluster.ok("apply", "-n", namespace, "-f", path).endswith(" created\n")
        assert cluster.ok("apply", "-n", namespace, "-f", path).endswith(" unchanged\n")
    cluster.ok("wait", "-n", namespace, "--for=condition=Ready", "pod/nginx", TIMEOUT)
    deployed(cluster, namespace, manifests)
    head, row = cluster.ok("get", "-n", namespace, "deployments").splitlines()
    assert head.split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert row.split()[:4] == ["nginx-deployment", "3/3", "3", "3"]
    wide = cluster.ok("get", "-n", namespace, "deployments", "-o", "wide")
    assert "nginx:1.14.2" in wide
    _, row = cluster.ok("get", "-n", namespace, "services").splitlines()
    assert re.fullmatch(
        rf"my-service +ClusterIP +10\.\d+\.\d+\.\d+ +<none> +80/TCP +{AGE}", row.strip()
    )


def test_a_daemon_set_runs_on_every_node(cluster: Cluster, manifests: Path) -> None:
    path = str(manifests / "daemonset.yaml")
    assert cluster.ok("apply", "-f", path) == "daemonset.apps/fluentd-elasticsearch created\n"
    cluster.ok("rollout", "status", "-n", "kube-system", "-f", path, TIMEOUT)
    rows = cluster.ok("get", "pods", "-n", "kube-system", "-o", "name").splitlines()
    assert len(rows) == 3
    said = cluster.ok("delete", "-f", path)
    assert said.startswith('daemonset.apps "fluentd-elasticsearch" deleted')


def test_explain_names_the_values_of_a_field(cluster: Cluster) -> None:
    said = cluster.ok("explain", "pod.spec.restartPolicy")
    assert "FIELD: restartPolicy <string>\nENUM:\n    Always\n    Never\n    OnFailure\n" in said
    whole = cluster.ok("explain", "pod.spec")
    assert "restartPolicy\t<string>\n  enum: Always, Never, OnFailure\n" in whole
    mode = cluster.ok("explain", "pv.spec.volumeMode")
    assert "ENUM:\n    Block\n    Filesystem\n" in mode


def test_a_server_with_all_parts_in_its_process_counts_for_all_of_them(
    cluster: Cluster, namespace: str, manifests: Path
) -> None:
    deployed(cluster, namespace, manifests)
    text = cluster.ok("get", "--raw", "/metrics")
    for line in (
        r'workqueue_adds_total\{name="deployment"\} [1-9]\d*',
        r'scheduler_schedule_attempts_total\{profile="default-scheduler",result="scheduled"\} \d+',
        r'rest_client_requests_total\{code="201",host="localhost",method="POST"\} [1-9]\d*',
        r'apiserver_storage_size_bytes\{storage_cluster_id="etcd-0"\} [1-9]\d*',
        r'apiserver_admission_step_admission_duration_seconds_count\{operation="CREATE",'
        r'rejected="false",type="validate"\} [1-9]\d*',
    ):
        assert re.search(f"^{line}$", text, re.M), line
    names = re.findall(r"^# TYPE (\S+)", text, re.M)
    assert len(names) == len(set(names)), "each is told of once"


def test_create_refuses_what_is_there(cluster: Cluster, namespace: str, manifests: Path) -> None:
    path = str(manifests / "service.yaml")
    assert cluster.ok("create", "-n", namespace, "-f", path) == "service/my-service created\n"
    assert cluster.refused("create", "-n", namespace, "-f", path) == (
        f'Error from server (AlreadyExists): error when creating "{path}": services "my-service" '
        "already exists"
    )


def test_what_is_absent_is_said_to_be(cluster: Cluster, namespace: str) -> None:
    assert cluster.refused("get", "-n", namespace, "pod", "absent") == (
        'Error from server (NotFound): pods "absent" not found'
    )
    said = cluster.kubectl("get", "-n", namespace, "pods")
    assert (said.code, said.out, said.err) == (
        0,
        "",
        f"No resources found in {namespace} namespace.\n",
    )
    assert cluster.refused("get", "chairs") == (
        'error: the server doesn\'t have a resource type "chairs"'
    )
    assert cluster.refused("delete", "-n", namespace, "pod", "absent") == (
        'Error from server (NotFound): pods "absent" not found'
    )


def test_labels_and_annotations_come_and_go(cluster: Cluster, namespace: str) -> None:
    cluster.ok("create", "-n", namespace, "configmap", "a", "--from-literal=k=v")
    for verb in ("label", "annotate"):
        done = {"label": "labeled", "annotate": "annotated"}[verb]
        undone = {"label": "unlabeled", "annotate": "annotated"}[verb]
        where = (verb, "-n", namespace, "configmap/a")
        assert cluster.ok(*where, "x=y") == f"configmap/a {done}\n"
        assert "already has a value" in cluster.refused(*where, "x=z")
        assert cluster.ok(*where, "x=z", "--overwrite") == f"configmap/a {done}\n"
        assert cluster.ok(*where, "x-") == f"configmap/a {undone}\n"
    assert "a valid label must be an empty string or consist of" in cluster.refused(
        "label", "-n", namespace, "configmap/a", "x=-bad-"
    )


@pytest.mark.parametrize(
    ("how", "patch"),
    [
        ("strategic", '{"data": {"k": "w"}}'),
        ("merge", '{"data": {"k": "w"}}'),
        ("json", '[{"op": "replace", "path": "/data/k", "value": "w"}]'),
    ],
)
def test_every_kind_of_patch_patches(
    cluster: Cluster, namespace: str, how: str, patch: str
) -> None:
    where = ("-n", namespace, "configmap", "a")
    cluster.ok("create", *where, "--from-literal=k=v")
    words = ("patch", *where, "--type", how, "-p", patch)
    assert cluster.ok(*words) == "configmap/a patched\n"
    assert cluster.ok(*words) == "configmap/a patched (no change)\n"
    assert cluster.ok("get", *where, "-o", "jsonpath={.data.k}") == "w"


def test_an_editor_edits(cluster: Cluster, namespace: str) -> None:
    where = ("-n", namespace, "configmap", "a")
    cluster.ok("create", *where, "--from-literal=k=v")
    said = cluster.ok("edit", *where, KUBE_EDITOR="sed -i 's/k: v/k: w/'")
    assert said == "configmap/a edited\n"
    assert cluster.ok("get", *where, "-o", "jsonpath={.data.k}") == "w"
    said = cluster.kubectl("edit", *where, KUBE_EDITOR="true").err
    assert said == "Edit cancelled, no changes made.\n"


def test_server_side_apply_tells_of_conflicts(cluster: Cluster, namespace: str) -> None:
    def text(value: str) -> str:
        meta = f"metadata: {{name: a, namespace: {namespace}}}"
        return f"apiVersion: v1\nkind: ConfigMap\n{meta}\ndata: {{k: {value}}}\n"

    words = ("apply", "--server-side", "-f", "-", "--field-manager")
    assert cluster.ok(*words, "one", stdin=text("v")) == "configmap/a serverside-applied\n"
    said = cluster.refused(*words, "two", stdin=text("w"))
    assert 'Apply failed with 1 conflict: conflict with "one": .data.k' in said
    cluster.ok(*words, "two", "--force-conflicts", stdin=text("w"))
    assert "data:\n  k: w\n" in cluster.ok("get", "-n", namespace, "configmap", "a", "-o", "yaml")


def test_workloads_scale_and_roll(cluster: Cluster, namespace: str, manifests: Path) -> None:
    deployed(cluster, namespace, manifests)
    here = ("-n", namespace, DEPLOYMENT)
    assert cluster.ok("scale", *here, "--replicas=5") == "deployment.apps/nginx-deployment scaled\n"
    cluster.ok("rollout", "status", *here, TIMEOUT)
    cluster.ok("set", "image", *here, "nginx=nginx:1.16.1")
    cluster.ok("rollout", "status", *here, TIMEOUT)
    history = cluster.ok("rollout", "history", *here).splitlines()
    assert history[:2] == ["deployment.apps/nginx-deployment ", "REVISION  CHANGE-CAUSE"]
    assert [line.split()[0] for line in history[2:] if line] == ["1", "2"]
    assert cluster.ok("rollout", "undo", *here) == (
        "deployment.apps/nginx-deployment rolled back\n"
    )
    cluster.ok("rollout", "status", *here, TIMEOUT)
    image = "jsonpath={.spec.template.spec.containers[0].image}"
    assert cluster.ok("get", *here, "-o", image) == "nginx:1.14.2"
    assert cluster.ok("rollout", "restart", *here).endswith(" restarted\n")
    cluster.ok("rollout", "status", *here, TIMEOUT)
    assert cluster.ok("get", *here, "-o", "jsonpath={.status.readyReplicas}") == "5"


def test_describe_tells_the_story(cluster: Cluster, namespace: str, manifests: Path) -> None:
    deployed(cluster, namespace, manifests)
    told(cluster, namespace, "ScalingReplicaSet", 1)
    told(cluster, namespace, "Scheduled", 3)
    text = cluster.ok("describe", "-n", namespace, DEPLOYMENT)
    assert "Replicas:               3 desired | 3 updated | 3 total | 3 available | 0 unav" in text
    assert re.search(
        rf"Normal +ScalingReplicaSet +{AGE} +deployment-controller +Scaled up replica set "
        r"nginx-deployment-[a-z0-9]+ from 0 to 3",
        text,
    )
    text = cluster.ok("describe", "-n", namespace, "pods", "--show-events")
    assert "Successfully assigned" in text
    assert "QoS Class:                   BestEffort" in text
    assert "Ready              True" not in text or "PodScheduled" in text
    assert "Conditions:" in cluster.ok("describe", "node", "simulated-0")


def test_events_are_told_in_order(cluster: Cluster, namespace: str, manifests: Path) -> None:
    deployed(cluster, namespace, manifests)
    told(cluster, namespace, "ScalingReplicaSet", 1)
    told(cluster, namespace, "Scheduled", 3)
    head, *rows = cluster.ok("events", "-n", namespace).splitlines()
    assert head.split() == ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert any("ScalingReplicaSet" in row for row in rows)
    reason = ("--field-selector", "reason=Scheduled")
    rows = cluster.ok("get", "events", "-n", namespace, *reason).splitlines()[1:]
    assert len(rows) == 3


def test_explain_reads_the_published_schema(cluster: Cluster) -> None:
    assert cluster.ok("explain", "deploy.spec.replicas").splitlines()[:6] == [
        "GROUP:      apps",
        "KIND:       Deployment",
        "VERSION:    v1",
        "",
        "FIELD: replicas <integer>",
        "",
    ]
    assert "rollingUpdate\t<RollingUpdateDeployment>" in cluster.ok(
        "explain", "deploy.spec.strategy"
    )


def test_api_resources_and_versions_are_discovered(cluster: Cluster) -> None:
    rows = [row.split() for row in cluster.ok("api-resources").splitlines()]
    assert ["pods", "po", "v1", "true", "Pod"] in rows
    assert ["deployments", "deploy", "apps/v1", "true", "Deployment"] in rows
    versions = cluster.ok("api-versions").splitlines()
    assert "networking.k8s.io/v1" in versions
    assert "networking.k8s.io/v1beta1" in versions, "removed versions are served too"
    assert "policy/v1beta1" in versions
    assert "networking.k8s.io/v1alpha1" not in versions


def test_rights_are_asked_and_kept(cluster: Cluster, namespace: str) -> None:
    assert cluster.ok("auth", "can-i", "create", "pods") == "yes\n"
    jane = ("--as", "jane")
    said = cluster.kubectl("auth", "can-i", "create", "pods", "-n", namespace, *jane)
    assert (said.code, said.out) == (1, "no\n")
    role = ("create", "role", "reader", "--verb=get,list", "--resource=pods", "-n", namespace)
    cluster.ok(*role)
    cluster.ok("create", "rolebinding", "b", "--role=reader", "--user=jane", "-n", namespace)
    cluster.ok("get", "pods", "-n", namespace, *jane)
    assert cluster.refused("get", "configmaps", "-n", namespace, *jane) == (
        'Error from server (Forbidden): configmaps is forbidden: User "jane" cannot list resource '
        f'"configmaps" in API group "" in the namespace "{namespace}"'
    )


def test_a_kind_that_is_gone_is_refused(cluster: Cluster) -> None:
    policy = "apiVersion: policy/v1beta1\nkind: PodSecurityPolicy\nmetadata: {name: p}\n"
    said = cluster.refused("apply", "-f", "-", stdin=policy)
    assert 'no matches for kind "PodSecurityPolicy" in version "policy/v1beta1"' in said
    assert "ensure CRDs are installed first" in said


def test_a_manifest_of_a_removed_version_is_applied_as_it_stands(
    cluster: Cluster, namespace: str, manifests: Path
) -> None:
    here = ("-n", namespace)
    said = cluster.ok("apply", *here, "-f", str(manifests / "ingress-v1beta1.yaml"))
    assert said == "ingress.networking.k8s.io/simple-fanout-example created\n"
    hosts = "jsonpath={.spec.rules[*].http.paths[*].backend.service.name}"
    found = cluster.ok("get", *here, "ingress", "simple-fanout-example", "-o", hosts)
    assert found == "service1 service2"


BAD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: m, image: i"


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (f"{BAD}, colour: red}}]}}", 'unknown field "spec.containers[0].colour"'),
        (
            f"{BAD}}}], restartPolicy: Sometimes}}",
            'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", '
            '"OnFailure", "Never"',
        ),
        (BAD.replace("name: m", "name: M_") + "}]}", "a lowercase RFC 1123 label must consist of"),
        (BAD.replace("name: a", "name: A_") + "}]}", "a lowercase RFC 1123 subdomain must consist"),
        (f"{BAD}, ports: [{{containerPort: many}}]}}]}}", "cannot unmarshal string into Go struct"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n", "spec.containers: Required value"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {}\nspec: {}\n", "name or generateName is required"),
        ("apiVersion: v1\nmetadata: {name: a}\n", "error validating data: kind not set"),
        ("a: [", "error converting YAML to JSON"),
    ],
)
def test_bad_manifests_are_refused(
    cluster: Cluster, namespace: str, manifest: str, said: str
) -> None:
    assert said in cluster.refused("create", "-n", namespace, "-f", "-", stdin=manifest)


def test_get_shows_objects_in_every_form(cluster: Cluster, namespace: str) -> None:
    cluster.ok("create", "-n", namespace, "configmap", "a", "--from-literal=k=v")
    where = ("get", "-n", namespace, "configmap", "a")
    assert cluster.ok(*where, "-o", "name") == "configmap/a\n"
    document = json.loads(cluster.ok(*where, "-o", "json"))
    assert (document["kind"], document["data"]) == ("ConfigMap", {"k": "v"})
    assert "managedFields" not in document["metadata"]
    head, row = cluster.ok(*where, "-o", "custom-columns=N:.metadata.name,K:.data.k").splitlines()
    assert (head.split(), row.split()) == (["N", "K"], ["a", "v"])
    assert cluster.ok("get", "--raw", "/readyz") == "ok"
    raw = json.loads(cluster.ok("get", "--raw", "/version"))
    assert raw["minor"] == "37"


def test_deletion_waits_until_all_is_gone(
    cluster: Cluster, namespace: str, manifests: Path
) -> None:
    deployed(cluster, namespace, manifests)
    said = cluster.ok("delete", "-n", namespace, DEPLOYMENT, "--cascade=foreground", TIMEOUT)
    assert said.startswith('deployment.apps "nginx-deployment" deleted')
    assert cluster.ok("get", "-n", namespace, "all", "-o", "name") == ""
    inner = f"{namespace}-inner"
    cluster.ok("create", "namespace", inner)
    cluster.ok("create", "-n", inner, "configmap", "a")
    assert cluster.ok("delete", "namespace", inner, TIMEOUT) == (f'namespace "{inner}" deleted\n')
