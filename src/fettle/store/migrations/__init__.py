"""Revisions of the schema, run by `fettle.store.migrate`."""
