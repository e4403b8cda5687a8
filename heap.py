"""The memory that a process has given back is asked for again a moment later: on Linux every large array of an update is mapped
anew, and each of its pages cleared when it is first touched. Told to keep what it has, the C library does neither."""

import ctypes
import sys

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # names of glibc's malloc.h
NEVER = 2**31 - 1


def keep_memory() -> bool:
    """From here on the process keeps the memory it once had. -> whether the C library could be told.

    Other systems, and other C libraries, go on as they do. The peak of memory stays what it was.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(MMAP_MAX, 0) and mallopt(TRIM_THRESHOLD, NEVER))
