//! The embedded DynamoDB, served for `tests/dynamodb-conversation.sh`: it prints its address, and runs until killed.

use dynoxide::Database;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("http://{}", listener.local_addr()?);
    dynoxide::server::serve_with_shutdown(listener, Database::memory()?, std::future::pending()).await?;
    Ok(())
}
