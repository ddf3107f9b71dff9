//! Calls to Chrome over its DevTools protocol, for what the node itself wants of it
//! (<https://chromedevtools.github.io/devtools-protocol/>).
//!
//! Rule: one call at a time; events that nobody waits for are dropped.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message, protocol::WebSocketConfig};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::chrome::DevTools;

/// A picture of a long page is tens of MiB in base64.
const MESSAGE_BYTES_MAX: usize = 256 << 20;

/// Chrome did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CdpError {
    /// The connection failed.
    #[error("Chrome's DevTools do not answer: {0}")]
    Socket(#[from] Box<tungstenite::Error>),
    /// The connection ended.
    #[error("Chrome closed the connection")]
    Closed,
    /// Chrome refused.
    #[error("Chrome refused {method}: {message}")]
    Refused {
        /// What was asked.
        method: &'static str,
        /// Why it was refused.
        message: String,
    },
    /// A page could not be opened.
    #[error("the page cannot be opened: {0}")]
    NoPage(String),
}

/// A stream to a Chrome.
pub type ChromeSocket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens a WebSocket to a path of Chrome's DevTools.
///
/// # Errors
/// When Chrome does not take it.
pub async fn open(devtools: &DevTools, path: &str, message_bytes_max: usize) -> Result<ChromeSocket, CdpError> {
    let limits =
        WebSocketConfig::default().max_message_size(Some(message_bytes_max)).max_frame_size(Some(message_bytes_max));
    let url = format!("ws://{}{path}", devtools.authority);
    let (socket, _) = tokio_tungstenite::connect_async_with_config(url, Some(limits), true).await.map_err(Box::new)?;
    Ok(socket)
}

/// A connection to Chrome, on which one call follows the other.
#[derive(Debug)]
pub struct Cdp {
    socket: ChromeSocket,
    calls: u64,
}

impl Cdp {
    /// Connects to the whole browser.
    ///
    /// # Errors
    /// When Chrome does not take it.
    pub async fn connect(devtools: &DevTools) -> Result<Self, CdpError> {
        Ok(Self { socket: open(devtools, &devtools.path, MESSAGE_BYTES_MAX).await?, calls: 0 })
    }

    /// Calls a method, of a page if its session is given, and waits for what it answers.
    ///
    /// # Errors
    /// When Chrome refuses or is gone.
    pub async fn call(
        &mut self,
        page: Option<&str>,
        method: &'static str,
        parameters: Value,
    ) -> Result<Value, CdpError> {
        let id = self.send(page, method, parameters).await?;
        loop {
            let mut message = self.next().await?;
            if message["id"] != id {
                continue;
            }
            if let Some(refused) = message["error"]["message"].as_str() {
                return Err(CdpError::Refused { method, message: refused.to_owned() });
            }
            return Ok(message["result"].take());
        }
    }

    /// Sends a call and does not wait for its answer; answers its number.
    ///
    /// # Errors
    /// When Chrome is gone.
    pub async fn send(&mut self, page: Option<&str>, method: &'static str, parameters: Value) -> Result<u64, CdpError> {
        self.calls += 1;
        let mut call = json!({ "id": self.calls, "method": method, "params": parameters });
        if let Some(page) = page {
            call["sessionId"] = page.into();
        }
        self.socket.send(Message::text(call.to_string())).await.map_err(Box::new)?;
        Ok(self.calls)
    }

    /// The next answer or event.
    ///
    /// # Errors
    /// When Chrome is gone.
    pub async fn next(&mut self) -> Result<Value, CdpError> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap_or_default()),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Box::new(error).into()),
                None => return Err(CdpError::Closed),
            }
        }
    }
}
