"""The Kafka side: topics, records as bytes, clients, the embedded broker."""
