"""Reads template.yaml for template-checks.sh.

`user-data` prints the script a node gets, with every parameter at its default.
`events` checks that events/ has an event for every function and for every route of the API.
"""

import json
import pathlib
import re
import sys

from samtranslator.yaml_helper import yaml_parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
USER_DATA_BYTES_MAX = 16384  # EC2's limit, before base64.
PSEUDO = {"AWS::Region": "us-east-1", "AWS::URLSuffix": "amazonaws.com", "Api": "abcdefghij"}


def user_data(template):
    """The script behind Fn::Base64: a join of a head with substitutions and a plain body."""
    values = PSEUDO | {name: str(p["Default"]) for name, p in template["Parameters"].items() if "Default" in p}
    data = template["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"]["UserData"]
    head, body = data["Fn::Base64"]["Fn::Join"][1]
    script = re.sub(r"\$\{([^}]+)\}", lambda match: values[match[1]], head["Fn::Sub"]) + body
    size = len(script.encode())
    if size > USER_DATA_BYTES_MAX:
        sys.exit(f"the user data has {size} bytes, and EC2 takes {USER_DATA_BYTES_MAX}")
    return script


def kebab(name):
    """ReapIdle -> reap-idle: one name greps end to end."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def missing_events(template):
    """What the template can invoke and no event file shows."""
    events = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "events").glob("*.json"))}
    for logical_id, resource in template["Resources"].items():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        own = [event for name, event in events.items() if name.startswith(kebab(logical_id))]
        if not own:
            yield f"no event for the function {logical_id}"
        target = f"integrations/${{{logical_id}Integration}}"
        for route in template["Resources"].values():
            properties = route.get("Properties", {})
            if route["Type"] == "AWS::ApiGatewayV2::Route" and properties["Target"]["Fn::Sub"] == target:
                key = properties["RouteKey"]
                if not any(event.get("routeKey") == key for event in own):
                    yield f"no event of {logical_id} for {key}"


def main():
    template = yaml_parse((ROOT / "template.yaml").read_text())
    match sys.argv[1:]:
        case ["user-data"]:
            print(user_data(template), end="")
        case ["events"]:
            sys.exit("\n".join(missing_events(template)) or None)
        case _:
            sys.exit(__doc__)


main()
