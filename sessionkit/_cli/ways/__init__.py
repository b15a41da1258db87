"""Ways in: what other libraries wrote, read as entries for the storages of sessionkit."""
