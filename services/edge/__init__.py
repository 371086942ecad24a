"""The edge: asked by the MTA at the end of the headers; judges by the table of decisions, and publishes what it saw."""
