"""The one door to time, chance, identity and tasks; everything else gets a `World` handed in."""
