"""kr8s: objects with methods, waiting on conditions, watches."""

from __future__ import annotations

import sys
import warnings

import kr8s
from kr8s.objects import ConfigMap, Deployment

warnings.simplefilter("ignore")  # of 1.37 this release of kr8s says that it does not know it yet
NAMESPACE = sys.argv[1]
PODS = {
    "metadata": {"labels": {"app": "kr"}},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
}

api = kr8s.api()
print("version", api.version()["gitVersion"])
deployment = Deployment(
    {
        "metadata": {"name": "kr", "namespace": NAMESPACE},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "kr"}}, "template": PODS},
    }
)
deployment.create()
deployment.wait("condition=Available", timeout=60)
print("pods", len(deployment.pods()))
deployment.scale(1)
deployment.annotate({"by": "kr8s"})
deployment.refresh()
print("replicas", deployment.replicas, deployment.annotations["by"])
found = ConfigMap({"metadata": {"name": "a", "namespace": NAMESPACE}, "data": {"key": "one"}})
found.create()
found.patch({"data": {"key": "two"}})
print("data", dict(ConfigMap.get("a", namespace=NAMESPACE).data))
for kind, seen in api.watch("configmaps", namespace=NAMESPACE, field_selector="metadata.name=a"):
    print("watched", kind, seen.name)
    break
found.delete()
deployment.delete()
print("exists", found.exists())
