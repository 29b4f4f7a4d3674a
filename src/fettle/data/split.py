"""Which rows are held out: by seed and row number alone, so the same ones on every machine."""

from hashlib import blake2b


def is_held_out(row: int, *, fraction: float, seed: int) -> bool:
    """Whether a row (numbered from 0) belongs to the validation part of a seeded split."""
    digest = blake2b(f"{seed}:{row}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) < fraction * 2**64
