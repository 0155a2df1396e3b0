"""Static pods: read from a folder of this machine, run without the API, shown in it by mirrors."""
