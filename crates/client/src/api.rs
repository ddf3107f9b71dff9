//! One request: made, signed, sent, and its answer read.

use std::time::{Duration, SystemTime};

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use http::{Method, Request, Uri};
use serde_json::Value;

use crate::credentials::{Signer, causes};
use crate::error::ApiError;

/// How long an answer may take: API Gateway gives up after 30 seconds.
const ANSWER: Duration = Duration::from_secs(35);
/// The service that API Gateway's signatures are for.
const SERVICE: &str = "execute-api";

/// A pool's API.
pub struct Api {
    endpoint: String,
    signer: Signer,
    connector: Connector,
    clock: fn() -> SystemTime,
}

/// What is asked for.
pub struct Ask<'a> {
    method: Method,
    path: String,
    headers: Vec<(&'a str, String)>,
    body: Option<Value>,
}

impl<'a> Ask<'a> {
    /// Asks for something.
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), headers: Vec::new(), body: None }
    }

    /// Asks for something to be done.
    #[must_use]
    pub fn post(path: impl Into<String>, body: Value) -> Self {
        Self { method: Method::POST, path: path.into(), headers: Vec::new(), body: Some(body) }
    }

    /// Asks for something to be ended.
    #[must_use]
    pub fn delete(path: impl Into<String>) -> Self {
        Self { method: Method::DELETE, path: path.into(), headers: Vec::new(), body: None }
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Holds the answer for so long until there is news.
    #[must_use]
    pub fn held(self, seconds: u64) -> Self {
        self.header("prefer", format!("wait={seconds}"))
    }
}

/// One part of a path, as a URL spells it.
#[must_use]
pub fn segment(text: &str) -> String {
    let keeps = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if keeps(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

impl Api {
    /// The API at an endpoint, asked with the credentials of a profile or of the surroundings.
    ///
    /// # Errors
    /// When the endpoint is no URL, or region or credentials are not known.
    pub async fn at(
        endpoint: &str,
        profile: Option<&str>,
        region: Option<&str>,
        clock: fn() -> SystemTime,
    ) -> Result<Self, ApiError> {
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let uri: Uri = endpoint.parse().map_err(|_| ApiError::NoUrl(endpoint.clone()))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
            return Err(ApiError::NoUrl(endpoint));
        }
        let signer = Signer::for_endpoint(&uri, profile, region).await?;
        let connector = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::Ring)).build();
        Ok(Self { endpoint, signer, connector, clock })
    }

    /// Asks, and answers the JSON that came; null when none did.
    ///
    /// # Errors
    /// When the pool refuses or cannot be reached.
    pub async fn ask(&self, ask: Ask<'_>) -> Result<Value, ApiError> {
        let request = self.request(ask).await?;
        let unreachable = |cause: String| ApiError::Unreachable { endpoint: self.endpoint.clone(), cause };
        let request = HttpRequest::try_from(request).map_err(|error| unreachable(causes(&error)))?;
        let answered = async {
            let response = self.connector.call(request).await.map_err(|error| causes(&error))?;
            let status = response.status().as_u16();
            let body = ByteStream::new(response.into_body()).collect().await.map_err(|error| causes(&error))?;
            Ok((status, body.into_bytes()))
        };
        let late = |_| unreachable(format!("no answer within {} seconds", ANSWER.as_secs()));
        let (status, body) = tokio::time::timeout(ANSWER, answered).await.map_err(late)?.map_err(unreachable)?;
        if !(200..300).contains(&status) {
            return Err(ApiError::refused(&self.endpoint, status, &body));
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body).map_err(|_| ApiError::unintelligible(&self.endpoint, status, &body))
    }

    /// The pool with all its shards and instances, of which one answer may have only some.
    ///
    /// # Errors
    /// When the pool refuses or cannot be reached.
    pub async fn pool(&self) -> Result<Value, ApiError> {
        let mut pool = self.ask(Ask::get("/v1/pool")).await?;
        let mut next = pool["next_shard"].as_u64();
        while let Some(from) = next {
            let mut page = self.ask(Ask::get(format!("/v1/pool?from_shard={from}"))).await?;
            for part in ["shards", "instances"] {
                if let (Some(all), Some(more)) = (pool[part].as_array_mut(), page[part].as_array_mut()) {
                    all.append(more);
                }
            }
            // A pool that names no later shard would be asked for ever.
            next = page["next_shard"].as_u64().filter(|next| *next > from);
        }
        if let Some(fields) = pool.as_object_mut() {
            fields.remove("next_shard");
        }
        Ok(pool)
    }

    async fn request(&self, ask: Ask<'_>) -> Result<Request<SdkBody>, ApiError> {
        let body = ask.body.map(|body| body.to_string()).unwrap_or_default();
        let mut request = Request::builder().method(ask.method).uri(format!("{}{}", self.endpoint, ask.path));
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in ask.headers {
            request = request.header(name, value);
        }
        let made = request.body(SdkBody::from(body.clone()));
        let mut request = made.map_err(|error| ApiError::Unsigned(causes(&error)))?;
        self.sign(&mut request, body.as_bytes()).await?;
        Ok(request)
    }

    async fn sign(&self, request: &mut Request<SdkBody>, body: &[u8]) -> Result<(), ApiError> {
        let Some(credentials) = self.signer.credentials().await? else { return Ok(()) };
        let identity = credentials.into();
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(&self.signer.region)
            .name(SERVICE)
            .time((self.clock)())
            .settings(SigningSettings::default())
            .build();
        let unsigned = |error: &dyn std::error::Error| ApiError::Unsigned(causes(error));
        let parameters = parameters.map_err(|error| unsigned(&error))?.into();
        let headers = request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let signable = SignableRequest::new(
            request.method().as_str(),
            request.uri().to_string(),
            headers,
            SignableBody::Bytes(body),
        );
        let signed =
            sign(signable.map_err(|error| unsigned(&error))?, &parameters).map_err(|error| unsigned(&error))?;
        signed.into_parts().0.apply_to_request_http1x(request);
        Ok(())
    }
}
