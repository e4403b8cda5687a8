"""Results of an experiment kept in a JSON file: a finished cell is not made twice."""

import json
import os
from collections.abc import Callable
from pathlib import Path

from cells import MACHINE, commit


class Kept:
    """Results in a JSON file, each under its name, with the settings and by the commit that it was made with."""

    def __init__(self, file: Path, settings: str):
        self.file, self.settings = file, settings
        self.cells = json.loads(file.read_text())["cells"] if file.exists() else {}

    def has(self, name: str) -> bool:
        return self.cells.get(name, {}).get("settings") == self.settings

    def cell(self, name: str, make: Callable[[], dict]) -> dict:
        """What was kept under these settings, else what `make` gives now."""
        if not self.has(name):
            self.cells[name] = {"settings": self.settings, "commit": commit(), **make()}
            temporary = self.file.with_suffix(".tmp")
            temporary.write_text(json.dumps({"machine": MACHINE, "cells": self.cells}) + "\n")
            os.replace(temporary, self.file)
            print(f"{name} done", flush=True)
        return self.cells[name]


def rounded(value: float) -> float:
    return float(f"{value:.5g}")
