"""Mutating and validating admission webhooks: which are asked, and what their answers do."""
