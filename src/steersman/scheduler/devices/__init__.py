"""Devices for claims (KEP-4381): what there is, what is taken, who gets what, and writing it."""
