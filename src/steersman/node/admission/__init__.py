"""Which pods a node does not take that have been given to it, by whomever, and how it says so."""
