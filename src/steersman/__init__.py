"""Steersman: a whole Kubernetes cluster in one package, from API server to container runtime.

Nothing is imported here: the runtime starts from this package with the standard library alone.
"""
