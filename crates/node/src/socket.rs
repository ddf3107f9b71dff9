//! A caller's WebSocket to Chrome: frames go both ways until either side, or the lease, ends.
//!
//! Rule: every message is read whole before it is passed on, so that nothing but sound ones within the limit reaches Chrome, and its reader
//! is told in a close frame why the node ends it.

use axum::extract::ws::{CloseFrame, Message as Told, WebSocket, close_code};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::{self, Message as Said};

use crate::cdp::{self, ChromeSocket};
use crate::session::{Over, Visit};

/// Passes messages between a caller and a path of Chrome's DevTools until one of them ends.
pub async fn pass(mut caller: WebSocket, visit: Visit, path: String, message_bytes_max: usize) {
    let farewell = match cdp::open(&visit.devtools, &path, message_bytes_max).await {
        Ok(chrome) => tokio::select! {
            farewell = exchange(&mut caller, chrome) => farewell,
            over = visit.over() => Some(match over {
                Over::Lease => (close_code::POLICY, "the lease has ended"),
                Over::Chrome => (close_code::AWAY, "Chrome ended; connect again"),
            }),
        },
        Err(error) => {
            tracing::warn!(%error, "Chrome does not take a caller's socket");
            Some((close_code::ERROR, "Chrome does not take this socket; see /json/list for what it has"))
        }
    };
    if let Some((code, reason)) = farewell {
        // Who has gone needs no farewell.
        let _ = caller.send(Told::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
    }
}

type Farewell = Option<(u16, &'static str)>;

/// Ends when either side does; the answer is what the caller is to be told.
async fn exchange(caller: &mut WebSocket, mut chrome: ChromeSocket) -> Farewell {
    loop {
        tokio::select! {
            told = caller.recv() => match told {
                Some(Ok(Told::Close(_))) | None => return None,
                Some(Ok(told)) => {
                    if let Some(said) = to_chrome(told)
                        && chrome.send(said).await.is_err()
                    {
                        return Some((close_code::AWAY, "Chrome closed the connection"));
                    }
                }
                Some(Err(error)) => {
                    tracing::info!(%error, "a caller's socket is closed, since what it sent cannot be read");
                    return Some((close_code::PROTOCOL, "what was sent is no WebSocket message, or too large"));
                }
            },
            said = chrome.next() => match said {
                Some(Ok(said)) => {
                    if let Some(told) = to_caller(said)
                        && caller.send(told).await.is_err()
                    {
                        return None;
                    }
                }
                Some(Err(tungstenite::Error::Capacity(_))) => return Some((close_code::SIZE, "Chrome's message is too large")),
                Some(Err(_)) | None => return Some((close_code::AWAY, "Chrome closed the connection")),
            },
        }
    }
}

/// Pings are answered by this end.
fn to_chrome(told: Told) -> Option<Said> {
    match told {
        Told::Text(text) => Some(Said::text(text.as_str())),
        Told::Binary(bytes) => Some(Said::binary(bytes)),
        Told::Ping(_) | Told::Pong(_) | Told::Close(_) => None,
    }
}

fn to_caller(said: Said) -> Option<Told> {
    match said {
        Said::Text(text) => Some(Told::Text(text.as_str().into())),
        Said::Binary(bytes) => Some(Told::Binary(bytes)),
        Said::Ping(_) | Said::Pong(_) | Said::Close(_) | Said::Frame(_) => None,
    }
}
