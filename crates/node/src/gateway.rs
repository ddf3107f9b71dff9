//! What the node answers: its health to everyone, Chrome to the lease.
//!
//! Rule: one function (`Gateway::enter`) lets a lease in, and every route but the health check goes through it or through
//! `Gateway::admit`. No token and no query is logged.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, FromRequestParts, Request, State, WebSocketUpgrade};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, RequestExt, Router};
use pool_core::gate::Refusal;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::cdp::CdpError;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::options::Options;
use crate::problem::Problem;
use crate::session::{NoEntry, Session, Visit};
use crate::{live, page, socket};

/// Bodies of requests are a URL and some wishes.
const BODY_BYTES_MAX: usize = 64 << 10;
/// What Chrome may answer by HTTP: its protocol's description is the longest.
const CHROME_SECONDS_MAX: Duration = Duration::from_secs(10);

/// What the routes have in common.
#[derive(Debug)]
pub struct Gateway {
    /// The leases and their Chromes, each with whether its Chrome works.
    pub slots: Vec<(Arc<Session>, Arc<Health>)>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How to serve.
    pub options: Options,
    /// How the pool names this instance.
    pub instance: String,
    /// Asks Chrome.
    pub http: reqwest::Client,
}

/// The routes.
pub fn router(gateway: Arc<Gateway>) -> Router {
    let health_path = gateway.options.health_path.clone();
    Router::new()
        .route("/", get(devtools))
        .route("/metrics", get(metrics))
        .route("/json", any(chrome_json))
        .route("/json/{*rest}", any(chrome_json))
        .route("/devtools/{*rest}", get(devtools))
        .route("/v1/screenshot", post(screenshot))
        .route("/v1/pdf", post(pdf))
        .route("/v1/live", get(live_page))
        .route("/v1/live/socket", get(live_socket))
        .fallback(async move |State(gateway): State<Arc<Gateway>>, method: Method, uri: Uri| {
            // Compared as it is: a router would read braces and colons of an operator's path as parameters.
            if uri.path() == health_path && method == Method::GET { health(gateway).await } else { nothing(&uri) }
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(gateway)
}

impl Gateway {
    /// Lets the bearer of a token in to use the Chrome of the session that it was made for.
    async fn enter(&self, headers: &HeaderMap, uri: &Uri) -> Result<Visit, Problem> {
        let limit = Duration::from_secs(self.options.limits.start_seconds_max);
        let enter = async || {
            let token = token(headers, uri).ok_or_else(Problem::no_token)?;
            for (session, _) in &self.slots {
                match session.enter(token, limit).await {
                    Err(NoEntry::Refused(Refusal::Foreign)) => {}
                    entered => return Ok(entered?),
                }
            }
            Err(Refusal::Foreign.into())
        };
        enter().await.inspect_err(|problem| self.count(problem))
    }

    /// Whether the bearer of a token may look at something that uses no Chrome.
    fn admit(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), Problem> {
        let admit = || {
            let token = token(headers, uri).ok_or_else(Problem::no_token)?;
            for (session, _) in &self.slots {
                match session.admit(token) {
                    Err(Refusal::Foreign) => {}
                    admitted => return Ok(admitted?),
                }
            }
            Err(Refusal::Foreign.into())
        };
        admit().inspect_err(|problem| self.count(problem))
    }

    fn count(&self, problem: &Problem) {
        self.metrics.refused.get_or_create(&[("status", problem.status.as_str().to_owned())]).inc();
    }

    /// How callers reach a WebSocket here. Who passes requests on says what its callers speak.
    fn scheme(&self, headers: &HeaderMap) -> &'static str {
        let passed_on = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "http");
        if self.options.plain_http || passed_on { "ws" } else { "wss" }
    }
}

/// Where clients that can set no header give the token.
const TOKEN_IN_QUERY: &str = "access_token=";

