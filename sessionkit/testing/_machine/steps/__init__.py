"""The steps that histories are made of."""
