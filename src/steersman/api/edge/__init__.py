"""What holds for every request from outside, whatever it asks: its time, and headers of answers."""
