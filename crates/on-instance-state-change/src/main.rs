//! The Lambda binary `on-instance-state-change`.

use lambda_runtime::Error;
use pool_fleet::Fleet;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let boot = pool_function::boot::boot().await?;
    let own = &boot.environment.settings;
    let fleet = Fleet::new(aws_sdk_ec2::Client::new(&boot.sdk), &own.pool, own.policy.endpoint_address);
    pool_function::boot::serve(|event| on_instance_state_change::handle(&boot.environment, &fleet, event)).await
}
