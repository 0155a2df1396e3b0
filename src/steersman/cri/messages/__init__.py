"""Messages of the Container Runtime Interface (CRI), by what they are about."""
