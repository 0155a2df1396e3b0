"""How long what was is kept: revisions of the store, and Events."""
