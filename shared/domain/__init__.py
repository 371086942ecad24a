"""The pure core: reading evidence, deciding, and giving verdicts. No clock, network, environment, randomness or log."""
