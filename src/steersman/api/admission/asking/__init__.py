"""What webhooks and policies of admission have in common: what they are told of a request."""
