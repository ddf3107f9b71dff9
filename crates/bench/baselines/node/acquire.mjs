// The acquire function's main path with Node.js and the AWS SDK, to be measured beside the one in Rust: one conditional
// UpdateItem, a loop around Lambda's Runtime API, and the connection opened before the first request.
import http from "node:http";
import { createHash, createHmac, randomBytes } from "node:crypto";
import { DynamoDBClient, GetItemCommand, UpdateItemCommand } from "@aws-sdk/client-dynamodb";

const table = process.env.POOL_TABLE;
const client = new DynamoDBClient({});
const agent = new http.Agent({ keepAlive: true });
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");

function call(method, path, body) {
  return new Promise((resolve, reject) => {
    const request = http.request({ host, port, method, path, agent }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("end", () => resolve({ headers: response.headers, text: Buffer.concat(chunks).toString() }));
    });
    request.on("error", reject);
    request.end(body);
  });
}

async function acquire(event) {
  const user = event.requestContext.authorizer.iam.userId.split(":")[0];
  const owner = createHash("sha256").update(user).digest().subarray(0, 16).toString("base64url");
  const { ttl_seconds: ttl } = JSON.parse(event.body);
  const now = Math.floor(Date.now() / 1000);
  const token = randomBytes(9).toString("base64url");
  const answer = await client.send(new UpdateItemCommand({
    TableName: table,
    Key: { pk: { S: "shard#0" } },
    UpdateExpression: "SET lease_instance.#t = free_ids[0], lease_epoch.#t = epoch_no + :one, lease_terms.#t = :m, " +
      "epoch_no = epoch_no + :one REMOVE free_ids[0]",
    ConditionExpression: "attribute_exists(free_ids[0]) AND attribute_not_exists(lease_instance.#t)",
    ExpressionAttributeNames: { "#t": token },
    ExpressionAttributeValues: {
      ":one": { N: "1" },
      ":m": { M: { o: { S: owner }, x: { N: `${now + ttl}` }, h: { N: `${now + 28800}` }, t: { N: `${ttl}` } } },
    },
    ReturnValues: "ALL_NEW",
    ReturnValuesOnConditionCheckFailure: "ALL_OLD",
  }));
  const shard = answer.Attributes;
  const instance = shard.lease_instance.M[token].S;
  const epoch = shard.lease_epoch.M[token].N;
  const { a: address, k: key } = shard.member_map.M[instance].M;
  const text = `${instance}|${epoch}|${now + ttl}`;
  const access = createHmac("sha256", Buffer.from(key.B).subarray(32).toString("hex")).update(text).digest("base64url");
  const lease = {
    lease_id: `0.${token}.${epoch}.${instance}`, state: "active", instance_id: instance, epoch: Number(epoch),
    endpoint: `http://${address.S}:3000`, access_token: access, expires_in_seconds: ttl,
  };
  return { statusCode: 201, headers: { "content-type": "application/json" }, body: JSON.stringify(lease) };
}

await client.send(new GetItemCommand({ TableName: table, Key: { pk: { S: "control" } } }));
for (;;) {
  const { headers, text } = await call("GET", "/2018-06-01/runtime/invocation/next");
  const id = headers["lambda-runtime-aws-request-id"];
  const answer = JSON.stringify(await acquire(JSON.parse(text)));
  await call("POST", `/2018-06-01/runtime/invocation/${id}/response`, answer);
}
