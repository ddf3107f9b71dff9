//! The engine under test: an embedded DynamoDB, or the one that `AWS_ENDPOINT_URL_DYNAMODB` names, with a table of its
//! own for each test.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use dynoxide::Database;
use tokio::net::TcpSocket;

/// A client of the engine, and the name of a new table in it.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no main: who runs it names the engine, and the clock makes the table's name a new one"
)]
pub(crate) async fn start() -> (Client, String) {
    let endpoint = match std::env::var("AWS_ENDPOINT_URL_DYNAMODB") {
        Ok(endpoint) => endpoint,
        Err(_) => embedded(),
    };
    let client = Client::from_conf(
        Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(endpoint)
            .build(),
    );
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    let table = format!("pool-test-{}-{}", std::process::id(), since_1970.as_nanos());
    create_table(&client, &table).await;
    (client, table)
}

fn embedded() -> String {
    let socket = TcpSocket::new_v4().expect("a socket");
    // The connections inherit it. Without it, each answer waits 40 ms for the client's delayed acknowledgement.
    socket.set_nodelay(true).expect("a TCP socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let listener = socket.listen(1_024).expect("a bound socket");
    let address = listener.local_addr().expect("a bound address");
    let database = Database::memory().expect("a database in memory");
    tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));
    format!("http://{address}")
}

async fn create_table(client: &Client, table: &str) {
    let key = AttributeDefinition::builder().attribute_name("pk").attribute_type(ScalarAttributeType::S).build();
    let schema = KeySchemaElement::builder().attribute_name("pk").key_type(KeyType::Hash).build();
    client
        .create_table()
        .table_name(table)
        .attribute_definitions(key.expect("name and type are set"))
        .key_schema(schema.expect("name and type are set"))
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await
        .expect("the table is created");
}
