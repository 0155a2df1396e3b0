"""The volumes of a pod, one file for each kind: what it needs is pure, preparing is repeatable."""
