"""A year of a whole population through real Kafka and a real enforcer, beside a fold that knows neither."""
