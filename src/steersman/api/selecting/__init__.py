"""What of a table a list, a watch or a deletion is about, and how it is found."""
