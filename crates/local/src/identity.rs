//! Who calls: reads the `Authorization` header, `SigV4` or a bearer token, and makes the principal that API Gateway's IAM or
//! JWT authorizer would report.
//!
//! Rule: the signature is read, never verified. Whoever reaches the local front may be anyone he says, which is why it listens on
//! loopback unless told otherwise.

use axum::http::HeaderValue;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value, json};

use crate::variables::{ACCOUNT_ID, NODE_ROLE_ID};

const ACCESS_KEY_LENGTH_MAX: usize = 128;

/// The header is there but is neither a `SigV4` header nor a bearer token; API Gateway answers 403.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

/// A caller, as `requestContext.authorizer` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Who signed with IAM.
    Iam {
        /// Id of the access key.
        access_key: String,
        /// Unique id, of a role with the session's name.
        user_id: String,
        /// ARN of the user or the session.
        user_arn: String,
    },
    /// Who brought a token: its claims.
    Token(Map<String, Value>),
}

impl Principal {
    /// The principal of a request with this `Authorization` header. Without one it is the user `local`.
    ///
    /// # Errors
    /// [`Malformed`] when there is a header of another scheme or shape.
    pub fn of_header(authorization: Option<&HeaderValue>) -> Result<Self, Malformed> {
        let Some(header) = authorization else { return Ok(Self::of_access_key("local")) };
        let header = header.to_str().map_err(|_| Malformed)?;
        if let Some(token) = header.strip_prefix("Bearer ") {
            return claims(token).map(Self::Token).ok_or(Malformed);
        }
        access_key(header).map(Self::of_access_key).ok_or(Malformed)
    }

    /// `i-…` is the node role with the instance id as session name, as EC2 names sessions of an instance profile. All others are users.
    fn of_access_key(access_key: &str) -> Self {
        let (user_id, user_arn) = if is_instance_id(access_key) {
            (
                format!("{NODE_ROLE_ID}:{access_key}"),
                format!("arn:aws:sts::{ACCOUNT_ID}:assumed-role/ec2-pool-node/{access_key}"),
            )
        } else {
            (access_key.to_owned(), format!("arn:aws:iam::{ACCOUNT_ID}:user/{access_key}"))
        };
        Self::Iam { access_key: access_key.to_owned(), user_id, user_arn }
    }

    /// The value of `requestContext.authorizer`
    /// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>).
    #[must_use]
    pub fn authorizer(&self) -> Value {
        match self {
            Self::Iam { access_key, user_id, user_arn } => json!({ "iam": {
                "accessKey": access_key,
                "accountId": ACCOUNT_ID,
                "callerId": user_id,
                "cognitoIdentity": null,
                "principalOrgId": null,
                "userArn": user_arn,
                "userId": user_id,
            }}),
            Self::Token(claims) => json!({ "jwt": { "claims": claims, "scopes": null } }),
        }
    }

    /// How the access log names it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Iam { user_id, .. } => user_id,
            Self::Token(claims) => claims.get("sub").and_then(Value::as_str).unwrap_or_default(),
        }
    }
}

/// The claims of a token, each as text, which is how API Gateway hands them on.
fn claims(token: &str) -> Option<Map<String, Value>> {
    let mut parts = token.trim().split('.');
    let (_header, claims, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    let claims: Map<String, Value> = serde_json::from_slice(&BASE64URL_NOPAD.decode(claims.as_bytes()).ok()?).ok()?;
    let as_text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Some(claims.into_iter().map(|(name, value)| (name, as_text(value).into())).collect())
}

/// The access key id of `AWS4-HMAC-SHA256 Credential=KEY/DATE/REGION/SERVICE/aws4_request, SignedHeaders=…, Signature=…`.
fn access_key(header: &str) -> Option<&str> {
    let fields = header.trim().strip_prefix("AWS4-HMAC-SHA256")?.trim_start();
    let mut credential = None;
    let (mut signed_headers, mut signature) = (false, false);
    for field in fields.split(',') {
        match field.trim().split_once('=')? {
            ("Credential", value) => credential = Some(value),
            ("SignedHeaders", value) => signed_headers = !value.is_empty(),
            ("Signature", value) => signature = !value.is_empty(),
            _ => return None,
        }
    }
    let mut scope = credential?.split('/');
    let key = scope.next()?;
    let complete = scope.clone().count() == 4 && scope.next_back() == Some("aws4_request");
    (complete && signed_headers && signature && is_access_key(key)).then_some(key)
}

/// Access keys are words; a colon in one would forge the session name behind a role.
fn is_access_key(key: &str) -> bool {
    (1..=ACCESS_KEY_LENGTH_MAX).contains(&key.len())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@'))
}

fn is_instance_id(key: &str) -> bool {
    key.strip_prefix("i-").is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The header that [`Principal::of_header`] reads as `access_key`; its signature is a dummy.
#[must_use]
pub fn unverified_header(access_key: &str) -> String {
    let signature = "0".repeat(64);
    format!(
        "AWS4-HMAC-SHA256 Credential={access_key}/20260101/us-east-1/execute-api/aws4_request, SignedHeaders=host;x-amz-date, Signature={signature}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user_id(header: Option<&str>) -> Result<String, Malformed> {
        let header = header.map(|text| HeaderValue::from_str(text).expect("a header value"));
        Principal::of_header(header.as_ref()).map(|principal| principal.name().to_owned())
    }

    #[test]
    fn access_keys_become_principals() {
        assert_eq!(user_id(None).as_deref(), Ok("local"));
        assert_eq!(user_id(Some(&unverified_header("caller-a"))).as_deref(), Ok("caller-a"));
        assert_eq!(user_id(Some(&unverified_header("i-0abc"))).as_deref(), Ok("AROALOCALNODEROLE0000:i-0abc"));
        // curl writes no space after the commas.
        let dense = unverified_header("caller-b").replace(", ", ",");
        assert_eq!(user_id(Some(&dense)).as_deref(), Ok("caller-b"));
    }

    #[test]
    fn tokens_become_their_claims() {
        let claims = BASE64URL_NOPAD.encode(br#"{"iss":"https://issuer.example","sub":"ann","exp":1795464962}"#);
        let token = HeaderValue::from_str(&format!("Bearer e30.{claims}.c2ln")).expect("a header value");
        let principal = Principal::of_header(Some(&token)).expect("a token");
        assert_eq!(principal.name(), "ann");
        assert_eq!(principal.authorizer()["jwt"]["claims"]["exp"], "1795464962");
    }

    #[test]
    fn malformed_headers_are_refused() {
        let good = unverified_header("caller-a");
        for bad in [
            "",
            "Bearer abc",
            "AWS4-HMAC-SHA256",
            "AWS4-HMAC-SHA256 Credential=caller-a",
            &good.replace("caller-a", ""),
            &good.replace("caller-a", "AROALOCALNODEROLE0000:i-0abc"),
            &good.replace("caller-a", &"a".repeat(129)),
            &good.replace("/aws4_request", ""),
            &good.replace("SignedHeaders=host;x-amz-date, ", ""),
            &good.replace(&"0".repeat(64), ""),
        ] {
            assert_eq!(user_id(Some(bad)), Err(Malformed), "{bad}");
        }
    }
}
