"""Mutants of the law: small changes of its code, each of which a test must notice."""
