//! What a simulated EC2 is like: its region, its delays, its subnets.

/// What this EC2 is like. All delays are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// All randomness comes from it: ids, and the zone of a launch that names none.
    pub seed: u64,
    /// Twelve digits, the owner of everything.
    pub account_id: String,
    /// `us-east-1`; zones of subnets should begin with it.
    pub region: String,
    /// From a launch or a start to running.
    pub pending_ms: u64,
    /// From shutting-down to terminated.
    pub shutting_down_ms: u64,
    /// From stopping to stopped.
    pub stopping_ms: u64,
    /// A new instance is unknown for so long to every call that names or lists instances, and each change of state is
    /// seen so much later. See <https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html>.
    pub describe_lag_ms: u64,
    /// From a Spot interruption warning to the end; two minutes on AWS.
    pub spot_warning_ms: u64,
    /// Private addresses are `a.b.x.y`.
    pub address_network: (u8, u8),
    /// The subnets, all of one VPC. At most 256; those beyond are left out.
    pub subnets: Vec<Subnet>,
}

/// A subnet that instances can be launched into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    /// `subnet-…`.
    pub id: String,
    /// Availability zone, `us-east-1a`.
    pub zone: String,
}

impl Default for Config {
    /// A quick EC2 with three zones.
    fn default() -> Self {
        let subnet = |letter: char| Subnet {
            id: format!("subnet-0000000000000000{letter}"),
            zone: format!("us-east-1{letter}"),
        };
        Self {
            seed: 0,
            account_id: "000000000000".to_owned(),
            region: "us-east-1".to_owned(),
            pending_ms: 2_000,
            shutting_down_ms: 2_000,
            stopping_ms: 2_000,
            describe_lag_ms: 500,
            spot_warning_ms: 120_000,
            address_network: (10, 0),
            subnets: vec![subnet('a'), subnet('b'), subnet('c')],
        }
    }
}
