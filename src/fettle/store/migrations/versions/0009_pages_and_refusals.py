"""Indices by which pages are found, projects that end, and an audit log with room for more than 2**31 lines."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

LISTED = ("tuning_jobs", "custom_models", "files", "batches", "clusters", "endpoints", "api_keys")
#: Those that are listed over all projects, too.
LISTED_FOR_ALL = ("projects", "api_keys")
PLACES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("project_id", "created_at", "id"): LISTED,
    ("created_at", "id"): LISTED_FOR_ALL,
}
INDICES = [(table, columns) for columns, listed in PLACES.items() for table in listed]


def upgrade() -> None:
    op.add_column("projects", sa.Column("state", sa.String(), nullable=False, server_default="active"))
    for table, columns in INDICES:
        op.create_index(_name(table, columns), table, list(columns))
    _number_audit_by("bigint")


def downgrade() -> None:
    _number_audit_by("integer")
    for table, columns in INDICES:
        op.drop_index(_name(table, columns), table)
    op.drop_column("projects", "state")


def _name(table: str, columns: tuple[str, ...]) -> str:
    return f"ix_{table}_{'_'.join(columns)}"


def _number_audit_by(kind: str) -> None:
    """SQLite's numbers of rows have 64 bits already."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE audit ALTER COLUMN id TYPE {kind}")
        op.execute(f"ALTER SEQUENCE audit_id_seq AS {kind}")
