"""Holds the template, as transformed by SAM, against the rules of guard/pool.guard, for template-checks.sh.

    guard.py TRANSFORMED.json

Every rule also has a fixture, guard/fixtures/RULE.json: a merge patch (RFC 7386) of the template that must break that
rule and no other, so that no rule passes because it looks at nothing.
"""

import copy
import json
import pathlib
import re
import subprocess
import sys
import tempfile

GUARD = pathlib.Path(__file__).resolve().parent / "guard"


def patched(template, patch):
    """The template with a merge patch applied."""
    if not isinstance(patch, dict):
        return patch
    result = copy.copy(template) if isinstance(template, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = patched(result.get(name), value)
    return result


def broken(template):
    """The names of the rules that a template breaks."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as data:
        json.dump(template, data)
        data.flush()
        command = ["cfn-guard", "validate", "--data", data.name, "--rules", GUARD / "pool.guard"]
        options = ["--output-format", "json", "--structured", "--show-summary", "none"]
        told = subprocess.run([*command, *options], stdout=subprocess.PIPE, text=True, check=False).stdout
    (report,) = json.loads(told)
    return {rule["Rule"]["name"] for rule in report["not_compliant"]}


def faults(template, rules):
    """All that is wrong with the template or with the fixtures."""
    for rule in sorted(broken(template)):
        yield f"the template breaks {rule}"
    names = set(re.findall(r"^rule (\w+)", rules, re.MULTILINE))
    fixtures = {path.stem: json.loads(path.read_text()) for path in GUARD.glob("fixtures/*.json")}
    for name in sorted(names ^ set(fixtures)):
        yield f"{name} is not both a rule and a fixture"
    for name, patch in sorted(fixtures.items()):
        seen = broken(patched(template, patch))
        if seen != {name}:
            yield f"the fixture {name} breaks {sorted(seen) or 'nothing'}"


def main():
    template = json.loads(pathlib.Path(sys.argv[1]).read_text())
    rules = (GUARD / "pool.guard").read_text()
    sys.exit("\n".join(faults(template, rules)) or None)


main()
