"""The scheduler: which pod goes to which node. Deciding is pure; it never starts anything."""
