//! Passes requests from the port on loopback to the browser, with the lease's token.
//!
//! Rule: the port opens the browser to programs of this machine and not to web pages: a page's request names its origin, or a host that is
//! not this machine, and is refused.

use std::convert::Infallible;
use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::rustls::pki_types::ServerName;

use super::Browser;

type Body = BoxBody<Bytes, hyper::Error>;

/// Serves connections for ever.
pub(super) async fn serve(listener: TcpListener, browser: Browser, token: watch::Receiver<String>) {
    loop {
        let Ok((caller, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let (browser, token) = (browser.clone(), token.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let (browser, token) = (browser.clone(), token.borrow().clone());
                async move { Ok::<_, Infallible>(answer(request, &browser, &token).await) }
            });
            // What goes wrong in one connection is its caller's to know.
            let _ = server::Builder::new().serve_connection(TokioIo::new(caller), service).with_upgrades().await;
        });
    }
}

async fn answer(request: Request<Incoming>, browser: &Browser, token: &str) -> Response<Body> {
    if request.headers().contains_key(header::ORIGIN) || !is_for_this_machine(request.headers()) {
        return refusal(StatusCode::FORBIDDEN, "this port is for programs of this machine and not for web pages");
    }
    match pass(request, browser, token).await {
        Ok(response) => response,
        Err(why) => refusal(StatusCode::BAD_GATEWAY, &format!("the leased browser does not answer: {why}")),
    }
}

/// Whether the host that a request names is this machine: a page whose name leads here by its own DNS names another.
fn is_for_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn pass(request: Request<Incoming>, browser: &Browser, token: &str) -> Result<Response<Body>, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let stream = TcpStream::connect(&browser.authority).await.map_err(|error| text(&error))?;
    stream.set_nodelay(true).map_err(|error| text(&error))?;
    let Some(tls) = &browser.tls else { return over(stream, request, token).await };
    // The name is not looked at, since the certificate itself is known.
    let name = ServerName::try_from("localhost").map_err(|error| text(&error))?;
    let stream = tls.connect(name, stream).await.map_err(|error| text(&error))?;
    over(stream, request, token).await
}

async fn over<S>(stream: S, mut request: Request<Incoming>, token: &str) -> Result<Response<Body>, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(connection.with_upgrades());
    let bearer = HeaderValue::try_from(format!("Bearer {token}")).map_err(|error| error.to_string())?;
    let caller = hyper::upgrade::on(&mut request);
    request.headers_mut().insert(header::AUTHORIZATION, bearer);
    // The caller speaks plain HTTP with this port, which the URLs in an answer have to say.
    request.headers_mut().insert("x-forwarded-proto", HeaderValue::from_static("http"));
    let mut response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let browser = hyper::upgrade::on(&mut response);
        tokio::spawn(async move {
            if let (Ok(caller), Ok(browser)) = (caller.await, browser.await) {
                // Either side may end it.
                let _ = copy_bidirectional(&mut TokioIo::new(caller), &mut TokioIo::new(browser)).await;
            }
        });
    }
    Ok(response.map(BodyExt::boxed))
}

fn refusal(status: StatusCode, detail: &str) -> Response<Body> {
    let text = format!("{detail}\n");
    let mut response = Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_another_host_is_told_from_this_machine() {
        let is_here = |host: &str| {
            is_for_this_machine(&HeaderMap::from_iter([(header::HOST, HeaderValue::from_str(host).expect("a host"))]))
        };
        assert!(["localhost:9222", "127.0.0.1:9222", "localhost", "127.0.0.1"].into_iter().all(is_here));
        assert!(!["example.com:9222", "127.0.0.1.example.com", "10.0.0.1:9222", ""].into_iter().any(is_here));
    }
}
