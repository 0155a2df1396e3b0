"""lightkube: typed and generic resources, apply, patches, watches."""

from __future__ import annotations

import sys

from lightkube import ApiError, Client
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap
from lightkube.types import PatchType

NAMESPACE = sys.argv[1]
Widget = create_namespaced_resource("example.com", "v1", "Widget", "widgets")

client = Client(namespace=NAMESPACE, field_manager="tests")
meta = ObjectMeta(name="a", namespace=NAMESPACE)
client.create(ConfigMap(metadata=meta, data={"key": "one"}))
client.apply(ConfigMap(metadata=meta, data={"key": "two"}), force=True)
patched = client.patch(
    ConfigMap, "a", [{"op": "add", "path": "/data/x", "value": "y"}], patch_type=PatchType.JSON
)
print("data", patched.data)
for kind, seen in client.watch(ConfigMap, fields={"metadata.name": "a"}):
    print("watched", kind, seen.metadata.name)
    break
try:
    client.create(ConfigMap(metadata=meta))
except ApiError as error:
    print("refused", error.status.code, error.status.reason)
made = client.create(Widget(metadata=ObjectMeta(name="w"), spec={"size": 3}))
print("widget", made.spec["size"], [it.metadata.name for it in client.list(Widget)])
client.delete(Widget, "w")
client.delete(ConfigMap, "a")
print("left", [it.metadata.name for it in client.list(Widget)])
