"""Builds images from Containerfiles into the store; one module per thing a step needs."""
