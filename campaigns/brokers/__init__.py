"""Brokers as people have them: RabbitMQ, Redis in TLS with a password, and behind Sentinel."""
