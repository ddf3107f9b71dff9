//! The live page: Chrome's screen as it changes, for people.
//!
//! Rule: it looks and touches nothing. Frames come only as fast as the watcher takes them, since Chrome waits for the word that one was
//! shown.

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

async fn frames(watcher: &mut WebSocket, devtools: &DevTools) -> Result<(), CdpError> {
    let mut chrome = Cdp::connect(devtools).await?;
    chrome.call(None, "Target.setDiscoverTargets", json!({ "discover": true })).await?;
    let mut shown = Value::Null;
    let mut page = String::new();
    let targets = chrome.call(None, "Target.getTargets", json!({})).await?["targetInfos"].take();
    let last = targets.as_array().into_iter().flatten().rfind(|target| target["type"] == "page");
    if let Some(target) = last {
        (shown, page) = watch(&mut chrome, &target["targetId"]).await?;
    }
    loop {
        let message = tokio::select! {
            told = watcher.recv() => match told {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Ok(()),
                Some(Ok(_)) => continue,
            },
            message = chrome.next() => message?,
        };
        let parameters = &message["params"];
        match message["method"].as_str() {
            // The page that was opened last is the one in front.
            Some("Target.targetCreated") if parameters["targetInfo"]["type"] == "page" => {
                (shown, page) = watch(&mut chrome, &parameters["targetInfo"]["targetId"]).await?;
            }
            Some("Target.targetDestroyed") if parameters["targetId"] == shown => {
                // Who has gone is found out by the next frame.
                let _ = watcher.send(Message::text("The page was closed.")).await;
            }
            Some("Page.screencastFrame") if message["sessionId"] == page.as_str() => {
                let picture = BASE64.decode(parameters["data"].as_str().unwrap_or_default().as_bytes());
                if watcher.send(Message::binary(picture.unwrap_or_default())).await.is_err() {
                    return Ok(());
                }
                chrome
                    .send(Some(&page), "Page.screencastFrameAck", json!({ "sessionId": parameters["sessionId"] }))
                    .await?;
            }
            _ => {}
        }
    }
}

/// Has Chrome send what a page shows; answers the page and its session.
async fn watch(chrome: &mut Cdp, target: &Value) -> Result<(Value, String), CdpError> {
    let attached = chrome.call(None, "Target.attachToTarget", json!({ "targetId": target, "flatten": true })).await?;
    let page = attached["sessionId"].as_str().unwrap_or_default().to_owned();
    let cast = json!({ "format": "jpeg", "quality": 70, "maxWidth": 1280, "maxHeight": 1280 });
    chrome.call(Some(&page), "Page.startScreencast", cast).await?;
    Ok((target.clone(), page))
}
