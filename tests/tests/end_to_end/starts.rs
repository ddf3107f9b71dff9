//! How a function starts: the connection to the table is opened before the first request for work.

use std::time::Duration;

use pool_bench::starts::{World, function};
use pool_local::functions::Function;

use crate::system::binaries;

/// A new connection to the table takes so much longer.
const DELAY: Duration = Duration::from_millis(200);

/// Functions that somebody waits for.
const WAITED_FOR: [Function; 5] =
    [Function::Acquire, Function::Release, Function::Register, Function::Status, Function::Operate];

#[tokio::test(flavor = "multi_thread")]
async fn the_first_request_opens_no_connection() {
    let directory = std::env::temp_dir().join(format!("pool-starts-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory for certificates");
    let world = World::start(DELAY, &directory).await.expect("a table behind TLS");
    let binaries = binaries();
    for of in WAITED_FOR {
        let start = world.start_one(&function(of, &binaries)).await.expect("it starts and answers");
        assert_eq!(start.connections, (1, 1), "{}: begun before it asked for work, and by its answer", of.name());
        // What each new connection is kept waiting for is over by then, so no request pays for it.
        assert!(start.next_ms >= DELAY.as_secs_f64() * 1e3, "{}: the server delays nothing", of.name());
    }
    std::fs::remove_dir_all(&directory).expect("it can be removed");
}
