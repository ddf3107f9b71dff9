//! The `EventBridge` events that EC2 sends, as AWS sends them, waiting to be fetched by `Ec2::advance`.
//!
//! Shapes: <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-state-changes-eventbridge.html>,
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html>,
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/rebalance-recommendations.html>.
//!
//! Rule: events leave here in order and once each. Losing, doubling and reordering them is the business of whoever
//! carries them.

use chrono::SecondsFormat;
use serde_json::{Value, json};

use crate::{Ec2, instance::State, xml::moment};

/// What happened to an instance.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Happening {
    Changed(State),
    /// Its Spot capacity is wanted back.
    SpotWarning,
    /// It is at a higher risk of being wanted back.
    Rebalance,
}

impl Ec2 {
    /// Puts an event into the outbox, due at `at_ms`.
    pub(crate) fn tell(&mut self, at_ms: u64, id: &str, zone: &str, happening: Happening) {
        let arn = format!("arn:aws:ec2:{}:{}:instance/{id}", self.config.region, self.config.account_id);
        let (kind, resource, detail) = match happening {
            Happening::Changed(state) => {
                ("EC2 Instance State-change Notification", arn, json!({"instance-id": id, "state": state.name()}))
            }
            // This one names the zone in place of region and account, as AWS documents it.
            Happening::SpotWarning => (
                "EC2 Spot Instance Interruption Warning",
                format!("arn:aws:ec2:{zone}:instance/{id}"),
                json!({"instance-id": id, "instance-action": "terminate"}),
            ),
            Happening::Rebalance => ("EC2 Instance Rebalance Recommendation", arn, json!({"instance-id": id})),
        };
        let event: Value = json!({
            "version": "0",
            "id": self.random.uuid(),
            "detail-type": kind,
            "source": "aws.ec2",
            "account": self.config.account_id,
            "time": moment(at_ms).to_rfc3339_opts(SecondsFormat::Secs, true),
            "region": self.config.region,
            "resources": [resource],
            "detail": detail,
        });
        self.outbox.push_back((at_ms, event));
    }
}
