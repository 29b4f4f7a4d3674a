"""Dedicated AI clusters, their endpoints, labels of version sets, and answers kept for repeated requests."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
IS_LIVE = sa.text("state != 'deleted'")


def upgrade() -> None:
    _make("clusters", _text("name"), _text("type"), _text("state"), _moment(), _body())
    _make("endpoints", _text("name"), _text("cluster_id"), _text("state"), _moment(), _body())
    for table in ("clusters", "endpoints"):
        op.create_index(f"ix_{table}_state", table, ["state"])
        op.create_index(
            f"uq_{table}_live_name",
            table,
            ["project_id", "name"],
            unique=True,
            sqlite_where=IS_LIVE,
            postgresql_where=IS_LIVE,
        )
    op.create_index("ix_endpoints_cluster_id", "endpoints", ["cluster_id"])
    number = sa.Column("version", sa.Integer(), nullable=False)
    _make("version_labels", _text("name"), _text("label"), number, _only_one("version_labels", "name", "label"))
    _make("kept_answers", _text("key"), _moment(), _body(), _only_one("kept_answers", "key"))
    op.create_index("ix_kept_answers_created_at", "kept_answers", ["created_at"])


def downgrade() -> None:
    for table in ("kept_answers", "version_labels", "endpoints", "clusters"):
        op.drop_table(table)


def _make(table: str, *parts: sa.schema.SchemaItem) -> None:
    op.create_table(
        table,
        _text("id"),
        sa.Column("project_id", sa.String(), nullable=False, server_default="default"),
        *parts,
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
    )
    op.create_index(f"ix_{table}_project_id", table, ["project_id"])


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=False)


def _moment() -> sa.Column[object]:
    return sa.Column("created_at", sa.DateTime(timezone=True), nullable=False)


def _body() -> sa.Column[object]:
    return sa.Column("body", sa.JSON(), nullable=False)


def _only_one(table: str, *columns: str) -> sa.UniqueConstraint:
    names = ("project_id", *columns)
    return sa.UniqueConstraint(*names, name=f"uq_{table}_{'_'.join(names)}")