/// The token of `Authorization: Bearer …`, or of the query.
fn token<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let queried = || uri.query()?.split('&').find_map(|pair| pair.strip_prefix(TOKEN_IN_QUERY));
    bearer(headers).or_else(queried)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// What of the query is for Chrome: the URL of `/json/new?URL`, whatever is in it, but not this node's token.
fn query_for_chrome(headers: &HeaderMap, uri: &Uri) -> String {
    let mut query = uri.query().unwrap_or_default().to_owned();
    if bearer(headers).is_none() {
        query = query.split('&').filter(|pair| !pair.starts_with(TOKEN_IN_QUERY)).collect::<Vec<_>>().join("&");
    }
    if query.is_empty() { query } else { format!("?{query}") }
}

async fn health(gateway: Arc<Gateway>) -> Response {
    let (mut browser, mut sessions) = (String::new(), 0);
    for (session, health) in &gateway.slots {
        match health.check(session).await {
            Ok(version) => browser = version,
            Err(why) => {
                gateway.metrics.healthy.set(0);
                return Problem::unhealthy(why).into_response();
            }
        }
        sessions += session.visits();
    }
    gateway.metrics.healthy.set(1);
    let text = json!({ "status": "ok", "instance_id": gateway.instance, "browser": browser, "sessions": sessions });
    Json(text).into_response()
}

fn nothing(uri: &Uri) -> Response {
    Problem::not_found(uri.path()).into_response()
}

async fn metrics(State(gateway): State<Arc<Gateway>>, headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    gateway.admit(&headers, &uri)?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], gateway.metrics.text()).into_response())
}

/// A WebSocket of Chrome's: of the browser or of one page by its path, and at the node's root of the whole browser, so that an address and
/// a token are all that a client needs.
async fn devtools(State(gateway): State<Arc<Gateway>>, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let visit = gateway.enter(&parts.headers, &parts.uri).await?;
    let path = match parts.uri.path() {
        "/" => visit.devtools.path.clone(),
        path => path.to_owned(),
    };
    let limit = gateway.options.limits.message_bytes_max();
    let socket = websocket(&mut parts).await?.max_message_size(limit).max_frame_size(limit);
    Ok(socket.on_upgrade(move |caller| socket::pass(caller, visit, path, limit)))
}

async fn websocket(parts: &mut Parts) -> Result<WebSocketUpgrade, Problem> {
    let upgrade = WebSocketUpgrade::from_request_parts(parts, &()).await;
    upgrade.map_err(|rejection| Problem::bad_request(format!("this is a WebSocket: {}", rejection.body_text())))
}

/// Chrome's own answers about itself (<https://chromedevtools.github.io/devtools-protocol/#endpoints>), with this node's address in
/// place of Chrome's.
async fn chrome_json(State(gateway): State<Arc<Gateway>>, request: Request) -> Result<Response, Problem> {
    let (parts, _) = request.into_parts();
    if !matches!(parts.method, Method::GET | Method::PUT) {
        return Err(Problem::bad_method());
    }
    let visit = gateway.enter(&parts.headers, &parts.uri).await?;
    let authority = visit.devtools.authority.clone();
    let path = parts.uri.path().trim_end_matches('/');
    let url = format!("http://{authority}{path}{}", query_for_chrome(&parts.headers, &parts.uri));
    let asked = gateway.http.request(parts.method, url).timeout(CHROME_SECONDS_MAX).send();
    let unreachable =
        |error: reqwest::Error| Problem::unhealthy(format!("Chrome does not answer: {}", error.without_url()));
    let answer = asked.await.map_err(unreachable)?;
    let status = answer.status();
    let text = answer.text().await.map_err(unreachable)?;
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    // Chrome puts its address into URLs of its WebSockets and, without a scheme, into a query of the inspector's.
    let scheme = gateway.scheme(&parts.headers);
    let text = text.replace(&format!("ws://{authority}"), &format!("{scheme}://{host}"));
    let text = text.replace(&format!("ws={authority}"), &format!("{scheme}={host}"));
    Ok((status, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], text).into_response())
}

