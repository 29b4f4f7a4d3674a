"""Records that cross borders: ids, messages, requests, specs, resources. No I/O, no torch."""
