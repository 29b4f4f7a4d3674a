"""One class per resource: check, record, start; and the platform that wires them."""
