"""Mutants of the core: small mistakes, drawn by chance and written down, that tests must catch.

``core.tsv`` lists them with the test that caught each first; before tests are thrown away or
rewritten, and after it, ``python -m tests.mutation run`` says which ones are no longer caught.
"""
