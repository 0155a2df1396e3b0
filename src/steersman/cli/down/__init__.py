"""`steer down` and `steer reset`: how a cluster ends."""
