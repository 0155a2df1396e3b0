"""One module per kernel mechanism that a container is made of.

Each is a thin layer of typed functions over the mechanism; none knows pods, shims or protocols.
"""
