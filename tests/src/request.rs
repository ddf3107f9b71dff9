//! Requests as API Gateway hands them to the functions: the files in `events/`, with a few things changed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use data_encoding::BASE64;
use pool_core::ids::InstanceId;
use serde_json::{Value, json};

/// The account of the pool.
pub const ACCOUNT_ID: &str = "000000000000";
/// The unique id of the nodes' role.
pub const NODE_ROLE_ID: &str = "AROALOCALNODEROLE0000";

/// A route of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    /// `POST /v1/leases`
    Acquire,
    /// `GET /v1/leases/{id}`
    Look,
    /// `POST /v1/leases/{id}/renew`
    Renew,
    /// `DELETE /v1/leases/{id}`
    Release,
    /// `POST /v1/instances/{id}/ready`
    Ready,
    /// `POST /v1/instances/{id}/heartbeat`
    Heartbeat,
    /// `GET /v1/pool`
    Pool,
    /// `GET /v1/instances/{id}`
    Instance,
    /// `POST /v1/operator/pool`
    OrderPool,
    /// `POST /v1/operator/instances/{id}`
    OrderInstance,
    /// `DELETE /v1/operator/leases/{id}`
    ForceRelease,
}

impl Route {
    /// All of them.
    pub const ALL: [Route; 11] = [
        Route::Acquire,
        Route::Look,
        Route::Renew,
        Route::Release,
        Route::Ready,
        Route::Heartbeat,
        Route::Pool,
        Route::Instance,
        Route::OrderPool,
        Route::OrderInstance,
        Route::ForceRelease,
    ];

    /// The file with a request of this route.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Route::Acquire => "acquire.json",
            Route::Look => "acquire-get.json",
            Route::Renew => "acquire-renew.json",
            Route::Release => "release.json",
            Route::Ready => "register-ready.json",
            Route::Heartbeat => "register-heartbeat.json",
            Route::Pool => "status-pool.json",
            Route::Instance => "status-instance.json",
            Route::OrderPool => "operate-pool.json",
            Route::OrderInstance => "operate-instance.json",
            Route::ForceRelease => "operate-release.json",
        }
    }

    /// The method and path, as in `POST /v1/leases`.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Route::Acquire => "POST /v1/leases",
            Route::Look => "GET /v1/leases/{id}",
            Route::Renew => "POST /v1/leases/{id}/renew",
            Route::Release => "DELETE /v1/leases/{id}",
            Route::Ready => "POST /v1/instances/{id}/ready",
            Route::Heartbeat => "POST /v1/instances/{id}/heartbeat",
            Route::Pool => "GET /v1/pool",
            Route::Instance => "GET /v1/instances/{id}",
            Route::OrderPool => "POST /v1/operator/pool",
            Route::OrderInstance => "POST /v1/operator/instances/{id}",
            Route::ForceRelease => "DELETE /v1/operator/leases/{id}",
        }
    }

    /// Whether it takes a body.
    #[must_use]
    pub fn takes_body(self) -> bool {
        self.key().starts_with("POST")
    }

    /// Whether it is for nodes.
    #[must_use]
    pub fn is_of_nodes(self) -> bool {
        matches!(self, Route::Ready | Route::Heartbeat)
    }

    /// Whether it is for operators.
    #[must_use]
    pub fn is_of_operators(self) -> bool {
        matches!(self, Route::OrderPool | Route::OrderInstance | Route::ForceRelease)
    }
}

/// The root of the repository.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the repository")
}

/// A file of `events/`.
#[must_use]
pub fn event_file(name: &str) -> Value {
    let path = root().join("events").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// One request. It has neither body nor idempotency key until it is given them.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where it goes.
    pub route: Route,
    /// The event that the function receives.
    pub event: Value,
}

impl Request {
    /// A request by the caller that the file names.
    #[must_use]
    pub fn new(route: Route) -> Self {
        // A simulation makes hundreds of thousands of them.
        static FILES: LazyLock<BTreeMap<Route, Value>> =
            LazyLock::new(|| Route::ALL.into_iter().map(|route| (route, event_file(route.file()))).collect());
        let mut event = FILES[&route].clone();
        if let Some(headers) = event["headers"].as_object_mut() {
            headers.remove("idempotency-key");
        }
        if let Some(fields) = event.as_object_mut() {
            fields.remove("body");
        }
        Self { route, event }
    }

    /// Signed by the one whose IAM `userId` this is.
    #[must_use]
    pub fn by(mut self, user_id: &str) -> Self {
        let iam = &mut self.event["requestContext"]["authorizer"]["iam"];
        iam["userId"] = user_id.into();
        iam["callerId"] = user_id.into();
        self
    }

    /// Signed by the node on this instance.
    #[must_use]
    pub fn by_node(self, instance: &str) -> Self {
        let machine = InstanceId::trusted(instance).machine();
        self.by(&format!("{NODE_ROLE_ID}:{machine}")).about(instance)
    }

    /// Signed by somebody of another account.
    #[must_use]
    pub fn from_account(mut self, account_id: &str) -> Self {
        self.event["requestContext"]["authorizer"]["iam"]["accountId"] = account_id.into();
        self
    }

    /// With a token whose claims these are, which API Gateway has verified, instead of a signature.
    #[must_use]
    pub fn with_token(mut self, claims: &Value) -> Self {
        self.event["requestContext"]["authorizer"] = json!({ "jwt": { "claims": claims, "scopes": null } });
        self
    }

    /// Not signed at all.
    #[must_use]
    pub fn unsigned(mut self) -> Self {
        if let Some(context) = self.event["requestContext"].as_object_mut() {
            context.remove("authorizer");
        }
        self
    }

    /// With this `{id}` in its path.
    #[must_use]
    pub fn about(mut self, id: &str) -> Self {
        let path = self.route.key().split(' ').nth(1).unwrap_or_default().replace("{id}", id);
        self.event["pathParameters"] = json!({ "id": id });
        self.event["rawPath"] = path.clone().into();
        self.event["requestContext"]["http"]["path"] = path.into();
        self
    }

    /// With this body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.text(&body.to_string())
    }

    /// With this body, as it is.
    #[must_use]
    pub fn text(mut self, body: &str) -> Self {
        self.event["body"] = body.into();
        self
    }

    /// With a body that is not text, which API Gateway encodes.
    #[must_use]
    pub fn bytes(mut self, body: &[u8]) -> Self {
        self.event["body"] = BASE64.encode(body).into();
        self.event["isBase64Encoded"] = true.into();
        self
    }

    /// With this header, its name in small letters as API Gateway writes it.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.event["headers"][name] = value.into();
        self
    }

    /// With this parameter in its query.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.event["rawQueryString"] = format!("{name}={value}").into();
        self.event["queryStringParameters"] = json!({ name: value });
        self
    }

    /// Its body as JSON, if it is that.
    #[must_use]
    pub fn body(&self) -> Option<Value> {
        serde_json::from_str(self.event["body"].as_str()?).ok()
    }
}
