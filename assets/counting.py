"""Numbers of things in words."""

from __future__ import annotations


def how_many(number: int, noun: str, plural: str = "") -> str:
    """ "1 picture" or "2 pictures"; the plural is the noun with an s where none is given."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
