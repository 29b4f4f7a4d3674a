"""Memory in huge pages holds what it held."""

import re
from pathlib import Path

import torch

from fettle.models.huge_pages import put_in_huge_pages

HUGE = 1 << 21
HAS_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage").exists()


def test_memory_is_asked_for_in_huge_pages_and_keeps_its_content():
    numbers = torch.arange(4 * HUGE // 8)
    put_in_huge_pages(numbers.data_ptr(), numbers.nbytes)
    assert torch.equal(numbers, torch.arange(4 * HUGE // 8))
    assert is_asked_for(numbers.data_ptr() + 2 * HUGE) == HAS_HUGE_PAGES


def test_what_would_fill_less_than_half_a_page_stays_where_it_is():
    numbers = torch.arange(16)
    put_in_huge_pages(numbers.data_ptr(), numbers.nbytes)
    assert torch.equal(numbers, torch.arange(16))


def test_what_the_system_refuses_is_not_an_error():
    put_in_huge_pages(0, 4 * HUGE)


def is_asked_for(address: int) -> bool:
    """Whether the mapping of an address has the flag `hg` (proc_pid_smaps(5))."""
    maps = Path("/proc/self/smaps")
    if not maps.exists():
        return False
    for mapping in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", maps.read_text()):
        start, end = (int(part, 16) for part in mapping.split(" ", 1)[0].split("-"))
        if start <= address < end:
            return "hg" in re.findall(r"\w+", mapping.split("VmFlags:")[1])
    raise AssertionError(f"nothing is at {address:x}")
