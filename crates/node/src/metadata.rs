//! What EC2 tells the instance of itself (IMDSv2, <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html>):
//! its id, and two minutes before EC2 takes a Spot instance back, that it does.

use std::sync::Arc;
use std::time::Duration;

use aws_config::imds::Client;
use aws_config::imds::client::error::ImdsError;
use aws_config::provider_config::ProviderConfig;
use pool_core::ids::InstanceId;

use crate::guest::Guest;

/// EC2 wants to be asked so often
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html>).
const PERIOD: Duration = Duration::from_secs(5);

/// The metadata service, where `AWS_EC2_METADATA_SERVICE_ENDPOINT` says or at its usual address.
#[must_use]
pub fn client() -> Client {
    // It is on the machine's own link and speaks no TLS.
    let http = aws_smithy_http_client::Builder::new().build_http();
    Client::builder().configure(&ProviderConfig::default().with_http_client(http)).build()
}

/// The id of this instance.
///
/// # Errors
/// When the service does not tell it.
pub async fn instance_id(metadata: &Client) -> Result<InstanceId, String> {
    let advice = "give it with --instance-id";
    let told = metadata.get("/latest/meta-data/instance-id").await;
    let told = told
        .map_err(|error| format!("the metadata service does not tell the id of this instance ({error}); {advice}"))?;
    told.as_ref().parse().map_err(|error| format!("the metadata service tells an odd id: {error}; {advice}"))
}

/// Waits until EC2 takes this instance back, and has the node take no new lease then.
pub async fn watch(metadata: Client, guests: Vec<Arc<Guest>>) {
    loop {
        match metadata.get("/latest/meta-data/spot/instance-action").await {
            Ok(notice) => {
                let notice = String::from(notice);
                tracing::warn!(notice, "EC2 takes this instance back");
                return guests.iter().for_each(|guest| guest.drain(notice.clone()));
            }
            // Not found is the usual answer.
            Err(ImdsError::ErrorResponse(_)) => {}
            Err(error) => tracing::warn!(%error, "the metadata service does not answer"),
        }
        tokio::time::sleep(PERIOD).await;
    }
}
