//! What `cargo local` says once everything runs: addresses, and commands that can be pasted.
//!
//! Rule: each command works as printed, in the order printed.

/// Where the parts are reached.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// The HTTP API.
    pub api: String,
    /// Lambda's Invoke API.
    pub lambda: String,
    /// `DynamoDB`, embedded or not.
    pub dynamodb: String,
    /// EC2, simulated or not.
    pub ec2: String,
    /// Whether it is the simulated one, which has an admin route.
    pub ec2_is_simulated: bool,
}

/// The whole text.
#[must_use]
pub fn text(addresses: &Addresses, table: &str) -> String {
    let Addresses { api, lambda, dynamodb, ec2, ec2_is_simulated } = addresses;
    let signed = "curl -s --aws-sigv4 aws:amz:us-east-1:execute-api --user caller-a:secret";
    let (simulated, admin) = if *ec2_is_simulated { (" (simulated)", admin(ec2)) } else { ("", String::new()) };
    format!(
        r#"
ec2-pool is running.

  HTTP API   {api}     (in a browser: the pool as it changes)
  Lambda     {lambda}
  DynamoDB   {dynamodb}   table {table}
  EC2        {ec2}{simulated}

Lease a machine, wait for it up to 20 seconds, and keep the lease's id:

  LEASE=$({signed} -X POST {api}/v1/leases -H 'content-type: application/json' -H 'prefer: wait=20' \
    -d '{{"ttl_seconds": 600, "wait_seconds": 60}}' | tee /dev/stderr | sed -n 's/.*"lease_id": *"\([^"]*\)".*/\1/p')

Look at it, renew it, release it:

  {signed} {api}/v1/leases/$LEASE
  {signed} -X POST {api}/v1/leases/$LEASE/renew -H 'content-type: application/json' -d '{{"ttl_seconds": 600}}'
  {signed} -i -X DELETE {api}/v1/leases/$LEASE

See the pool, and invoke a function (in the project's directory):

  {signed} {api}/v1/pool
  AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local aws lambda invoke --region us-east-1 --endpoint-url {lambda} \
    --function-name reap-idle --payload fileb://events/reap-idle.json /dev/stdout
{admin}
Ctrl-C stops everything.
"#
    )
}

/// What the simulator's admin route is good for.
fn admin(ec2: &str) -> String {
    format!(
        "
See EC2's instances, and let EC2 take one of them away (`warn` or `rebalance` instead of `kill` announce it first):

  curl -s {ec2}/_admin/instances
  curl -s -X POST {ec2}/_admin/instances/INSTANCE_ID/kill
"
    )
}
