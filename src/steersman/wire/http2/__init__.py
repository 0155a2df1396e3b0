"""What of HTTP/2 one unary call needs (docs/adr/0022)."""
