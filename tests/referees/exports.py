#!/usr/bin/env python3
"""Holds what `assize check` and `assize policy export` write against the formats' own schemas and readers.

    pip install jsonschema==4.26.0 compliance-trestle==5.2.0 junitparser==5.0.3
    assize check CASE --sarif DIR/r.sarif --policyreport DIR/r.yaml --junit DIR/r.xml --oscal DIR/ar.json
    assize policy export --oscal DIR/rules.json
    python3 tests/referees/exports.py DIR

Two schemas are not on a package index by themselves; what is not given is said, and not checked:

- ASSIZE_SARIF_SCHEMA: the SARIF 2.1.0 schema of OASIS, such as `src/schema.json` of the crate `serde-sarif` 0.8.0;
- ASSIZE_DATA: a folder with `oscal/oscal_{assessment-results,catalog,profile}_schema.json`, OSCAL 1.2.1. Each document is then
  also damaged in several places, and the schema has to notice.

Exit code 1 on any disagreement.
"""

import json
import os
import pathlib
import sys

import jsonschema
import junitparser
from trestle.oscal.assessment_results import AssessmentResults
from trestle.oscal.catalog import Catalog
from trestle.oscal.profile import Profile

POLICY_REPORT_RESULTS = ["pass", "fail", "warn", "error", "skip"]
SEVERITIES = ["critical", "high", "medium", "low", "info"]
# The members of wgpolicyk8s.io/v1alpha2 that we write, as its Go types have them.
POLICY_REPORT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "kind", "metadata", "summary", "results"],
    "properties": {
        "apiVersion": {"const": "wgpolicyk8s.io/v1alpha2"},
        "kind": {"const": "PolicyReport"},
        "metadata": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "maxLength": 253, "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"},
                "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        },
        "summary": {"type": "object", "additionalProperties": False, "properties": {name: {"type": "integer"} for name in POLICY_REPORT_RESULTS}},
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["policy", "result"],
                "properties": {
                    **{name: {"type": "string"} for name in ["source", "policy", "rule", "category", "message"]},
                    "severity": {"enum": SEVERITIES},
                    "result": {"enum": POLICY_REPORT_RESULTS},
                    "scored": {"type": "boolean"},
                    "properties": {"type": "object", "additionalProperties": {"type": "string"}},
                },
            },
        },
    },
}

failures = []


def check(what, problems):
    problems = list(problems)
    failures.extend(problems)
    print(f"{'FAIL' if problems else 'ok  '} {what}")
    for problem in problems[:10]:
        print(f"     {problem}")


def against(schema, document):
    validator = jsonschema.validators.validator_for(schema)(schema)
    return [f"{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in validator.iter_errors(document)]


def model(kind, path):
    try:
        read = kind.oscal_read(path)
    except Exception as error:  # whatever the reader says is a disagreement
        return [str(error)]
    return [] if read else ["not read"]


def sarif(path):
    schema = os.environ.get("ASSIZE_SARIF_SCHEMA")
    document = json.loads(path.read_text())
    if schema:
        check(f"{path.name}: schema of SARIF 2.1.0", against(json.loads(pathlib.Path(schema).read_text()), document))
    else:
        print("     ASSIZE_SARIF_SCHEMA is not set: the schema of SARIF 2.1.0 was not asked")
    run = document["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    wrong = [f"{result['ruleId']} has the rule index {result['ruleIndex']}" for result in run["results"] if rules[result["ruleIndex"]]["id"] != result["ruleId"]]
    check(f"{path.name}: every result names its rule, {len(run['results'])} results", wrong)
    levels = [result["ruleId"] for result in run["results"] if result["kind"] != "fail" and result["level"] != "none"]
    check(f"{path.name}: level is none unless the kind is fail", levels)


def oscal_schema(schema, path, kind):
    # Python's expressions do not know Unicode classes.
    schema = json.loads(schema.read_text().replace("\\\\p{L}", "[^\\\\W\\\\d_]").replace("\\\\p{N}", "\\\\d"))
    document = json.loads(path.read_text())
    check(f"{path.name}: schema of the OSCAL {kind}, 1.2.1", against(schema, document))
    damages = {
        "a uuid that is none": lambda whole: whole.update(uuid="rules"),
        "no metadata": lambda whole: whole.pop("metadata"),
        "an unknown member": lambda whole: whole.update(verdicts=[]),
        "a title that is no text": lambda whole: whole["metadata"].update(title=7),
    }
    for what, damage in damages.items():
        damaged = json.loads(json.dumps(document))
        damage(damaged[kind])
        check(f"{path.name}: {what} is noticed", [] if against(schema, damaged) else ["the schema took it"])


def oscal(folder):
    check("ar.json: models of trestle", model(AssessmentResults, folder / "ar.json"))
    check("rules.json: models of trestle", model(Catalog, folder / "rules.json"))
    check("rules.profile.json: models of trestle", model(Profile, folder / "rules.profile.json"))
    data = os.environ.get("ASSIZE_DATA")
    if data:
        for name, kind in [("ar.json", "assessment-results"), ("rules.json", "catalog"), ("rules.profile.json", "profile")]:
            oscal_schema(pathlib.Path(data) / f"oscal/oscal_{kind}_schema.json", folder / name, kind)
    else:
        print("     ASSIZE_DATA is not set: the schemas of OSCAL were not asked")
    catalog = json.loads((folder / "rules.json").read_text())["catalog"]
    controls = [control["id"] for group in catalog["groups"] for control in group["controls"]]
    selected = json.loads((folder / "rules.profile.json").read_text())["profile"]["imports"][0]["include-controls"][0]["with-ids"]
    check(f"the profile selects controls of the catalog, {len(controls)}", [] if sorted(controls) == sorted(selected) else ["other ids"])
    known = {f"#{resource['uuid']}" for resource in catalog["back-matter"]["resources"]}
    links = [link["href"] for group in catalog["groups"] for control in group["controls"] for part in control["parts"] for item in part.get("parts", []) for link in item.get("links", [])]
    check(f"every link of the catalog leads to a resource, {len(links)} links", [link for link in links if link not in known])


def junit(path, report):
    suites = junitparser.JUnitXml.fromfile(str(path))
    cases = [case for suite in suites for case in suite]
    counted = {"failures": 0, "errors": 0, "skipped": 0}
    for result in (result for case in cases for result in case.result):
        counted[{"Failure": "failures", "Error": "errors", "Skipped": "skipped"}[type(result).__name__]] += 1
    said = {name: sum(int(getattr(suite, name)) for suite in suites) for name in counted}
    check(f"{path.name}: {len(cases)} cases, counts as stated", [] if said == counted else [f"{said} stated, {counted} found"])
    names = {(case.classname, case.name) for case in cases}
    others = {(result["policy"], result["rule"]) for result in report["results"]}
    check(f"{path.name}: the rules of the policy report", [str(name) for name in names ^ others])


def main():
    folder = pathlib.Path(sys.argv[1])
    report = json.loads((folder / "r.yaml").read_text())
    check("r.yaml: types of PolicyReport v1alpha2", against(POLICY_REPORT, report))
    counts = {name: sum(result["result"] == name for result in report["results"]) for name in POLICY_REPORT_RESULTS}
    check("r.yaml: the summary counts the results", [] if counts == report["summary"] else [f"{report['summary']} stated, {counts} found"])
    sarif(folder / "r.sarif")
    junit(folder / "r.xml", report)
    oscal(folder)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
