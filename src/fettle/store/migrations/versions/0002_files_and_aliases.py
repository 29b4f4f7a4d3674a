"""Files, and other names for custom models."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "files",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("artifact", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_files"),
    )
    op.create_index("ix_files_purpose", "files", ["purpose"])
    op.create_index("ix_files_artifact", "files", ["artifact"])
    op.add_column("custom_models", sa.Column("alias", sa.String(), nullable=True))
    op.create_index("ix_custom_models_alias", "custom_models", ["alias"], unique=True)


def downgrade() -> None:
    op.drop_index("ix_custom_models_alias", "custom_models")
    op.drop_column("custom_models", "alias")
    op.drop_table("files")
