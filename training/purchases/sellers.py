"""Calls to those who sell: environments and labelers, who may raise, or hang while somebody wants the run to end."""

from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import UserError
from ...outside import told
from ..stop import Stop


class SellerFailed(UserError):
    """An environment or a labeler failed. Nothing of what it was asked for was received; everything before it is whole."""


@contextmanager
def calling(stop: Stop, what: str) -> Iterator[None]:
    """Whatever fails inside is a SellerFailed that names `what`, and the file and line of a person's own code."""
    try:
        with stop.outside():
            yield
    except UserError as error:
        raise SellerFailed(str(error)) from error
    except Exception as error:  # of any kind: it is somebody else's code
        raise SellerFailed(f"{what}: {told(error)}") from error
