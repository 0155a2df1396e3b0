"""What the scheduler counts of its own work."""
