//! The whole of `ec2-pool` on one machine, for `cargo local`: no AWS account, no Docker, only Rust.
//!
//! What is real: the Lambda binaries, the events they receive, `DynamoDB`'s conditional writes (embedded dynoxide), EC2's wire protocol
//! (`ec2-sim`). What stands in: AWS Lambda ([`functions`], [`runtime_api`], [`invoke`]), API Gateway ([`front`], [`gateway`], [`identity`]),
//! the table's stream ([`stream`]), `EventBridge` ([`schedule`], [`bus`]) and the machines ([`nodes`], [`node`], [`browser`]).
//!
//! Rule: nothing in production may need this crate, and this crate takes no decision of the pool. It carries requests, events and time to
//! the functions, as AWS would, and carries their answers back.

pub mod banner;
pub mod browser;
pub mod bus;
pub mod clock;
pub mod compile;
pub mod dynamodb;
pub mod ec2;
pub mod environment;
pub mod front;
pub mod functions;
pub mod gateway;
pub mod identity;
pub mod invoke;
pub mod listen;
pub mod live;
pub mod logs;
pub mod node;
pub mod nodes;
pub mod options;
pub mod routes;
pub mod runtime_api;
pub mod schedule;
pub mod stop;
pub mod stream;
pub mod system;
pub mod variables;
