"""The log in, notices out: once for each case and rung."""
