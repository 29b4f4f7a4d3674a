"""How many tokens each key has used on each day."""

from datetime import date

from sqlalchemy import insert, select, update

from fettle.store.database import Database
from fettle.store.tables import key_usage


class KeyUsage:
    """Sums that only rise; days are UTC's."""

    def __init__(self, database: Database) -> None:
        """The sums in `database`."""
        self._database = database

    def of(self, key_id: str, day: date) -> int:
        """The tokens that a key has used on a day."""
        query = select(key_usage.c.num_tokens).where(key_usage.c.key_id == key_id, key_usage.c.day == day)
        with self._database.read() as connection:
            return connection.execute(query).scalar() or 0

    def add(self, key_id: str, day: date, num_tokens: int) -> None:
        """Add tokens to a key's sum of a day."""
        place = (key_usage.c.key_id == key_id) & (key_usage.c.day == day)
        more = update(key_usage).where(place).values(num_tokens=key_usage.c.num_tokens + num_tokens)
        with self._database.write() as connection:
            if connection.execute(more).rowcount == 0:
                connection.execute(insert(key_usage).values(key_id=key_id, day=day, num_tokens=num_tokens))
