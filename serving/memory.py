"""Memory of the process: what a batch has freed, the next batch takes again."""

import ctypes
import sys


# Parameters of glibc's `mallopt`, and the largest accepted threshold.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
LARGEST_THRESHOLD = 32 * 2**20
KEPT_BYTES = 2**30


def keep_freed_memory() -> None:
    """Tells the allocator not to give memory back to the system after every large tensor.

    Each batch needs as much as the last one, and memory of the system comes page by page, which takes time in every
    batch. On other systems than Linux with glibc nothing changes.
    """
    if sys.platform != "linux":
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "gnu_get_libc_version"):
        library.mallopt(MMAP_THRESHOLD, LARGEST_THRESHOLD)
        library.mallopt(TRIM_THRESHOLD, KEPT_BYTES)
