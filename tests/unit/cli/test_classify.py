"""What `fettle classify` and `fettle eval` say of classes."""

import struct

from fettle.cli.classify import ranked
from fettle.cli.evaluate import print_confusion


def test_labels_come_with_the_likeliest_first():
    found = ranked(struct.pack("<3f", 0.25, 0.625, 0.125), ("a", "b", "c"))
    assert list(found.items()) == [("b", 0.625), ("a", 0.25), ("c", 0.125)]


def test_the_confusion_of_a_few_labels_is_a_table_and_of_many_is_not_printed(capsys):
    print_confusion({"ham": {"ham": 7}, "spam": {"ham": 2, "spam": 11}})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["expected", "ham", "spam"] in lines
    assert ["ham", "7", "0"] in lines
    assert ["spam", "2", "11"] in lines
    print_confusion({str(label): {str(label): 1} for label in range(13)})
    assert capsys.readouterr().out == ""
