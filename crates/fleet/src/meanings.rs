//! What EC2's error codes mean for the pool: the one place that knows them.
//!
//! Rule: a code is judged by what may be done next, not by its family. The codes are those of
//! <https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html>.

use pool_core::offering::Meaning;

/// What the failure of a whole call means. `status` is the HTTP status, if there was an answer.
///
/// EC2 sends refusals with a 4xx status and its own faults with a 5xx one. An unknown code of the first sort had no
/// effect, and repeating the call brings the same refusal; of anything else the effect is unclear.
pub(crate) fn of_call(code: &str, status: Option<u16>) -> Meaning {
    known(code).unwrap_or(match status {
        Some(400..=499) => Meaning::Invalid,
        _ => Meaning::Unclear,
    })
}

/// What an error in a fleet's answer means. It is about one offering: EC2 tried it and started nothing there.
///
/// So what EC2 does not support for this type in this zone, and what we do not know at all, lets that offering cool
/// down; it must not stop the launches of the others.
pub(crate) fn of_offering(code: &str) -> Meaning {
    match code {
        "UnsupportedOperation" | "InvalidFleetConfiguration" | "InvalidFleetConfig" => Meaning::NoCapacity,
        _ => known(code).unwrap_or(Meaning::NoCapacity),
    }
}

fn known(code: &str) -> Option<Meaning> {
    let meaning = match code {
        "InsufficientInstanceCapacity"
        | "InsufficientCapacity"
        | "InsufficientCapacityOnHost"
        | "InsufficientHostCapacity"
        | "InsufficientReservedInstanceCapacity"
        | "InsufficientFreeAddressesInSubnet"
        | "InsufficientAddressCapacity"
        | "InsufficientVolumeCapacity"
        | "ReservationCapacityExceeded"
        | "SpotMaxPriceTooLow"
        | "UnfulfillableCapacity"
        | "Unsupported" => Meaning::NoCapacity,

        "MaxSpotInstanceCountExceeded"
        | "MaxFleetCountExceeded"
        | "InstanceLimitExceeded"
        | "VcpuLimitExceeded"
        | "VolumeLimitExceeded"
        | "MaxIOPSLimitExceeded"
        | "NetworkInterfaceLimitExceeded"
        | "ResourceCountExceeded" => Meaning::Quota,

        "AccessDenied"
        | "AccessDeniedException"
        | "Blocked"
        | "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "OperationNotPermitted"
        | "OptInRequired"
        | "PendingVerification"
        | "SignatureDoesNotMatch"
        | "UnauthorizedOperation"
        | "UnrecognizedClientException" => Meaning::NotAllowed,

        "BandwidthLimitExceeded"
        | "EC2ThrottledException"
        | "PriorRequestNotComplete"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "SlowDown"
        | "ThrottledException"
        | "Throttling"
        | "ThrottlingException"
        | "TooManyRequestsException" => Meaning::Throttled,

        "IdempotentInstanceTerminated" | "IdempotentParameterMismatch" => Meaning::TokenSpent,

        "InvalidInstanceID.NotFound" => Meaning::Unknown,

        // Of a call that names an instance: one-time Spot cannot be stopped, whatever state it is in.
        "IncorrectInstanceState" | "IncorrectState" | "IncorrectSpotRequestState" | "UnsupportedOperation" => {
            Meaning::WrongState
        }

        // Credentials or clock were late, which the next run mends; the others are EC2's own faults.
        "InternalError"
        | "InternalFailure"
        | "InternalServerError"
        | "RequestExpired"
        | "RequestTimeout"
        | "RequestTimeoutException"
        | "ServiceUnavailable"
        | "Unavailable" => Meaning::Unclear,

        _ => return known_family(code),
    };
    Some(meaning)
}

