"""First tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
WIDE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "base_models",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_base_models"),
    )
    op.create_table(
        "tuning_jobs",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("dataset_hash", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tuning_jobs"),
    )
    op.create_index("ix_tuning_jobs_state", "tuning_jobs", ["state"])
    op.create_index("ix_tuning_jobs_dataset_hash", "tuning_jobs", ["dataset_hash"])
    op.create_table(
        "custom_models",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("base", sa.String(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("artifact", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["tuning_jobs.id"], name="fk_custom_models_job_id"),
        sa.PrimaryKeyConstraint("id", name="pk_custom_models"),
        sa.UniqueConstraint("name", "version", name="uq_custom_models_name_version"),
    )
    op.create_index("ix_custom_models_base", "custom_models", ["base"])
    op.create_index("ix_custom_models_artifact", "custom_models", ["artifact"])
    op.create_table(
        "artifacts",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("size_bytes", WIDE, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_artifacts"),
    )
    op.create_table(
        "events",
        sa.Column("id", WIDE, autoincrement=True, nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
    )
    op.create_index("ix_events_subject", "events", ["subject"])


def downgrade() -> None:
    for table in ("events", "artifacts", "custom_models", "tuning_jobs", "base_models"):
        op.drop_table(table)
