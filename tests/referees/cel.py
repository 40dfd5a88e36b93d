#!/usr/bin/env python3
"""Holds our expression evaluator against the official CEL C++ engine.

    pip install cel-expr-python==0.1.3
    cargo run --release -p assize-policy --example cel_cases -- 20000 | python3 tests/referees/cel.py

Each line has an expression, its CEL projection (`has` replaced by its value, which typed variables cannot express), the
facts that are there, and our answer: `true`, `false`, or `none` for missing and error, which are both ERROR in CEL.
Every leaf is declared as a typed variable with a dotted name, so CEL's own checker types the expression too.
Exit code 1 on any disagreement.
"""

import collections
import datetime
import json
import sys

from cel_expr_python import cel

VARIABLES = {
    "BOOL": ["f.flag", "f.other.flag", "g.present"],
    "INT": ["f.k", "f.n", "g.steps.value"],
    "DOUBLE": ["f.value", "f.lower95", "f.upper95", "g.compute.upper"],
    "STRING": ["s.name", "s.audience", "g.digest"],
    "TIMESTAMP": ["s.on_market", "g.at", "g.until"],
    "DURATION": ["g.drill.upper", "g.drill.lower", "g.kept"],
}
LISTS = {"s.jurisdictions": "STRING", "s.modalities": "STRING", "g.counts": "INT", "g.shares": "DOUBLE", "g.flags": "BOOL"}
SHOWN = 20


def environment():
    types = {name: getattr(cel.Type, kind) for kind, names in VARIABLES.items() for name in names}
    types.update({name: cel.Type.List(getattr(cel.Type, kind)) for name, kind in LISTS.items()})
    return cel.NewEnv(variables=types)


def scalar(kind, value):
    """The Python value of a typed value on the wire."""
    if kind == "int":
        return int(value)
    if kind == "decimal":
        return float(value)
    if kind == "duration":
        return datetime.timedelta(microseconds=int(value) // 1000)
    if kind == "timestamp":
        return datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    return value


def python_value(typed):
    kind, value = typed["type"], typed["value"]
    if kind.startswith("list of "):
        return [scalar(kind.removeprefix("list of "), item) for item in value]
    if kind == "duration":
        value = nanoseconds(value)
    return scalar(kind, value)


def nanoseconds(text):
    value = int(text)
    if value % 1000:
        raise ValueError(f"Python's timedelta has microseconds only, found {value} ns")
    return value


def answer(expression, data):
    try:
        result = expression.eval(data=data)
    except Exception as error:  # the binding raises for some ERROR values and returns others
        return "none", str(error)
    if result.type() == cel.Type.BOOL:
        return ("true" if result.value() else "false"), ""
    return "none", str(result.value())


def main():
    env = environment()
    compiled, counts, disagreements, expressions = {}, collections.Counter(), [], set()
    for line in sys.stdin:
        case = json.loads(line)
        text = case["cel"]
        expressions.add(case["expr"])
        if text not in compiled:
            if len(compiled) > 64:
                compiled.clear()
            try:
                compiled[text] = env.compile(text)
            except Exception as error:
                compiled[text] = error
        if isinstance(compiled[text], Exception):
            theirs, detail = "does not compile", str(compiled[text])
        else:
            data = {name: python_value(typed) for name, typed in case["data"].items()}
            theirs, detail = answer(compiled[text], data)
        counts[case["answer"], theirs] += 1
        if theirs != case["answer"]:
            disagreements.append((case, theirs, detail))
    for case, theirs, detail in disagreements[:SHOWN]:
        print(f"DISAGREE ours {case['answer']}, CEL {theirs} {detail}\n  {case['cel']}\n  {json.dumps(case['data'], ensure_ascii=False)}")
    total = sum(counts.values())
    print(f"{len(expressions)} distinct expressions, {total} evaluations, {len(disagreements)} disagreements")
    for (ours, theirs), n in sorted(counts.items()):
        print(f"  ours {ours:5} CEL {theirs:5} {n}")
    return 1 if disagreements or not total else 0


if __name__ == "__main__":
    sys.exit(main())
