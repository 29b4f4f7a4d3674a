"""The HTTP server: dialects that only translate, authentication, errors, streaming."""
