"""The history: every write is a record with a revision, the present state is a view of it.

Knows keys and bytes, nothing of kinds. Embedded default SQLite; memory for tests; etcd elsewhere.
"""
