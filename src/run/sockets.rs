//! HTTP sockets: bound early, so that a port in use is noticed at once and port 0 becomes a number;
//! opened late, when the service is ready.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpSocket};

use crate::config::Http;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;

/// Bound sockets that don't listen yet.
#[derive(Debug)]
pub struct HttpSockets {
    private: TcpSocket,
    private_address: SocketAddr,
    public: Option<(TcpSocket, SocketAddr)>,
}

impl HttpSockets {
    /// Binds the configured addresses.
    ///
    /// # Errors
    /// If an address is in use or can't be bound.
    pub fn bind(listen: SocketAddr, public_listen: Option<SocketAddr>) -> anyhow::Result<Self> {
        let (private, private_address) = bind(listen)?;
        let public = public_listen.map(bind).transpose()?;
        Ok(Self { private, private_address, public })
    }

    /// Where storefronts, operators and monitoring find it.
    #[must_use]
    pub fn private_address(&self) -> SocketAddr {
        self.private_address
    }

    /// How the gateway and buyers reach it.
    #[must_use]
    pub fn public_url(&self, http: &Http) -> String {
        let bound = self.public.as_ref().map_or(self.private_address, |(_, address)| *address);
        http.public_url.clone().unwrap_or_else(|| format!("http://{bound}"))
    }

    pub(super) fn listen(self) -> anyhow::Result<(TcpListener, Option<TcpListener>)> {
        let private = open(self.private, self.private_address)?;
        let public = self.public.map(|(socket, address)| open(socket, address)).transpose()?;
        Ok((private, public))
    }
}

fn open(socket: TcpSocket, address: SocketAddr) -> anyhow::Result<TcpListener> {
    socket.listen(BACKLOG).with_context(|| format!("the address {address} for HTTP can't be used"))
}

fn bind(address: SocketAddr) -> anyhow::Result<(TcpSocket, SocketAddr)> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let bound = socket.and_then(|socket| {
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let address = socket.local_addr()?;
        Ok((socket, address))
    });
    bound.with_context(|| format!("the address {address} for HTTP can't be used"))
}
