//! Opens the listening sockets, before anything slow happens.
//!
//! Rule: a port that is taken is reported at once, with the flag that chooses another.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// A port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}. {advice}")]
pub struct ListenError {
    address: SocketAddr,
    advice: String,
    source: std::io::Error,
}

/// Opens `address:port`, which the option `flag` chose.
///
/// # Errors
/// When the port is in use or the address is not one of this machine.
pub fn listen(address: IpAddr, port: u16, flag: &str) -> Result<TcpListener, ListenError> {
    let address = SocketAddr::new(address, port);
    open(address).map_err(|source| {
        let advice = match source.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("Another program (or another `cargo local`) uses the port: stop it, or choose a free one with {flag} PORT")
            }
            std::io::ErrorKind::AddrNotAvailable => "Choose an address of this machine with --bind ADDRESS".to_owned(),
            _ => format!("Choose another port with {flag} PORT or another address with --bind ADDRESS"),
        };
        ListenError { address, advice, source }
    })
}

/// The accepted connections inherit what is set here. Without `TCP_NODELAY` an answer that is written in two parts waits
/// 40 ms for the client's delayed acknowledgement.
fn open(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_nodelay(true)?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(1_024)
}

/// The URL by which a program on this machine reaches a server that is bound to `address`.
#[must_use]
pub fn local_url(address: SocketAddr) -> String {
    let host = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
    format!("http://{}", SocketAddr::new(host, address.port()))
}
