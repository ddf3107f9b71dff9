//! The routes of the HTTP API and the functions behind them, as `template.yaml` has them.
//!
//! Rule: what API Gateway would route nowhere is routed nowhere here, so that a missing route shows on the laptop.

use crate::functions::Function;

/// One route of the HTTP API.
#[derive(Debug, PartialEq, Eq)]
pub struct Route {
    /// `GET /v1/leases/{id}`.
    pub key: &'static str,
    /// The function that answers.
    pub function: Function,
}

/// A request's route and what its path says.
#[derive(Debug, PartialEq, Eq)]
pub struct Matched {
    /// The route.
    pub route: &'static Route,
    /// Names and percent-decoded values of the parameters in the path.
    pub parameters: Vec<(&'static str, String)>,
}

static ROUTES: [Route; 11] = [
    Route { key: "POST /v1/leases", function: Function::Acquire },
    Route { key: "GET /v1/leases/{id}", function: Function::Acquire },
    Route { key: "POST /v1/leases/{id}/renew", function: Function::Acquire },
    Route { key: "DELETE /v1/leases/{id}", function: Function::Release },
    Route { key: "POST /v1/instances/{id}/ready", function: Function::Register },
    Route { key: "POST /v1/instances/{id}/heartbeat", function: Function::Register },
    Route { key: "GET /v1/pool", function: Function::Status },
    Route { key: "GET /v1/instances/{id}", function: Function::Status },
    Route { key: "POST /v1/operator/pool", function: Function::Operate },
    Route { key: "POST /v1/operator/instances/{id}", function: Function::Operate },
    Route { key: "DELETE /v1/operator/leases/{id}", function: Function::Operate },
];

/// The route of a request, if any.
#[must_use]
pub fn find(method: &str, path: &str) -> Option<Matched> {
    ROUTES.iter().find_map(|route| {
        let (route_method, pattern) = route.key.split_once(' ')?;
        let parameters = (route_method == method).then(|| parameters(pattern, path))??;
        Some(Matched { route, parameters })
    })
}

/// The parameters if `path` fits `pattern`; a parameter is one segment that is not empty.
fn parameters(pattern: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let mut found = Vec::new();
    let mut segments = path.split('/');
    for part in pattern.split('/') {
        let segment = segments.next()?;
        match part.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) if !segment.is_empty() => found.push((name, percent_decoded(segment))),
            None if part == segment => {}
            _ => return None,
        }
    }
    segments.next().is_none().then_some(found)
}

/// Percent-decodes one segment. A broken escape stays as it is, and what is not UTF-8 becomes the replacement character.
fn percent_decoded(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = (first == b'%').then(|| after.get(..2)).flatten().and_then(|digits| {
            let digits =
                std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
            u8::from_str_radix(digits, 16).ok()
        });
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_their_route() {
        for (method, path, want) in [
            ("POST", "/v1/leases", Some(("POST /v1/leases", None))),
            ("GET", "/v1/leases/0.abc.7.i-1", Some(("GET /v1/leases/{id}", Some("0.abc.7.i-1")))),
            ("POST", "/v1/leases/x/renew", Some(("POST /v1/leases/{id}/renew", Some("x")))),
            ("DELETE", "/v1/leases/a%2Fb%zz", Some(("DELETE /v1/leases/{id}", Some("a/b%zz")))),
            ("POST", "/v1/instances/i-1/heartbeat", Some(("POST /v1/instances/{id}/heartbeat", Some("i-1")))),
            ("GET", "/v1/pool", Some(("GET /v1/pool", None))),
            ("GET", "/v1/pool/", None),
            ("GET", "/v1/leases", None),
            ("GET", "/v1/leases/", None),
            ("PUT", "/v1/pool", None),
            ("GET", "/", None),
        ] {
            let found = find(method, path);
            let found = found.as_ref().map(|m| (m.route.key, m.parameters.first().map(|(_, value)| value.as_str())));
            assert_eq!(found, want, "{method} {path}");
        }
    }
}
