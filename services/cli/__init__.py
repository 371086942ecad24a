"""`patchgate`: the one command, a thin shell over the rest."""
