"""Load on an OpenAI-compatible server: who asks what when, how long the answers take, and what that sums up to."""
