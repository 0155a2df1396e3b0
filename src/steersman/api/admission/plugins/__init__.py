"""The smaller built-in admission plugins, and which of all run (`registry`)."""
