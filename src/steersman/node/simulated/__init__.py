"""Nodes without a machine: they lease, accept pods, and say that these run, fail and end."""
