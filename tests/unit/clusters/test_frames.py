"""What no frame can carry is the client's fault, not a bug."""

import pytest

from fettle.clusters.frames import Generate, Unpacker, packed, to_worker
from fettle.errors import InvalidInput


def test_a_number_that_no_machine_holds_is_refused() -> None:
    for number in (2**64, 10**40, -(2**63) - 1):
        with pytest.raises(InvalidInput, match="64 bits"):
            packed(Generate("req_1", {"token_ids": [number]}))


def test_the_greatest_number_of_a_frame_arrives_as_it_was() -> None:
    (body,) = Unpacker().feed(packed(Generate("req_1", {"token_ids": [2**64 - 1]})))
    assert to_worker.decode(body).fields == {"token_ids": [2**64 - 1]}
