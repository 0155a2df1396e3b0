"""Pressure on the node: signals, thresholds, who is evicted, which images go (kubelet/eviction)."""
