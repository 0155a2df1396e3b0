"""What the server is told by options and files, one module for each subject."""
