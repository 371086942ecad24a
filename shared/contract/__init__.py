"""The contract of the topics, for whoever reads or writes them without our code: schemas and pages, made from the types."""
