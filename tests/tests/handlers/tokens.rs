//! Callers who come with a token of an identity provider instead of a signature.

use pool_tests::{Request, Route, Stage};
use serde_json::{Value, json};

fn claims(issuer: &str, subject: &str) -> Value {
    json!({ "iss": issuer, "sub": subject, "aud": "pool", "exp": "1795464962" })
}

#[tokio::test]
async fn a_lease_belongs_to_the_subject_of_a_token_of_its_issuer() {
    let stage = Stage::new(&[("POOL_MAX", "2"), ("POOL_MIN_AVAILABLE", "2")]).await;
    stage.scale().await;
    stage.boot_all().await;
    let ann = claims("https://issuer.example", "ann");
    let lease = stage.call(Request::new(Route::Acquire).with_token(&ann)).await.of_status(201);
    let id = lease["lease_id"].as_str().expect("an id");
    let look = |claims: &Value| stage.call(Request::new(Route::Look).about(id).with_token(claims));
    look(&ann).await.is(200);
    look(&claims("https://issuer.example", "bob")).await.is_problem(403, "forbidden");
    look(&claims("https://other.example", "ann")).await.is_problem(403, "forbidden");
    // Nobody's id of IAM's is that of a token.
    stage.look("https://issuer.example ann", id).await.is_problem(403, "forbidden");
    stage.call(Request::new(Route::Release).about(id).with_token(&ann)).await.is(204);
}

#[tokio::test]
async fn a_token_without_a_subject_opens_nothing_and_none_makes_a_node_or_an_operator() {
    let stage = Stage::new(&[("POOL_MAX", "2"), ("POOL_MIN_AVAILABLE", "1")]).await;
    stage.scale().await;
    let instance = stage.boot_all().await.remove(0);
    for claims in [json!({}), json!({ "iss": "https://issuer.example" }), claims("https://issuer.example", "")] {
        stage.call(Request::new(Route::Acquire).with_token(&claims)).await.is_problem(403, "forbidden");
    }
    let node = claims("https://issuer.example", &format!("{}:{instance}", pool_tests::request::NODE_ROLE_ID));
    for route in Route::ALL.into_iter().filter(|route| route.is_of_nodes() || route.is_of_operators()) {
        let request = Request::new(route).about(instance.as_str()).json(&json!({})).with_token(&node);
        stage.call(request).await.is_problem(403, "forbidden");
    }
}
