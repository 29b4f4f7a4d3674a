"""What a cluster starts: tune, engine, evaluate."""
