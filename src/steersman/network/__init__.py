"""Addresses of pods, and the rules by which Services reach them."""
