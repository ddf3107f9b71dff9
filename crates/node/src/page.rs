//! A page by one request: its picture, or its PDF.
//!
//! Rule: the page is opened in the lease's own Chrome, with its cookies, and closed whatever happens.

use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cdp::{Cdp, CdpError};
use crate::chrome::DevTools;

/// `POST /v1/screenshot`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Screenshot {
    /// What to open.
    pub url: String,
    /// All of the page and not only what a window shows.
    #[serde(default)]
    pub full_page: bool,
    /// The kind of picture.
    #[serde(default)]
    pub format: Format,
    /// The window's width, in pixels.
    #[serde(default = "width")]
    pub width: u16,
    /// The window's height, in pixels.
    #[serde(default = "height")]
    pub height: u16,
}

/// The kind of picture.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Exact.
    #[default]
    Png,
    /// Small.
    Jpeg,
    /// Smaller.
    Webp,
}

/// `POST /v1/pdf`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pdf {
    /// What to open.
    pub url: String,
    /// The sheet on its side.
    #[serde(default)]
    pub landscape: bool,
    /// With the page's colours and pictures behind the text.
    #[serde(default)]
    pub background: bool,
}

const fn width() -> u16 {
    1280
}

const fn height() -> u16 {
    720
}

impl Format {
    /// As Chrome and a media type name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpeg",
            Self::Webp => "webp",
        }
    }
}

/// Takes a picture of a page.
///
/// # Errors
/// When the page cannot be opened or Chrome is gone.
pub async fn screenshot(devtools: &DevTools, wish: &Screenshot) -> Result<Vec<u8>, CdpError> {
    let Screenshot { width, height, .. } = wish;
    let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
    let picture = json!({ "format": wish.format.name(), "captureBeyondViewport": wish.full_page });
    with_page(devtools, &wish.url, &[("Emulation.setDeviceMetricsOverride", size)], ("Page.captureScreenshot", picture))
        .await
}

/// Prints a page.
///
/// # Errors
/// When the page cannot be opened or Chrome is gone.
pub async fn pdf(devtools: &DevTools, wish: &Pdf) -> Result<Vec<u8>, CdpError> {
    let print = json!({ "landscape": wish.landscape, "printBackground": wish.background });
    with_page(devtools, &wish.url, &[], ("Page.printToPDF", print)).await
}

type Call = (&'static str, Value);

async fn with_page(devtools: &DevTools, url: &str, before: &[Call], last: Call) -> Result<Vec<u8>, CdpError> {
    let mut chrome = Cdp::connect(devtools).await?;
    let target = chrome.call(None, "Target.createTarget", json!({ "url": "about:blank" })).await?["targetId"].take();
    let made = on_target(&mut chrome, &target, url, before, last).await;
    // A Chrome that is gone has no page to close.
    let _ = chrome.call(None, "Target.closeTarget", json!({ "targetId": target })).await;
    made
}

async fn on_target(
    chrome: &mut Cdp,
    target: &Value,
    url: &str,
    before: &[Call],
    last: Call,
) -> Result<Vec<u8>, CdpError> {
    let attach = json!({ "targetId": target, "flatten": true });
    let attached = chrome.call(None, "Target.attachToTarget", attach).await?;
    let page = attached["sessionId"].as_str().unwrap_or_default();
    for (method, parameters) in before {
        chrome.call(Some(page), method, parameters.clone()).await?;
    }
    chrome.call(Some(page), "Page.enable", json!({})).await?;
    // The page may have loaded before the answer to this comes, so its answer is one of the events that are looked at.
    let asked = chrome.send(Some(page), "Page.navigate", json!({ "url": url })).await?;
    let (mut answered, mut loaded) = (false, false);
    while !(answered && loaded) {
        let message = chrome.next().await?;
        if message["id"] == asked {
            let failed = message["error"]["message"].as_str().or(message["result"]["errorText"].as_str());
            if let Some(why) = failed.filter(|why| !why.is_empty()) {
                return Err(CdpError::NoPage(why.to_owned()));
            }
            answered = true;
        }
        loaded |= message["method"] == "Page.loadEventFired" && message["sessionId"] == page;
    }
    let (method, parameters) = last;
    let made = chrome.call(Some(page), method, parameters).await?;
    let bytes = BASE64.decode(made["data"].as_str().unwrap_or_default().as_bytes());
    bytes.map_err(|error| CdpError::Refused { method, message: error.to_string() })
}
