"""`steer clock`, and what other commands have to do with virtual time."""
