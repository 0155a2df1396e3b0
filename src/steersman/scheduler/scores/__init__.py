"""One preference per file among nodes that fit; pure, 0 to 100 after normalizing."""
