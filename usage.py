"""Command lines: one that cannot be run is told in one line."""

import argparse

from .errors import UserError


class UsageError(UserError):
    """A command line that cannot be run; the message is one line."""


class Parser(argparse.ArgumentParser):
    """argparse whose complaint is one line, without the usage before it."""

    def error(self, message: str):
        raise UsageError(f"{message} (see {self.prog} --help)")
