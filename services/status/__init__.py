"""Status: the report, the explanation and the health of everything, from the topics alone; pages and an HTTP API."""
