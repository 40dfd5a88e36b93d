#!/usr/bin/env python3
"""Holds every card against `assize policy schema`, with the jsonschema package, and damaged cards against it too.

    pip install jsonschema==4.25.1
    assize policy schema > schema.json; python3 tests/referees/card_schema.py schema.json packs examples

A card that the loader takes must be valid. A card with one field renamed, dropped or of another type must not be.
Exit code 1 on any disagreement.
"""

import copy
import datetime
import json
import pathlib
import sys
import tomllib

from jsonschema import Draft202012Validator


def plain(value):
    """TOML as JSON: dates as the text that an editor shows."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat().replace("+00:00", "Z")
    return value


def damages(card):
    """One change each that no card may have."""
    for key in ("schema", "id", "version", "kind", "title", "severity", "owner", "remedy", "applies", "cite", "force"):
        without = copy.deepcopy(card)
        del without[key]
        yield f"without {key}", without
        renamed = copy.deepcopy(card)
        renamed[key + "s"] = renamed.pop(key)
        yield f"{key} renamed", renamed
    for path, value in (
        (("schema",), 2),
        (("id",), "House Rule"),
        (("version",), "1.0"),
        (("kind",), "assess" if card["kind"] == "enforce" else "enforce"),
        (("on",), "somewhere"),
        (("oblige",), []),
        (("oblige", 0, "do"), ["blok"]),
        (("tests", 0, "request"), {"no": {"such": 1}}),
        (("severity",), "urgent"),
        (("gates",), ["deploy"]),
        (("applies",), True),
        (("cite",), []),
        (("cite", 0, "confirmed"), True),
        (("force", 0, "from"), "tomorrow"),
        (("force", 0, "pass_when"), "true"),
        (("needs", 0, "fact"), "no.such.fact"),
        (("needs", 0, "min_n"), -1),
        (("tests", 0, "expect"), "passed"),
        (("tests", 0, "system"), {"jurisdiction": ["EU"]}),
        (("tests", 0, "given"), {"no": {"such": {"value": 1}}}),
        (("import",), ["base.toml"]),
    ):
        changed = copy.deepcopy(card)
        at = changed
        try:
            for step in path[:-1]:
                at = at[step]
        except (KeyError, IndexError):
            continue
        at[path[-1]] = value
        yield ".".join(map(str, path)), changed


def main():
    schema = json.loads(pathlib.Path(sys.argv[1]).read_text())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    files = [path for folder in sys.argv[2:] for path in sorted(pathlib.Path(folder).rglob("*.toml"))]
    cards = [path for path in files if path.name not in ("pack.toml", "assize.toml", "fleet.toml") and not {"dossier", "scenario", "scenarios"} & set(path.parts)]
    n_damaged = n_wrong = 0
    for path in cards:
        card = plain(tomllib.loads(path.read_text()))
        for error in list(validator.iter_errors(card))[:3]:
            n_wrong += 1
            print(f"{path}: {'.'.join(map(str, error.absolute_path))}: {error.message[:200]}")
        for what, damaged in damages(card):
            n_damaged += 1
            if validator.is_valid(damaged):
                n_wrong += 1
                print(f"{path}: {what}: valid, and should not be")
    print(f"{len(cards)} cards valid and {n_damaged} damaged ones refused, {n_wrong} disagreements")
    return 1 if n_wrong or not cards else 0


if __name__ == "__main__":
    sys.exit(main())
