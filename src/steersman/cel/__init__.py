"""The Common Expression Language, as Kubernetes extends it: text to a checked, bounded function.

No I/O and nothing of the API. Follows cel-spec's language definition and the libraries of
k8s.io/apiserver/pkg/cel.
"""
