"""Seats of priority levels: who has them, who waits for them in which order, who lends them."""
