//! A Lambda function that does what its event says: the tests' stand-in for every function of the pool.
//!
//! Rule: it speaks to the Runtime API through the same runtime crate as the real functions, and it never waits for time to pass, only
//! for files of the test that drives it.

use std::{path::Path, time::Duration};

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    if variable("POOL_ACTOR_DIES").is_some() {
        return Err("told to die at start".into());
    }
    run(service_fn(act)).await
}

#[expect(clippy::disallowed_methods, reason = "what a function is started with is part of what the tests look at")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Keeps a diary of its events where the test wants one, and answers HTTP requests without an order as the test wants.
/// The order is the event itself or, behind the HTTP front, its body.
async fn act(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let (event, context) = event.into_parts();
    if let Some(diary) = variable("POOL_ACTOR_DIARY") {
        let page = format!("{}.{}", context.env_config.function_name, context.request_id);
        tokio::fs::write(Path::new(&diary).join(page), event.to_string()).await?;
    }
    let is_http = event.get("requestContext").is_some();
    let body = event["body"].as_str().and_then(|body| serde_json::from_str(body).ok());
    let order: Value = if is_http { body.unwrap_or_default() } else { event.clone() };
    let answer = match order["do"].as_str() {
        Some("fail") => return Err("told to fail".into()),
        Some("meet") => meet(&order).await?,
        Some("answer") => return Ok(order["answer"].clone()),
        None if is_http && variable("POOL_ACTOR_ANSWER").is_some() => {
            serde_json::from_str(&variable("POOL_ACTOR_ANSWER").unwrap_or_default())?
        }
        _ => json!({ "pid": std::process::id(), "event": event, "table": variable("POOL_TABLE") }),
    };
    Ok(if is_http { json!({"statusCode": 200, "body": answer.to_string()}) } else { answer })
}

/// Leaves a file named after this process in a directory and waits until there are so many.
async fn meet(order: &Value) -> Result<Value, Error> {
    let directory = Path::new(order["directory"].as_str().ok_or("no directory")?);
    let count = order["count"].as_u64().ok_or("no count")?;
    tokio::fs::write(directory.join(std::process::id().to_string()), "").await?;
    while directory.read_dir()?.count() < usize::try_from(count)? {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(json!({ "pid": std::process::id() }))
}
