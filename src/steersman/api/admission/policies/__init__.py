"""Admission policies: expressions of CEL that validate or change requests."""
