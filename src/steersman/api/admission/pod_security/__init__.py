"""The Pod Security Standards: what pods may ask for, in three levels (KEP-2579)."""
