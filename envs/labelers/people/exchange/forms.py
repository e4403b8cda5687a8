"""The forms of an export: JSON lines, CSV, and Label Studio's JSON."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..schema import QueueRefused
from .label_studio import strangers_of_tasks, tasks_of
from .records import COLUMNS, Stranger

AS_JSON = ("clips", "verdict", "moments")  # columns of CSV that hold JSON
NEEDED = ("key", "rater", "verdict")


def to_jsonl(records: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def to_csv(records: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for record in records:
        plain = {name: json.dumps(record[name]) for name in AS_JSON if record[name] is not None}
        writer.writerow({**record, **plain})
    return text.getvalue()


def to_label_studio(records: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(tasks_of(records), indent=1)


FORMS = {"jsonl": to_jsonl, "csv": to_csv, "label_studio": to_label_studio}


def read_strangers(text: str) -> list[Stranger]:
    """The answers in an export of ours, or of Label Studio; which it is shows in the text. QueueRefused with the line."""
    begin = text.lstrip("\ufeff \t\r\n")[:1]
    if not begin:
        raise QueueRefused("invalid", "is empty")
    if begin == "[":
        return strangers_of_tasks(text)
    return list(_from_jsonl(text) if begin == "{" else _from_csv(text))


def _from_jsonl(text: str) -> Iterator[Stranger]:
    for number, line in enumerate(text.lstrip("\ufeff").split("\n"), 1):
        if line.strip():
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise QueueRefused("invalid", f"line {number}: is no JSON ({error})") from error
            yield from _stranger(f"line {number}", record)


def _from_csv(text: str) -> Iterator[Stranger]:
    reader = csv.DictReader(io.StringIO(text.lstrip("\ufeff")), strict=True)
    if missing := [name for name in NEEDED if name not in (reader.fieldnames or ())]:
        raise QueueRefused("invalid", f"line 1: has no column {missing[0]}; neither CSV of ours nor JSON")
    try:
        for row in reader:
            place = f"line {reader.line_num}"
            if row["verdict"]:
                yield from _stranger(
                    place, row | {"verdict": _cell(row["verdict"]), "seconds": _cell(row.get("seconds") or "0")}
                )
    except csv.Error as error:
        raise QueueRefused("invalid", f"line {reader.reader.line_num}: {error}") from error


def _cell(text: str) -> Any:
    """JSON where it is JSON: left may stand there without quotes."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _stranger(place: str, record: Any) -> Iterator[Stranger]:
    """Nothing for a question without an answer."""
    if not isinstance(record, dict):
        raise QueueRefused("invalid", f"{place}: must be a JSON object, got {type(record).__name__}")
    if missing := [name for name in NEEDED if name not in record]:
        raise QueueRefused("invalid", f"{place}: {missing[0]} is missing")
    if record["verdict"] is not None:
        rest = {name: record[name] for name in ("seconds", "uuid") if record.get(name) not in (None, "")}
        yield Stranger(place, record["key"], record["rater"], record["verdict"], **rest)
