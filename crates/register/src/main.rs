//! The Lambda binary `register`.

use lambda_runtime::Error;

#[global_allocator]
static HEAP: pool_function::boot::Heap = pool_function::boot::Heap;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let environment = pool_function::boot::boot().await?.environment;
    pool_function::boot::serve_api(|event| register::handle(&environment, event)).await
}
