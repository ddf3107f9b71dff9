//! One EC2 with a launch template, and the fleet under test in front of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_sdk_ec2::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_ec2::types::{InstanceType, RequestLaunchTemplateData};
use ec2_sim::{Config, Ec2, ErrorNext, Faults};
use pool_core::ids::{InstanceId, LaunchToken};
use pool_core::policy::EndpointAddress;
use pool_core::reap_idle::{Ec2Instance, Ec2State};
use pool_core::shard::{Intent, Launch, Market};
use pool_core::time::Timestamp;
use pool_fleet::Fleet;

/// Looks at a condition before a test gives up, ten milliseconds apart: far more than any emulator takes.
const LOOKS_MAX: u32 = 3_000;

pub(crate) struct Bench {
    pub(crate) client: Client,
    pub(crate) fleet: Fleet,
    pub(crate) template_id: String,
    subnets: Vec<String>,
    /// Unique, so that tests that share an emulator do not meet.
    name: String,
    ec2: Option<Arc<Mutex<Ec2>>>,
}

impl Bench {
    /// An EC2 that is quick and shows all at once.
    pub(crate) async fn new(name: &str) -> Self {
        let quick =
            Config { pending_ms: 0, shutting_down_ms: 0, stopping_ms: 0, describe_lag_ms: 0, ..Config::default() };
        Self::with(name, quick).await
    }

    /// A simulated EC2 of this kind; an emulator is as it is.
    pub(crate) async fn with(name: &str, config: Config) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let Some(endpoint) = emulator() else {
            let subnets = config.subnets.iter().map(|subnet| subnet.id.clone()).collect();
            let (endpoint, ec2) = simulator(config).await;
            let client = client(&endpoint, RetryConfig::disabled());
            return Self::on(client, name, "ami-00000000000000001", subnets, Some(ec2)).await;
        };
        let client = client(&endpoint, RetryConfig::disabled());
        let images = client.describe_images().send().await.expect("an emulator lists images");
        let image = images.images().iter().find_map(|image| image.image_id()).expect("an emulator has an image");
        let subnets = client.describe_subnets().send().await.expect("an emulator lists subnets");
        // A fleet spans at most one subnet in a zone.
        let by_zone: BTreeMap<_, _> = subnets
            .subnets()
            .iter()
            .filter_map(|subnet| Some((subnet.availability_zone()?.to_owned(), subnet.subnet_id()?.to_owned())))
            .collect();
        Self::on(client.clone(), name, image, by_zone.into_values().collect(), None).await
    }

    async fn on(client: Client, name: String, image: &str, subnets: Vec<String>, ec2: Option<Arc<Mutex<Ec2>>>) -> Self {
        let data = RequestLaunchTemplateData::builder().image_id(image).instance_type(InstanceType::T3Micro).build();
        let template = client.create_launch_template().launch_template_name(&name).launch_template_data(data);
        let template = template.send().await.expect("the template is sound");
        let template_id =
            template.launch_template().and_then(|t| t.launch_template_id()).expect("it has an id").to_owned();
        let fleet = Fleet::new(client.clone(), &name, EndpointAddress::Private);
        Self { client, fleet, template_id, subnets, name, ec2 }
    }

    /// The simulator, if this is one.
    pub(crate) fn simulator(&self) -> Option<MutexGuard<'_, Ec2>> {
        Some(self.ec2.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Orders faults; false without a simulator.
    pub(crate) fn order(&self, faults: Faults) -> bool {
        self.simulator().map(|mut ec2| ec2.set_faults(faults)).is_some()
    }

    /// Orders the next call of an action to fail; false without a simulator.
    pub(crate) fn order_error(&self, action: &str, code: &str, after_effect: bool) -> bool {
        let next = ErrorNext { action: action.to_owned(), code: code.to_owned(), count: 1, after_effect };
        self.order(Faults { error_next: vec![next], ..Faults::default() })
    }

    /// The same fleet through another client, which tries again up to `attempts_max` times.
    pub(crate) fn fleet_that_retries(&self, attempts_max: u32) -> Fleet {
        let retries =
            RetryConfig::standard().with_max_attempts(attempts_max).with_initial_backoff(Duration::from_millis(1));
        let config = self.client.config().to_builder().retry_config(retries).build();
        Fleet::new(Client::from_conf(config), &self.name, EndpointAddress::Private)
    }

    pub(crate) fn public_fleet(&self) -> Fleet {
        Fleet::new(self.client.clone(), &self.name, EndpointAddress::Public)
    }

    pub(crate) fn token(&self, number: u32) -> LaunchToken {
        LaunchToken::trusted(format!("{}-{number}", self.name))
    }

    /// An intent for two types in every subnet.
    pub(crate) fn intent(&self, market: Market, count: u64) -> Intent {
        let launch = Launch {
            template_id: self.template_id.clone(),
            template_version: 1,
            market,
            instance_types: vec!["t3.medium".to_owned(), "t3a.medium".to_owned()],
            subnets: self.subnets.clone(),
            except: Vec::new(),
            sessions: 1,
        };
        Intent { count, launch, since: Timestamp(0) }
    }

    /// Launches on demand, and waits until EC2 shows them all as running.
    pub(crate) async fn running(&self, number: u32, count: u64) -> Vec<InstanceId> {
        let launched = self.fleet.launch(0, &self.token(number), &self.intent(Market::OnDemand, count)).await;
        assert_eq!(launched.failures, []);
        let ids: Vec<InstanceId> = launched.instances.into_iter().map(|one| one.instance).collect();
        for id in &ids {
            self.wait_for(id, Ec2State::Running).await;
        }
        ids
    }

    /// Waits until EC2 shows an instance in a state.
    pub(crate) async fn wait_for(&self, id: &InstanceId, state: Ec2State) -> Ec2Instance {
        let mut shown = None;
        for _ in 0..LOOKS_MAX {
            let words = self.fleet.describe(std::slice::from_ref(id)).await.expect("EC2 describes");
            shown = words.get(id).cloned().flatten();
            if let Some(found) = shown.clone().filter(|found| found.state == state) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{id} never came to {state:?}; EC2 shows {shown:?}");
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's main reads where to run")]
fn emulator() -> Option<String> {
    std::env::var("AWS_ENDPOINT_URL_EC2").ok().filter(|url| !url.is_empty())
}

async fn simulator(config: Config) -> (String, Arc<Mutex<Ec2>>) {
    let ec2 = Arc::new(Mutex::new(Ec2::new(config)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("a bound listener has an address"));
    let (events, _) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(ec2_sim::wire::serve(
        listener,
        Arc::clone(&ec2),
        ec2_sim::wire::wall_clock(),
        events,
        std::future::pending(),
    ));
    (endpoint, ec2)
}

/// A client for plain HTTP.
pub(crate) fn client(endpoint: &str, retries: RetryConfig) -> Client {
    let config = aws_sdk_ec2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(endpoint)
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .region(Region::new("us-east-1"))
        .retry_config(retries);
    Client::from_conf(config.build())
}

/// An id of the right form that no EC2 gave out.
pub(crate) fn unknown_id() -> InstanceId {
    "i-0fedcba9876543210".parse().expect("a sound id")
}
