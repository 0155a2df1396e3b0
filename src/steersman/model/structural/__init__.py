"""Structural schemas of custom resources: checked, pruned by, defaulted by, validated by. Pure."""
