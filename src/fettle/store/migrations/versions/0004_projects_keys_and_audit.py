"""Projects whose rows are their own, keys with roles and limits, and an audit log that only grows."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

OWNED = ("tuning_jobs", "custom_models", "files", "uploads", "batches")
ONLY_GROWS = {
    "sqlite": [
        "CREATE TRIGGER audit_no_{act} BEFORE {act} ON audit BEGIN SELECT RAISE(ABORT, 'the audit log only grows'); END"
    ],
    "postgresql": ["CREATE TRIGGER audit_no_{act} BEFORE {act} ON audit EXECUTE FUNCTION audit_only_grows()"],
}
REFUSE = (
    "CREATE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'the audit log only grows'; END $$"
)


def upgrade() -> None:
    for table in OWNED:
        op.add_column(table, _project())
        op.create_index(f"ix_{table}_project_id", table, ["project_id"])
    _number_versions_by("project_id", "name", "version", before=("name", "version"))
    _make_projects()
    _make_keys()
    _make_audit()


def downgrade() -> None:
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    for table in ("audit", "key_usage", "api_keys", "projects"):
        op.drop_table(table)
    if is_postgresql:
        op.execute("DROP FUNCTION audit_only_grows()")
    _number_versions_by("name", "version", before=("project_id", "name", "version"))
    for table in reversed(OWNED):
        op.drop_index(f"ix_{table}_project_id", table)
        op.drop_column(table, "project_id")


def _project() -> sa.Column[str]:
    return sa.Column("project_id", sa.String(), nullable=False, server_default="default")


def _number_versions_by(*columns: str, before: tuple[str, ...]) -> None:
    with op.batch_alter_table("custom_models") as table:
        table.drop_constraint(f"uq_custom_models_{'_'.join(before)}", type_="unique")
        table.create_unique_constraint(f"uq_custom_models_{'_'.join(columns)}", list(columns))


def _make_projects() -> None:
    table = op.create_table(
        "projects",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
    )
    op.bulk_insert(table, [{"id": "default", "created_at": datetime.now(UTC), "body": {}}])


def _make_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(), nullable=False),
        _project(),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("digest", name="uq_api_keys_digest"),
    )
    for column in ("project_id", "prefix"):
        op.create_index(f"ix_api_keys_{column}", "api_keys", [column])
    op.create_table(
        "key_usage",
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("num_tokens", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], name="fk_key_usage_key_id_api_keys"),
        sa.PrimaryKeyConstraint("key_id", "day", name="pk_key_usage"),
    )


def _make_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        _project(),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    op.create_index("ix_audit_project_id", "audit", ["project_id"])
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        op.execute(REFUSE)
    for statement in ONLY_GROWS[dialect]:
        for act in ("UPDATE", "DELETE"):
            op.execute(statement.format(act=act))
