"""The official Python client: typed calls, watches, dynamic client, server-side apply."""

from __future__ import annotations

import sys

from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.rest import ApiException

NAMESPACE = sys.argv[1]
PODS = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
}
WEB = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": NAMESPACE},
    "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": PODS},
}

config.load_kube_config()
api = client.ApiClient()
core, apps = client.CoreV1Api(api), client.AppsV1Api(api)
print("version", client.VersionApi(api).get_code().git_version)

core.create_namespaced_config_map(
    NAMESPACE,
    client.V1ConfigMap(metadata=client.V1ObjectMeta(name="a"), data={"key": "one"}),
)
core.patch_namespaced_config_map("a", NAMESPACE, {"data": {"other": "two"}})
found = core.read_namespaced_config_map("a", NAMESPACE)
print("data", found.data)
found.data = {"key": "three"}
core.replace_namespaced_config_map("a", NAMESPACE, found)
try:
    core.replace_namespaced_config_map("a", NAMESPACE, found)  # of the revision before
except ApiException as error:
    print("refused", error.status, error.reason)

utils.create_from_dict(api, WEB)
watching = watch.Watch()
for event in watching.stream(apps.list_namespaced_deployment, NAMESPACE, timeout_seconds=60):
    if event["object"].status.ready_replicas == 2:
        watching.stop()
print("ready", apps.read_namespaced_deployment_scale("web", NAMESPACE).status.replicas)
page = core.list_namespaced_pod(NAMESPACE, label_selector="app=web", limit=1)
print("page", len(page.items), page.metadata.remaining_item_count)

name = page.items[0].metadata.name
core.create_namespaced_pod_eviction(
    name, NAMESPACE, client.V1Eviction(metadata=client.V1ObjectMeta(name=name))
)
print("evicted")

deployments = dynamic.DynamicClient(api).resources.get(api_version="apps/v1", kind="Deployment")
applied = deployments.server_side_apply(
    body={**WEB, "spec": {"replicas": 1, "selector": WEB["spec"]["selector"], "template": PODS}},
    name="web",
    namespace=NAMESPACE,
    field_manager="tests",
    force_conflicts=True,
)
print("applied", applied.spec.replicas)

token = core.create_namespaced_service_account_token(
    "default",
    NAMESPACE,
    client.AuthenticationV1TokenRequest(
        spec=client.V1TokenRequestSpec(audiences=["https://kubernetes.default.svc.cluster.local"])
    ),
)
review = client.AuthenticationV1Api(api).create_token_review(
    client.V1TokenReview(spec=client.V1TokenReviewSpec(token=token.status.token))
)
print("token of", review.status.user.username)

core.delete_namespaced_config_map("a", NAMESPACE)
try:
    core.read_namespaced_config_map("a", NAMESPACE)
except ApiException as error:
    print("deleted", error.status)
apps.delete_namespaced_deployment("web", NAMESPACE, propagation_policy="Foreground")
for event in watch.Watch().stream(
    apps.list_namespaced_deployment, NAMESPACE, timeout_seconds=60, resource_version="0"
):
    if event["type"] == "DELETED":
        break
print(
    "pods",
    len(
        [
            it
            for it in core.list_namespaced_pod(NAMESPACE).items
            if not it.metadata.deletion_timestamp
        ]
    ),
)
