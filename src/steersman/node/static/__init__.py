"""Static pods: read from a folder or a URL, run without the API, shown in it by mirrors."""
