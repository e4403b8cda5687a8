"""The checksums in torch's files: torch.load notices a cut file, but reads a flipped bit silently."""

import struct
import zipfile
import zlib
from pathlib import Path

# In how many types zipfile says that a file is not what it was.
UNREADABLE = (
    *(zipfile.BadZipFile, struct.error, zlib.error, OSError, EOFError),
    *(NotImplementedError, RuntimeError, ValueError, LookupError, OverflowError),
)


def damage_of_archive(path: Path) -> str:
    """What is wrong with a file that torch.save wrote; empty: every part has its checksum."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except UNREADABLE as error:
        return f"not readable ({(str(error) or type(error).__name__).splitlines()[0]})"
    return f"the checksum of {damaged} is wrong" if damaged else ""
