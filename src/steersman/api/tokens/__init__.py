"""Who bears a token: the union of those who know tokens, and those beside the server itself."""
