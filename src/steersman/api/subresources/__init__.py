"""Subresources with code of their own; the others are paths that update and patch may write."""
