"""The house rules that can be counted: how long files and functions are, how many lie together, what they are called."""

import ast
import statistics
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("agents", "budget", "configs", "envs", "training", "worldmodel")
OUTSIDE = ("benchmarks", "examples", "tests")
PACKAGE = sorted([*ROOT.glob("*.py"), *(file for room in ROOMS for file in (ROOT / room).rglob("*.py"))])
FILES = sorted([*PACKAGE, *(file for folder in OUTSIDE for file in (ROOT / folder).rglob("*.py"))])
MOST_FILES = 14  # of one folder: what can be read at a glance
MOST_FILE_LINES = 400
MOST_LINES = 50  # of a function
MEDIAN_LINES = 6  # of the package's functions
VAGUE = {"utils", "util", "common", "helpers", "helper", "misc"}


def name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def functions(source: str) -> dict[str, int]:
    """Name with its line -> lines from `def` to the end, decorators left out; nested ones too."""
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {f"{node.name}:{node.lineno}": node.end_lineno - node.lineno + 1 for node in found}


def test_the_ruler_measures_from_def_to_the_end():
    source = "@decorated\n@twice\ndef f(\n    a,\n):\n    def g():\n        return a\n\n    return g\n"
    assert functions(source) == {"f:3": 7, "g:6": 2}


def test_no_folder_is_crowded():
    folders = Counter(name(file.parent) for file in FILES)
    assert {".", "worldmodel", "tests/budget"} <= folders.keys()
    assert {folder: number for folder, number in folders.items() if number > MOST_FILES} == {}


def test_no_file_is_long():
    lengths = {name(file): len(file.read_text().splitlines()) for file in FILES}
    assert {file: lines for file, lines in lengths.items() if lines >= MOST_FILE_LINES} == {}


def test_no_function_is_long():
    lengths = {f"{name(file)} {one}": n for file in FILES for one, n in functions(file.read_text()).items()}
    assert {function: lines for function, lines in lengths.items() if lines > MOST_LINES} == {}


def test_half_of_the_functions_are_short():
    assert statistics.median(n for file in PACKAGE for n in functions(file.read_text()).values()) <= MEDIAN_LINES


def test_every_file_says_first_what_lives_in_it():
    sources = {name(file): file.read_text() for file in FILES}
    silent = [file for file, source in sources.items() if source.strip() and not ast.get_docstring(ast.parse(source))]
    assert silent == []


def test_no_file_or_folder_is_named_after_nothing():
    assert [name(file) for file in FILES if VAGUE & {file.stem, *file.relative_to(ROOT).parent.parts}] == []
