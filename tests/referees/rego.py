#!/usr/bin/env python3
"""Holds our exported Rego against rego-cpp: the same four-valued answers and the same verdicts from the same facts.

    pip install regopy==1.5.2
    cargo run --release -p assize-policy --features rego --example rego_cases -- 400 | python3 tests/referees/rego.py crates/policy/src/rego/lib.rego

Each line has modules, a query, inputs as JSON texts, and our answers, which the regorus interpreter has already been held
against by the program that writes the lines. Exit code 1 on any disagreement.
"""

import collections
import json
import sys

from regopy import Interpreter

SHOWN = 10


def answer(interpreter, text, query):
    interpreter.set_input_term(text)
    try:
        result = json.loads(str(interpreter.query(query)))
    except Exception as error:
        return f"failed: {error}"
    expressions = result.get("expressions", []) if isinstance(result, dict) else []
    if len(expressions) != 1:
        return f"undefined: {result}"
    return expressions[0]


def main():
    library = open(sys.argv[1], encoding="utf-8").read()
    counts, modules, wrong = collections.Counter(), 0, 0
    for line in sys.stdin:
        case = json.loads(line)
        interpreter = Interpreter()
        interpreter.add_module("lib.rego", library)
        for name, text in case["modules"].items():
            interpreter.add_module(name, text)
        modules += 1
        kind = case["query"].split(".")[2]
        for text, ours in zip(case["inputs"], case["answers"]):
            theirs = answer(interpreter, text, case["query"])
            counts[kind, ours.split(" ")[0]] += 1
            if theirs != ours:
                wrong += 1
                if wrong <= SHOWN:
                    print(f"DISAGREE ours {ours}, rego-cpp {theirs}\n{text}")
                    print("\n".join(case["modules"].values()))
    total = sum(counts.values())
    print(f"rego-cpp: {modules} modules, {total} evaluations, {wrong} disagreements")
    for (kind, ours), n in sorted(counts.items()):
        print(f"  {kind:12} {ours:22} {n}")
    return 1 if wrong or not total else 0


if __name__ == "__main__":
    sys.exit(main())
