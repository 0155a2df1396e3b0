"""Admission: what a write must pass between its decoding and its validation, a file per plugin."""
