"""The pages, plain HTML, CSS and JS; all of them are read once, so that no request ever names a path."""

from importlib.resources import files

TYPES = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}


def read_pages() -> dict[str, tuple[bytes, str]]:
    """Name -> content and type of every page, style and script."""
    found = [one for one in files(__name__).iterdir() if one.name.rpartition(".")[2] in TYPES]
    return {one.name: (one.read_bytes(), TYPES[one.name.rpartition(".")[2]]) for one in found}
