//! Whom a request is signed for: credentials and region as the AWS CLI finds them.

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{ConfigLoader, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use http::Uri;

use crate::error::ApiError;

/// Where a local pool is told to be when nothing else says so; it checks no signature.
const LOCAL_REGION: &str = "us-east-1";

/// What a request is signed with.
pub(crate) struct Signer {
    credentials: SharedCredentialsProvider,
    /// The region of the API.
    pub(crate) region: String,
    /// A local pool takes requests without a signature, too.
    may_do_without: bool,
}

impl Signer {
    /// Finds credentials and region for an endpoint.
    ///
    /// A local pool is signed for with what the environment and the profile say, but no metadata service is asked: on a
    /// laptop that takes seconds to find nothing.
    pub(crate) async fn for_endpoint(
        endpoint: &Uri,
        profile: Option<&str>,
        region: Option<&str>,
    ) -> Result<Self, ApiError> {
        let https = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let host = endpoint.host().unwrap_or_default();
        let region = region.or_else(|| region_of(host)).map(str::to_owned);
        if is_loopback(host) {
            let credentials = SharedCredentialsProvider::new(local_chain(profile, https));
            let region = region.unwrap_or_else(|| LOCAL_REGION.to_owned());
            return Ok(Self { credentials, region, may_do_without: true });
        }
        let mut loader: ConfigLoader = aws_config::from_env().http_client(https);
        if let Some(profile) = profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = &region {
            loader = loader.region(Region::new(region.clone()));
        }
        let found = loader.load().await;
        let region = found.region().map(ToString::to_string);
        let region = region.ok_or(ApiError::NoRegion)?;
        let missing = || ApiError::NoCredentials("there is no provider".to_owned());
        let credentials = found.credentials_provider().ok_or_else(missing)?;
        Ok(Self { credentials, region, may_do_without: false })
    }

    /// The credentials to sign with now; `None` when a local pool does without.
    pub(crate) async fn credentials(&self) -> Result<Option<Credentials>, ApiError> {
        match self.credentials.provide_credentials().await {
            Ok(credentials) => Ok(Some(credentials)),
            Err(CredentialsError::CredentialsNotLoaded(_)) if self.may_do_without => Ok(None),
            Err(error) => Err(ApiError::NoCredentials(causes(&error))),
        }
    }
}

fn local_chain(profile: Option<&str>, https: SharedHttpClient) -> CredentialsProviderChain {
    let settings = ProviderConfig::default().with_http_client(https);
    let mut of_profile = ProfileFileCredentialsProvider::builder().configure(&settings);
    if let Some(profile) = profile {
        of_profile = of_profile.profile_name(profile);
        return CredentialsProviderChain::first_try("profile", of_profile.build());
    }
    let environment = EnvironmentVariableCredentialsProvider::new();
    CredentialsProviderChain::first_try("environment", environment).or_else("profile", of_profile.build())
}

/// An error with all that caused it.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The region in the name of an API Gateway endpoint, where a signature for any other is refused.
fn region_of(host: &str) -> Option<&str> {
    let (_, rest) = host.split_once(".execute-api.")?;
    rest.split('.').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_apart() {
        assert!(["localhost", "127.0.0.1", "127.8.8.8", "[::1]"].into_iter().all(is_loopback));
        assert!(!["localhost.example.com", "10.0.0.1", "[::2]", ""].into_iter().any(is_loopback));
        assert_eq!(region_of("abc123.execute-api.eu-west-1.amazonaws.com"), Some("eu-west-1"));
        assert_eq!(region_of("pool.example.com"), None);
    }
}
