//! EC2's errors: a code, a message, the HTTP status that goes with the code.
//!
//! Rule: codes and their meaning are those of
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>; messages may be this program's own.

use std::borrow::Cow;

use crate::xml::Element;

/// A refused request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    code: Cow<'static, str>,
    message: String,
}

impl ApiError {
    pub(crate) fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }

    /// A parameter that is not there.
    pub(crate) fn missing(parameter: &str) -> Self {
        Self::new("MissingParameter", format!("The request must contain the parameter {parameter}"))
    }

    /// A parameter's value that cannot be, and what it must be instead.
    pub(crate) fn value(value: &str, parameter: &str, rule: &str) -> Self {
        Self::new("InvalidParameterValue", format!("Value ({value}) for parameter {parameter} is invalid: {rule}."))
    }

    /// An error that a fault orders.
    pub(crate) fn injected(code: &str) -> Self {
        Self::new(code.to_owned(), format!("{code}, as the faults of this simulated EC2 say."))
    }

    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Server errors come with 5xx, which makes SDKs try again; so does throttling.
    pub(crate) fn status(&self) -> u16 {
        match self.code() {
            "RequestLimitExceeded" | "Unavailable" | "ServiceUnavailable" => 503,
            "InternalError"
            | "InternalFailure"
            | "InsufficientAddressCapacity"
            | "InsufficientCapacity"
            | "InsufficientHostCapacity"
            | "InsufficientInstanceCapacity"
            | "InsufficientReservedInstanceCapacity" => 500,
            "DryRunOperation" => 412,
            "UnauthorizedOperation" | "OptInRequired" | "Blocked" => 403,
            "AuthFailure" => 401,
            _ => 400,
        }
    }

    pub(crate) fn body(&self, request_id: &str) -> String {
        let error = Element::parent(
            "Error",
            vec![Element::text("Code", self.code()), Element::text("Message", self.message())],
        );
        Element::parent(
            "Response",
            vec![Element::parent("Errors", vec![error]), Element::text("RequestID", request_id)],
        )
        .document()
    }
}
