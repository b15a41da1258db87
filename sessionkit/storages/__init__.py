"""The storages of the core, one module each."""
