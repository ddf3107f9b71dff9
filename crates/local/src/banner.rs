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
    /// DynamoDB, embedded or not.
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
    let simulated = if *ec2_is_simulated { " (simulated)" } else { "" };
    let mut text = format!(
        "
ec2-pool is running.

  HTTP API   {api}
  Lambda     {lambda}
  DynamoDB   {dynamodb}   table {table}
  EC2        {ec2}{simulated}

Lease a machine, wait for it up to 20 seconds, and keep the lease's id:

  LEASE=$({signed} -X POST {api}/v1/leases -H 'content-type: application/json' -H 'prefer: wait=20' \\
    -d '{{\"ttl_seconds\": 600, \"wait_seconds\": 60}}' | tee /dev/stderr | sed -n 's/.*\"lease_id\": *\"\\([^\"]*\\)\".*/\\1/p')

Look at it, renew it, release it:

  {signed} {api}/v1/leases/$LEASE
  {signed} -X POST {api}/v1/leases/$LEASE/renew -H 'content-type: application/json' -d '{{\"ttl_seconds\": 600}}'
  {signed} -X DELETE {api}/v1/leases/$LEASE -i

See the pool, and invoke a function:

  {signed} {api}/v1/pool
  aws lambda invoke --endpoint-url {lambda} --function-name scale --payload '{{}}' /dev/stdout
"
    );
    if *ec2_is_simulated {
        text.push_str(&format!(
            "
Let EC2 take a machine away (the simulator's admin route; ids are in the pool's answer):

  curl -s -X POST {ec2}/admin/instances/i-…/kill
"
        ));
    }
    text.push_str("\nCtrl-C stops everything.\n");
    text
}
