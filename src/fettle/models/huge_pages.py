"""Memory that every step reads from end to end, in pages of 2 MB instead of 4 kB, where the system has such.

With small ones, a processor spends a good part of a product on finding out where the next page is.
"""

import ctypes
import mmap
import sys

_SIZE = 1 << 21
#: Linux 6.1's `MADV_COLLAPSE`, which Python has no name for yet: now, and not when the system finds the time.
_COLLAPSE = 25


def put_in_huge_pages(address: int, num_bytes: int) -> None:
    """Hold what is there in huge pages, with what lies beside it at both ends; all content stays.

    It changes nothing where the system has none, so nobody needs to know whether it did.
    """
    start, end = address // _SIZE * _SIZE, -(-(address + num_bytes) // _SIZE) * _SIZE
    if sys.platform == "linux" and num_bytes >= _SIZE // 2:
        advise = ctypes.CDLL(None).madvise
        for page in range(start, end, _SIZE):
            for advice in (mmap.MADV_HUGEPAGE, _COLLAPSE):
                advise(ctypes.c_void_p(page), ctypes.c_size_t(_SIZE), advice)
