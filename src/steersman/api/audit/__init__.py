"""The audit log: what of which requests is kept, by a policy, and where it is written."""
