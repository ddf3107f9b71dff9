//! The two engines in process: the embedded DynamoDB and the simulated EC2, request in and answer out.

use dynoxide::{Database, DynoxideError};
use ec2_sim::{Answer, Ec2};
use pool_store::codec::Item;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::table::TABLE;

/// Form of a launch template, as `template.yaml` makes one.
const CREATE_LAUNCH_TEMPLATE: &str = "Action=CreateLaunchTemplate&Version=2016-11-15&LaunchTemplateName=ec2-pool\
    &LaunchTemplateData.ImageId=ami-00000000000000001\
    &LaunchTemplateData.InstanceType=t3.medium\
    &LaunchTemplateData.InstanceInitiatedShutdownBehavior=terminate";

/// A database with the pool's table in it.
///
/// # Panics
/// When the table cannot be made, which is a fault of the engine.
#[must_use]
pub fn database() -> Database {
    let database = Database::memory().expect("a database in memory");
    let table = json!({
        "TableName": TABLE,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
    });
    let (status, body) = dynamodb(&database, "CreateTable", table.to_string().as_bytes());
    assert_eq!(status, 200, "{body}");
    database
}

/// One request to DynamoDB: the HTTP status and the body of its answer.
#[must_use]
pub fn dynamodb(database: &Database, operation: &str, body: &[u8]) -> (u16, String) {
    match operation {
        "CreateTable" => carry_out(body, |request| database.create_table(request)),
        "UpdateItem" => carry_out(body, |request| database.update_item(request)),
        "GetItem" => carry_out(body, |request| database.get_item(request)),
        "PutItem" => carry_out(body, |request| database.put_item(request)),
        "BatchGetItem" => carry_out(body, |request| database.batch_get_item(request)),
        other => (400, json!({"__type": "UnknownOperationException", "message": other}).to_string()),
    }
}

fn carry_out<Q: DeserializeOwned, A: Serialize>(
    body: &[u8],
    act: impl FnOnce(Q) -> Result<A, DynoxideError>,
) -> (u16, String) {
    let request = match serde_json::from_slice(body) {
        Ok(request) => request,
        Err(error) => {
            return (400, json!({"__type": "SerializationException", "Message": error.to_string()}).to_string());
        }
    };
    match act(request) {
        Ok(answer) => (200, serde_json::to_string(&answer).unwrap_or_default()),
        Err(error) => (error.status_code(), error.to_json()),
    }
}

/// One item, as it is.
#[must_use]
pub fn item(database: &Database, key: &str) -> Option<Item> {
    let request = json!({"TableName": TABLE, "Key": {"pk": {"S": key}}, "ConsistentRead": true});
    let (_, body) = dynamodb(database, "GetItem", request.to_string().as_bytes());
    let answer: Value = serde_json::from_str(&body).ok()?;
    Some(pool_bench::item::of_json(answer.get("Item")?))
}

/// Makes the pool's launch template and answers its id.
///
/// # Panics
/// When EC2 refuses it, which is a fault of the simulator.
pub fn launch_template(ec2: &mut Ec2, now_ms: u64) -> String {
    let Answer { body, .. } = ec2.call(now_ms, CREATE_LAUNCH_TEMPLATE);
    let (_, rest) = body.split_once("<launchTemplateId>").expect("the template is sound");
    rest.split_once('<').expect("an element ends").0.to_owned()
}
