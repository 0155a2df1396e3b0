"""Who may have which image: pull secrets, the node's own logins, and by whom an image was had."""
