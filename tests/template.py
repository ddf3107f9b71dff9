"""Reads template.yaml for template-checks.sh.

`user-data` prints the script a node gets, with every parameter at its default.
`events` checks that events/ has an event for every function and for every route of the API.
`functions` prints each function of the template and its binary.
`transformed` prints, as JSON, the template as CloudFormation sees it after SAM's transformation.
`deployable BUCKET ENDPOINT EC2_ENDPOINT LAUNCH_TEMPLATE SUBNETS` prints the same for an emulator: the functions' code is in the
bucket as FUNCTION.zip, their DynamoDB is the emulator's and their EC2 the simulator's, which has its own launch template.
"""

import json
import pathlib
import re
import sys

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
UNKNOWN_TO_EMULATORS = {
    "AWS::CloudWatch::Dashboard",
    "AWS::EC2::FlowLog",
    "AWS::EC2::NetworkAcl",
    "AWS::EC2::NetworkAclEntry",
    "AWS::EC2::SubnetNetworkAclAssociation",
}
USER_DATA_BYTES_MAX = 16384  # EC2's limit, before base64.
PSEUDO = {"AWS::Region": "us-east-1", "AWS::StackName": "ec2-pool", "AWS::URLSuffix": "amazonaws.com", "Api": "abcdefghij",
          "NodeLayer": "arn:aws:lambda:us-east-1:000000000000:layer:ec2-pool-node:7"}


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


def functions(template):
    """The functions, each with its binary."""
    for logical_id, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            yield logical_id, kebab(logical_id)


def missing_events(template):
    """What the template can invoke and no event file shows."""
    events = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "events").glob("*.json"))}
    for logical_id, _ in functions(template):
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


def transformed(template, bucket="bucket"):
    """What SAM makes of it. `sam build` would have put the code of the functions and of the layer into a bucket."""
    for logical_id, _ in functions(template):
        template["Resources"][logical_id]["Properties"]["CodeUri"] = f"s3://{bucket}/{logical_id}.zip"
    template["Resources"]["NodeLayer"]["Properties"]["ContentUri"] = f"s3://{bucket}/NodeLayer.zip"
    defaults = {name: p["Default"] for name, p in template["Parameters"].items() if "Default" in p}
    return Translator({}, Parser()).translate(template, defaults)


def is_known_to_emulators(resource):
    """The dashboard goes with the alarms that it names: those on an expression are not known."""
    return resource["Type"] not in UNKNOWN_TO_EMULATORS and "Metrics" not in resource.get("Properties", {})


def deployable(template, bucket, endpoint, ec2_endpoint, launch_template, subnets):
    """What an emulator can deploy: only the functions' surroundings differ, and the walls that it does not know."""
    result = transformed(template, bucket)
    result["Resources"] = {name: it for name, it in result["Resources"].items() if is_known_to_emulators(it)}
    result["Outputs"].pop("DashboardUrl")
    for resource in result["Resources"].values():
        if resource["Type"] == "AWS::Lambda::Function":
            variables = resource["Properties"]["Environment"]["Variables"]
            variables["AWS_ENDPOINT_URL_DYNAMODB"] = endpoint
            if "AWS_ENDPOINT_URL_EC2" in variables:
                variables["AWS_ENDPOINT_URL_EC2"] = ec2_endpoint
            if "POOL_SUBNETS" in variables:
                variables |= {"POOL_LAUNCH_TEMPLATE_ID": launch_template, "POOL_SUBNETS": subnets}
    return result


def main():
    template = yaml_parse((ROOT / "template.yaml").read_text())
    match sys.argv[1:]:
        case ["user-data"]:
            print(user_data(template), end="")
        case ["functions"]:
            for logical_id, binary in functions(template):
                print(logical_id, binary)
        case ["transformed"]:
            print(json.dumps(transformed(template), indent=2))
        case ["deployable", bucket, *where] if len(where) == 4:
            print(json.dumps(deployable(template, bucket, *where), indent=2))
        case ["events"]:
            sys.exit("\n".join(missing_events(template)) or None)
        case _:
            sys.exit(__doc__)


main()
