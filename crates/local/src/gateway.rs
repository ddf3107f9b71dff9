//! API Gateway's two translations: an HTTP request into an event, a function's answer into an HTTP response
//! (payload format 2.0, <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>).
//!
//! Rule: pure functions of what they are given; time and ids come in as values.

use std::net::IpAddr;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts},
    response::Response,
};
use data_encoding::BASE64;
use serde_json::{Map, Value, json};

use crate::{clock, identity::Principal, routes::Matched, variables::ACCOUNT_ID};

/// What the front knows about a request beside its head and body.
#[derive(Debug)]
pub struct Context<'a> {
    /// Who calls.
    pub principal: &'a Principal,
    /// Where from.
    pub source_ip: IpAddr,
    /// Id of this request.
    pub request_id: &'a str,
    /// Unix milliseconds of its arrival.
    pub now_ms: u64,
}

/// The event that the function of the route receives. Fields that do not apply are absent, as in API Gateway's events.
#[must_use]
pub fn event(matched: &Matched, request: &Parts, body: &Bytes, context: &Context<'_>) -> Value {
    let query = request.uri.query().unwrap_or_default();
    let user_agent = request.headers.get(header::USER_AGENT).map(text).unwrap_or_default();
    let domain = request.headers.get(header::HOST).map(text).unwrap_or_default();
    let mut event = json!({
        "version": "2.0",
        "routeKey": matched.route.key,
        "rawPath": request.uri.path(),
        "rawQueryString": query,
        "headers": headers(&request.headers),
        "requestContext": {
            "accountId": ACCOUNT_ID,
            "apiId": "local",
            "authorizer": context.principal.authorizer(),
            "domainName": domain,
            "domainPrefix": domain.split('.').next(),
            "http": {
                "method": request.method.as_str(),
                "path": request.uri.path(),
                "protocol": format!("{:?}", request.version),
                "sourceIp": context.source_ip.to_string(),
                "userAgent": user_agent,
            },
            "requestId": context.request_id,
            "routeKey": matched.route.key,
            "stage": "$default",
            "time": clock::date(context.now_ms).format("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "timeEpoch": context.now_ms,
        },
        "isBase64Encoded": false,
    });
    let cookies = cookies(&request.headers);
    if !cookies.is_empty() {
        event["cookies"] = cookies.into();
    }
    if !query.is_empty() {
        event["queryStringParameters"] = query_parameters(query).into();
    }
    if !matched.parameters.is_empty() {
        let named = matched.parameters.iter().map(|(name, value)| ((*name).to_owned(), Value::String(value.clone())));
        event["pathParameters"] = Value::Object(named.collect());
    }
    if !body.is_empty() {
        let text = std::str::from_utf8(body);
        event["isBase64Encoded"] = text.is_err().into();
        event["body"] = text.map_or_else(|_| BASE64.encode(body), str::to_owned).into();
    }
    event
}

/// Header names are lower-case, and several values of one are joined with commas. Cookies have a field of their own.
fn headers(headers: &HeaderMap) -> Map<String, Value> {
    headers
        .keys()
        .filter(|name| *name != header::COOKIE)
        .map(|name| {
            let values: Vec<_> = headers.get_all(name).iter().map(text).collect();
            (name.as_str().to_owned(), values.join(",").into())
        })
        .collect()
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    let all = headers.get_all(header::COOKIE).iter().map(text);
    all.flat_map(|value| value.split(';').map(|cookie| cookie.trim().to_owned()).collect::<Vec<_>>()).collect()
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// Decoded query parameters; several values of one are joined with commas.
fn query_parameters(query: &str) -> Map<String, Value> {
    let mut parameters = Map::new();
    // Decoding replaces what is not UTF-8, so it never fails on text.
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
    for (name, value) in pairs {
        let joined = match parameters.get(&name).and_then(Value::as_str) {
            Some(before) => format!("{before},{value}"),
            None => value,
        };
        parameters.insert(name, joined.into());
    }
    parameters
}

/// The response that a function's answer asks for, or nothing when it is no answer API Gateway understands.
///
/// An answer without `statusCode` is a body by itself, with status 200.
#[must_use]
pub fn response(answer: &[u8], request_id: &str) -> Option<Response> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let Some(status) = answer.get("statusCode") else {
        return Some(json_response(StatusCode::OK, answer.to_string(), request_id));
    };
    let status = StatusCode::from_u16(u16::try_from(status.as_u64()?).ok()?).ok()?;
    let body = answer.get("body").and_then(Value::as_str).unwrap_or_default();
    let is_base64 = answer.get("isBase64Encoded").and_then(Value::as_bool).unwrap_or(false);
    let body = if is_base64 { Body::from(BASE64.decode(body.as_bytes()).ok()?) } else { Body::from(body.to_owned()) };

    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in answer.get("headers").and_then(Value::as_object).into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        headers.insert(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?);
    }
    for cookie in answer.get("cookies").and_then(Value::as_array).into_iter().flatten() {
        headers.append(header::SET_COOKIE, HeaderValue::try_from(cookie.as_str()?).ok()?);
    }
    mark(headers, request_id);
    Some(response)
}

/// An answer of API Gateway itself: `{"message": …}`.
#[must_use]
pub fn message(status: StatusCode, message: &str, request_id: &str) -> Response {
    json_response(status, json!({ "message": message }).to_string(), request_id)
}

fn json_response(status: StatusCode, body: String, request_id: &str) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    mark(response.headers_mut(), request_id);
    response
}

fn mark(headers: &mut HeaderMap, request_id: &str) {
    if let Ok(request_id) = HeaderValue::try_from(request_id) {
        headers.insert("apigw-requestid", request_id);
    }
}
