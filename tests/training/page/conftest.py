"""A page as a browser has it: its elements, their attributes and its text."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tandem.training.page.page import page_of


@dataclass
class Seen(HTMLParser):
    source: str
    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def __post_init__(self):
        super().__init__()
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    @property
    def sections(self) -> list[str]:
        return [attributes["id"] for tag, attributes in self.elements if tag == "section"]


@pytest.fixture(scope="session")
def see():
    """see(folder) -> the page of the run in it."""

    def seen(folder: Path) -> Seen:
        return Seen(page_of(folder))

    return seen
