"""Who asks, and may they: authentication, authorizers, tokens, reviews, limits on nodes."""
