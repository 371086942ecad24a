"""SMTP without I/O: the milter protocol and the replies a client gets. Standard library only."""
