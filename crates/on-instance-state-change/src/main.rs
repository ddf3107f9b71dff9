//! The Lambda binary `on-instance-state-change`.

use lambda_runtime::Error;
use pool_fleet::{Client, Fleet};

#[global_allocator]
static HEAP: pool_function::boot::Heap = pool_function::boot::Heap;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let boot = pool_function::boot::boot().await?;
    let own = &boot.environment.settings;
    let fleet = Fleet::new(Client::new(&boot.ec2), &own.pool, own.policy.endpoint_address);
    pool_function::boot::serve_events(|event| on_instance_state_change::handle(&boot.environment, &fleet, event)).await
}
