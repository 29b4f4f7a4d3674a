"""Ids as OpenAI's clients know them: `ftjob-5f0e...` for `job_5f0e...`."""

PREFIXES = {"file": "file-", "job": "ftjob-", "event": "ftevent-", "checkpoint": "ftckpt_"}


def shown(own_id: str) -> str:
    """The id that clients are told."""
    kind, _, rest = own_id.partition("_")
    return f"{PREFIXES[kind]}{rest}"


def own(kind: str, shown_id: str) -> str:
    """The id here; one that no client was told stays as it is, and is not found."""
    prefix = PREFIXES[kind]
    return f"{kind}_{shown_id.removeprefix(prefix)}" if shown_id.startswith(prefix) else shown_id
