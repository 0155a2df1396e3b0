"""Encryption at rest: which resources are sealed before they are stored, by which keys."""
