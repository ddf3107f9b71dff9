//! The Lambda binary `scale`.

use lambda_runtime::Error;
use pool_fleet::{Client, Fleet};

#[global_allocator]
static HEAP: pool_function::boot::Heap = pool_function::boot::Heap;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let boot = pool_function::boot::boot().await?;
    let settings = boot.ec2_settings()?;
    let own = &boot.environment.settings;
    let fleet = Fleet::new(Client::new(&boot.ec2), &own.pool, own.policy.endpoint_address);
    pool_function::boot::serve_events(async |event: serde_json::Value| {
        // The schedule's events have no records, the stream's have.
        match event.get("Records") {
            Some(_) => scale::woken(&boot.environment, &fleet, &settings).await,
            None => scale::handle(&boot.environment, &fleet, &settings).await,
        }
    })
    .await
}
