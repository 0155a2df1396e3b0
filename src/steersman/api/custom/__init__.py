"""Custom resources: definitions become kinds that are served, named, established and cleaned up."""
