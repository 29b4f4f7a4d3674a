"""The database, its tables and migrations, and the content-addressed artifacts."""
