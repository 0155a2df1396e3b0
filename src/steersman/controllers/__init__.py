"""The control loops, one file each: a pure plan and a thin shell; they meet only in the API."""
