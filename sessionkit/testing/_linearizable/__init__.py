"""Whether any order of the calls explains what many clients saw: linearizability."""
