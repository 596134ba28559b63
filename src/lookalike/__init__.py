"""lookalike: a self-hosted image search engine."""
