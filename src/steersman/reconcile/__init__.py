"""The queue and the loop that every controller runs in, and the events they tell people."""