/// Codes that come in families, such as `InvalidAMIID.NotFound` or `InvalidLaunchTemplateId.VersionNotFound`.
fn known_family(code: &str) -> Option<Meaning> {
    let begins_with_one = |families: &[&str]| families.iter().any(|family| code.starts_with(family));
    if begins_with_one(&["AuthFailure"]) {
        return Some(Meaning::NotAllowed);
    }
    let about_the_request = [
        "Invalid",
        "Malformed",
        "Missing",
        "TagLimitExceeded",
        "FilterLimitExceeded",
        "UnknownParameter",
        "Validation",
    ];
    begins_with_one(&about_the_request).then_some(Meaning::Invalid)
}

#[cfg(test)]
mod tests {
    use super::{Meaning, of_call, of_offering};

    const CALLS: [(Meaning, &[&str]); 9] = [
        (
            Meaning::NoCapacity,
            &[
                "InsufficientInstanceCapacity",
                "InsufficientHostCapacity",
                "InsufficientReservedInstanceCapacity",
                "InsufficientCapacity",
                "InsufficientFreeAddressesInSubnet",
                "SpotMaxPriceTooLow",
                "UnfulfillableCapacity",
                "Unsupported",
            ],
        ),
        (
            Meaning::Quota,
            &[
                "MaxSpotInstanceCountExceeded",
                "MaxFleetCountExceeded",
                "InstanceLimitExceeded",
                "VcpuLimitExceeded",
                "VolumeLimitExceeded",
            ],
        ),
        (
            Meaning::NotAllowed,
            &[
                "UnauthorizedOperation",
                "AuthFailure",
                "AuthFailure.ServiceLinkedRoleCreationNotPermitted",
                "OptInRequired",
                "PendingVerification",
                "Blocked",
                "InvalidClientTokenId",
                "MissingAuthenticationToken",
                "OperationNotPermitted",
            ],
        ),
        (Meaning::Throttled, &["RequestLimitExceeded", "Throttling", "ThrottlingException", "SlowDown"]),
        (Meaning::TokenSpent, &["IdempotentParameterMismatch", "IdempotentInstanceTerminated"]),
        (Meaning::Unknown, &["InvalidInstanceID.NotFound"]),
        (
            Meaning::Invalid,
            &[
                "InvalidInstanceID.Malformed",
                "InvalidLaunchTemplateId.NotFound",
                "InvalidLaunchTemplateId.VersionNotFound",
                "InvalidLaunchTemplateName.NotFoundException",
                "InvalidSubnetID.NotFound",
                "InvalidParameter",
                "InvalidParameterValue",
                "InvalidParameterCombination",
                "InvalidFleetConfiguration",
                "InvalidAMIID.NotFound",
                "MissingParameter",
                "MalformedQueryString",
            ],
        ),
        (Meaning::WrongState, &["IncorrectInstanceState", "IncorrectState", "UnsupportedOperation"]),
        (
            Meaning::Unclear,
            &["InternalError", "InternalFailure", "Unavailable", "ServiceUnavailable", "RequestExpired"],
        ),
    ];

    #[test]
    fn codes_of_calls() {
        for (meaning, codes) in CALLS {
            for code in codes {
                for status in [None, Some(400), Some(500)] {
                    assert_eq!(of_call(code, status), meaning, "{code} with status {status:?}");
                }
            }
        }
    }

    #[test]
    fn an_unknown_code_had_no_effect_only_if_ec2_says_that_the_request_was_wrong() {
        assert_eq!(of_call("NewsFromEc2", Some(400)), Meaning::Invalid);
        assert_eq!(of_call("NewsFromEc2", Some(500)), Meaning::Unclear);
        assert_eq!(of_call("NewsFromEc2", None), Meaning::Unclear);
    }

    #[test]
    fn codes_of_offerings() {
        for code in ["UnsupportedOperation", "InvalidFleetConfiguration", "NewsFromEc2", "InsufficientInstanceCapacity"]
        {
            assert_eq!(of_offering(code), Meaning::NoCapacity, "{code}");
        }
        assert_eq!(of_offering("MaxSpotInstanceCountExceeded"), Meaning::Quota);
        assert_eq!(of_offering("UnauthorizedOperation"), Meaning::NotAllowed);
        assert_eq!(of_offering("InvalidAMIID.NotFound"), Meaning::Invalid);
    }
}
