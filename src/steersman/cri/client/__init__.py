"""The other side of the CRI: a node's engine that is a runtime of others, asked over its socket.

It stands behind `node.engine.interface`, as our own engine does, and knows nothing of it.
"""
