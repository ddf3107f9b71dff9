"""The acquire function's main path with Python and boto3, to be measured beside the one in Rust: one conditional
UpdateItem, a loop around Lambda's Runtime API, and the connection opened before the first request."""

import base64
import hashlib
import hmac
import http.client
import json
import os
import secrets
import time

import boto3

TABLE = os.environ["POOL_TABLE"]
NEXT = "/2018-06-01/runtime/invocation/next"


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def acquire(client, event):
    user = event["requestContext"]["authorizer"]["iam"]["userId"].split(":")[0]
    owner = base64url(hashlib.sha256(user.encode()).digest()[:16])
    ttl = json.loads(event["body"])["ttl_seconds"]
    now = int(time.time())
    token = base64url(secrets.token_bytes(9))
    answer = client.update_item(
        TableName=TABLE,
        Key={"pk": {"S": "shard#0"}},
        UpdateExpression="SET lease_instance.#t = free_ids[0], lease_epoch.#t = epoch_no + :one, "
        "lease_terms.#t = :m, epoch_no = epoch_no + :one REMOVE free_ids[0]",
        ConditionExpression="attribute_exists(free_ids[0]) AND attribute_not_exists(lease_instance.#t)",
        ExpressionAttributeNames={"#t": token},
        ExpressionAttributeValues={
            ":one": {"N": "1"},
            ":m": {"M": {"o": {"S": owner}, "x": {"N": str(now + ttl)}, "h": {"N": str(now + 28800)}, "t": {"N": str(ttl)}}},
        },
        ReturnValues="ALL_NEW",
        ReturnValuesOnConditionCheckFailure="ALL_OLD",
    )
    shard = answer["Attributes"]
    instance = shard["lease_instance"]["M"][token]["S"]
    epoch = shard["lease_epoch"]["M"][token]["N"]
    member = shard["member_map"]["M"][instance]["M"]
    text = f"{instance}|{epoch}|{now + ttl}"
    access = base64url(hmac.new(member["k"]["B"][32:].hex().encode(), text.encode(), hashlib.sha256).digest())
    lease = {
        "lease_id": f"0.{token}.{epoch}.{instance}",
        "state": "active",
        "instance_id": instance,
        "epoch": int(epoch),
        "endpoint": f"http://{member['a']['S']}:3000",
        "access_token": access,
        "expires_in_seconds": ttl,
    }
    return {"statusCode": 201, "headers": {"content-type": "application/json"}, "body": json.dumps(lease)}


def main():
    client = boto3.client("dynamodb")
    client.get_item(TableName=TABLE, Key={"pk": {"S": "control"}})
    runtime = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    while True:
        runtime.request("GET", NEXT)
        response = runtime.getresponse()
        request_id = response.getheader("lambda-runtime-aws-request-id")
        answer = json.dumps(acquire(client, json.loads(response.read())))
        runtime.request("POST", f"/2018-06-01/runtime/invocation/{request_id}/response", answer)
        runtime.getresponse().read()


main()
