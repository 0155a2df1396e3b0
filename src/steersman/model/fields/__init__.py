"""Sets of fields and how places in a schema merge: what field ownership and apply are made of."""
