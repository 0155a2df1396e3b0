"""The container runtime: namespaces, mounts, cgroups, capabilities and seccomp in readable Python.

It runs as processes of its own, on the standard library alone: a warm parent forks one shim per
pod, and the shim is the parent of the pod's containers. Nothing here knows about Kubernetes.
"""
