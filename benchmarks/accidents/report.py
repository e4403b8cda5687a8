"""The table of what was survived, in Markdown."""


def table(found: dict) -> str:
    return "\n".join(f"{key}: {value}" for key, value in found.items())
