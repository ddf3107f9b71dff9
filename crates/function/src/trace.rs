//! One id for everything that a request causes: `trace_id`. It is the request's id at API Gateway, stands in the API's
//! access log, in each line and metric of the function that answers, in the table beside the wake-up of `scale`, and so
//! in the lines of the run that this causes.

use std::future::Future;

use lambda_runtime::Context;
use tracing::Instrument;

use crate::metrics;

tokio::task_local! {
    static TRACE_ID: Option<String>;
}

/// The id of what is being worked on; `None` in a run of the schedule, and where nobody began an invocation.
#[must_use]
pub fn id() -> Option<String> {
    TRACE_ID.try_with(Clone::clone).ok().flatten()
}

/// Works under ids that stand in every line of it, and writes its metrics at the end.
pub(crate) async fn invocation<T>(trace_id: Option<String>, context: &Context, work: impl Future<Output = T>) -> T {
    let request_id = context.request_id.as_str();
    let span = tracing::info_span!("invocation", request_id, trace_id = trace_id.as_deref());
    let done = TRACE_ID.scope(trace_id.clone(), work.instrument(span)).await;
    metrics::flush(std::io::stdout(), request_id, trace_id.as_deref());
    done
}

/// Goes on under the id of the request that caused this run, which is known only now.
pub fn follow(trace_id: &str) {
    tracing::Span::current().record("trace_id", trace_id);
}
