"""How a process gets into a container: what it keeps, how it enters a user namespace, and hooks.

Not what it finds there (container) nor what it becomes (process).
"""
