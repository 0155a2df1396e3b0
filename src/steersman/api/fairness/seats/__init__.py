"""Seats of priority levels: who occupies them, who waits for them in which order, who lends them."""
