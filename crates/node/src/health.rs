//! Whether Chrome works: it is asked its version over a connection that stays open.
//!
//! Rule: it is asked once a second at most, whoever wants to know, since anyone may ask.

use std::time::Duration;

use serde_json::json;
use tokio::sync::Mutex;

use crate::cdp::Cdp;
use crate::chrome::DevTools;
use crate::clock::now_ms;
use crate::session::Session;

/// How long Chrome may take to tell its version.
const ANSWER: Duration = Duration::from_secs(3);
/// How long an answer is believed, in milliseconds.
const BELIEVED_MS: u64 = 1_000;

/// The last word of Chrome, and the connection to it.
#[derive(Debug, Default)]
pub struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    connection: Option<(DevTools, Cdp)>,
    last: Option<(u64, Result<String, String>)>,
}

impl Health {
    /// Chrome's version.
    ///
    /// # Errors
    /// Why the node is not healthy, in words for people.
    pub async fn check(&self, session: &Session) -> Result<String, String> {
        if let Some(notice) = session.notice() {
            return Err(format!("EC2 takes this instance back: {notice}"));
        }
        let mut state = self.0.lock().await;
        if let Some((at, last)) = &state.last
            && now_ms().saturating_sub(*at) < BELIEVED_MS
        {
            return last.clone();
        }
        let asked = tokio::time::timeout(ANSWER, state.ask(session)).await;
        let answer =
            asked.unwrap_or_else(|_| Err(format!("Chrome did not answer within {} seconds", ANSWER.as_secs())));
        if answer.is_err() {
            state.connection = None;
        }
        state.last = Some((now_ms(), answer.clone()));
        answer
    }
}

impl State {
    async fn ask(&mut self, session: &Session) -> Result<String, String> {
        let devtools = session.devtools()?;
        let connection = self.connection.take().filter(|(to, _)| *to == devtools);
        let mut cdp = match connection {
            Some((_, cdp)) => cdp,
            None => Cdp::connect(&devtools).await.map_err(|error| error.to_string())?,
        };
        let version = cdp.call(None, "Browser.getVersion", json!({})).await.map_err(|error| error.to_string())?;
        self.connection = Some((devtools, cdp));
        Ok(version["product"].as_str().unwrap_or_default().to_owned())
    }
}
