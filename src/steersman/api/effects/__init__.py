"""What a write of one kind brings about in the same revision, a file per kind."""
