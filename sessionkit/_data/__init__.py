"""Between Python types and the plain JSON values that storages keep."""
