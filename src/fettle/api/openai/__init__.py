"""OpenAI's wire format under /v1."""
