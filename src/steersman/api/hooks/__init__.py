"""Webhooks as the server asks them, whatever it asks: where they are, and how to call them."""
