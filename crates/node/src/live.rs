//! The live page: Chrome's screen as it changes, for people.
//!
//! Rule: it looks and touches nothing. Frames of a page come only as fast as the watcher takes them, since Chrome waits for the word that
//! one was received.

use std::collections::BTreeMap;

use axum::extract::ws::{Message, WebSocket};
use data_encoding::BASE64;
use serde_json::{Value, json};

use crate::cdp::{Cdp, CdpError};
use crate::chrome::DevTools;
use crate::session::{Over, Visit};

/// The page itself.
pub const PAGE: &str = include_str!("live.html");

/// Sends the watcher a JPEG for each change of the page in front, until either side or the lease ends. Texts say what to know.
pub async fn show(mut watcher: WebSocket, visit: Visit) {
    let word = tokio::select! {
        shown = frames(&mut watcher, &visit.devtools) => match shown {
            Ok(()) => return,
            Err(error) => error.to_string(),
        },
        over = visit.over() => match over {
            Over::Lease => "The lease has ended.".to_owned(),
            Over::Chrome => "Chrome ended; load this page again.".to_owned(),
        },
    };
    // Who has gone needs no word.
    let _ = watcher.send(Message::text(word)).await;
    let _ = watcher.send(Message::Close(None)).await;
}

/// Chrome does not say which of its pages is in front, so each is looked at, and the one that changed last is shown. Nothing is waited for but
/// what comes, since a frame that is not taken in is the last one of its page.
async fn frames(watcher: &mut WebSocket, devtools: &DevTools) -> Result<(), CdpError> {
    let mut chrome = Cdp::connect(devtools).await?;
    // Pages that are there already are attached to as well.
    let attach = json!({ "autoAttach": true, "waitForDebuggerOnStart": false, "flatten": true });
    chrome.send(None, "Target.setAutoAttach", attach).await?;
    // By session: whether it was empty when it was first looked at. Then its first frame says nothing where another page is seen.
    let mut pages: BTreeMap<String, bool> = BTreeMap::new();
    let mut shown = String::new();
    loop {
        let message = tokio::select! {
            told = watcher.recv() => match told {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
                Some(Ok(_)) => continue,
            },
            message = chrome.next() => message?,
        };
        let parameters = &message["params"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match message["method"].as_str() {
            Some("Target.attachedToTarget") if parameters["targetInfo"]["type"] == "page" => {
                let page = text(&parameters["sessionId"]);
                let cast = json!({ "format": "jpeg", "quality": 70, "maxWidth": 1280, "maxHeight": 1280 });
                chrome.send(Some(&page), "Page.startScreencast", cast).await?;
                let url = text(&parameters["targetInfo"]["url"]);
                pages.insert(page, url.is_empty() || url == "about:blank");
            }
            Some("Target.detachedFromTarget") => {
                let page = text(&parameters["sessionId"]);
                pages.remove(&page);
                if page == shown {
                    // Who has gone is found out by the next frame.
                    let _ = watcher.send(Message::text("The page was closed.")).await;
                }
            }
            Some("Page.screencastFrame") => {
                let page = text(&message["sessionId"]);
                let taken_in = json!({ "sessionId": parameters["sessionId"] });
                chrome.send(Some(&page), "Page.screencastFrameAck", taken_in).await?;
                let is_blank = pages.get_mut(&page).is_some_and(std::mem::take);
                if is_blank && !shown.is_empty() && shown != page {
                    continue;
                }
                let picture = BASE64.decode(text(&parameters["data"]).as_bytes());
                if watcher.send(Message::binary(picture.unwrap_or_default())).await.is_err() {
                    return Ok(());
                }
                shown = page;
            }
            _ => {}
        }
    }
}