async fn screenshot(State(gateway): State<Arc<Gateway>>, request: Request) -> Result<Response, Problem> {
    let (visit, wish) = visit_with_wish::<page::Screenshot>(&gateway, request).await?;
    if wish.width == 0 || wish.height == 0 {
        return Err(Problem::bad_request("width and height are from 1 to 65535 pixels"));
    }
    let kind = format!("image/{}", wish.format.name());
    let picture = in_time(&gateway, &visit, page::screenshot(&visit.devtools, &wish)).await?;
    Ok(([(header::CONTENT_TYPE, kind)], picture).into_response())
}

async fn pdf(State(gateway): State<Arc<Gateway>>, request: Request) -> Result<Response, Problem> {
    let (visit, wish) = visit_with_wish::<page::Pdf>(&gateway, request).await?;
    let sheet = in_time(&gateway, &visit, page::pdf(&visit.devtools, &wish)).await?;
    Ok(([(header::CONTENT_TYPE, "application/pdf")], sheet).into_response())
}

async fn visit_with_wish<T: DeserializeOwned>(gateway: &Gateway, request: Request) -> Result<(Visit, T), Problem> {
    let visit = gateway.enter(request.headers(), request.uri()).await?;
    let limit = Duration::from_secs(gateway.options.limits.body_seconds_max);
    let body = tokio::time::timeout(limit, request.extract::<axum::body::Bytes, _>()).await;
    let body = body.map_err(|_| Problem::slow(limit))?;
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(BODY_BYTES_MAX),
        _ => Problem::bad_request(rejection.body_text()),
    })?;
    let wish = serde_json::from_slice(&body);
    Ok((visit, wish.map_err(|error| Problem::bad_request(format!("the body is JSON with a \"url\": {error}")))?))
}

/// Does something in Chrome that may take only so long, and not longer than the lease.
async fn in_time<T>(
    gateway: &Gateway,
    visit: &Visit,
    work: impl Future<Output = Result<T, CdpError>>,
) -> Result<T, Problem> {
    let limit = Duration::from_secs(gateway.options.limits.page_seconds_max);
    tokio::select! {
        done = tokio::time::timeout(limit, work) => match done {
            Ok(done) => done.map_err(Problem::from),
            Err(_) => Err(Problem::slow(limit)),
        },
        over = visit.over() => Err(Problem::from(over)),
    }
}

/// The page that shows Chrome's screen as it changes, for people.
async fn live_page(State(gateway): State<Arc<Gateway>>, headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    gateway.admit(&headers, &uri)?;
    // The token is in the page's own address, which no other site is to be told.
    let headers = [(header::REFERRER_POLICY, "no-referrer"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Html(live::PAGE)).into_response())
}

async fn live_socket(State(gateway): State<Arc<Gateway>>, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let visit = gateway.enter(&parts.headers, &parts.uri).await?;
    Ok(websocket(&mut parts).await?.on_upgrade(move |watcher| live::show(watcher, visit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str, authorization: Option<&str>) -> String {
        let uri = format!("/json/new?{query}").parse().expect("valid");
        let headers = authorization.map(|value| (header::AUTHORIZATION, value.parse().expect("valid")));
        query_for_chrome(&headers.into_iter().collect(), &uri)
    }

    #[test]
    fn chrome_is_asked_for_the_whole_url_and_never_told_the_token() {
        assert_eq!(asked("access_token=v1.7.9.x", None), "");
        assert_eq!(asked("http://a/?b=1&c=2&access_token=v1.7.9.x", None), "?http://a/?b=1&c=2");
        let with_its_own = "http://a/?b=1&access_token=the-pages-own";
        assert_eq!(asked(with_its_own, Some("Bearer v1.7.9.x")), format!("?{with_its_own}"));
    }
}
