"""What the session layer must keep to over a storage."""
