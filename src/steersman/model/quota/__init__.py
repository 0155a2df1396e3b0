"""What quotas count: how much each object uses, which objects a quota is about, and the sums."""
