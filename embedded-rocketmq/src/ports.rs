//! Loopback ports: checked before the broker starts, because its own bind errors name no address.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

use crate::StartError;

/// The broker's fast listener is this far below its port (`rocketmq-broker`,
/// `request_pipeline/startup.rs`).
const FAST_LISTENER_DISTANCE: u16 = 2;
/// Tries to find two free ports that far apart.
const FREE_PORT_TRIES: usize = 64;

/// The fixed address, or a free one for port 0.
pub(crate) fn namesrv_address(wanted: SocketAddr) -> Result<SocketAddr, StartError> {
    loopback("name server", wanted)?;
    bind("name server", wanted)
}

/// A free port for the listener that replicas would use: the broker insists on one that is not 0.
pub(crate) fn replica_address(ip: IpAddr) -> Result<SocketAddr, StartError> {
    bind("broker's replica listener", SocketAddr::new(ip, 0))
}

/// The fixed address with its fast listener's, or a free pair for port 0.
pub(crate) fn broker_address(wanted: SocketAddr) -> Result<SocketAddr, StartError> {
    loopback("broker", wanted)?;
    if wanted.port() == 0 {
        return free_pair(wanted.ip());
    }
    let fast = wanted
        .port()
        .checked_sub(FAST_LISTENER_DISTANCE)
        .filter(|port| *port > 0)
        .ok_or(StartError::PortTooLow { port: wanted.port() })?;
    bind("broker", wanted)?;
    bind("broker's fast listener", SocketAddr::new(wanted.ip(), fast))?;
    Ok(wanted)
}

fn free_pair(ip: IpAddr) -> Result<SocketAddr, StartError> {
    for _ in 0..FREE_PORT_TRIES {
        // Both are held while they are compared, and let go together.
        let Ok(normal) = TcpListener::bind((ip, 0)) else { continue };
        let Ok(address) = normal.local_addr() else { continue };
        let Some(fast) = address.port().checked_sub(FAST_LISTENER_DISTANCE) else { continue };
        if TcpListener::bind((ip, fast)).is_ok() {
            return Ok(address);
        }
    }
    Err(StartError::Listen {
        listener: "broker",
        address: SocketAddr::new(ip, 0),
        source: io::Error::new(io::ErrorKind::AddrInUse, "no two free ports were found"),
    })
}

fn bind(listener: &'static str, address: SocketAddr) -> Result<SocketAddr, StartError> {
    TcpListener::bind(address)
        .and_then(|socket| socket.local_addr())
        .map_err(|source| StartError::Listen { listener, address, source })
}

fn loopback(listener: &'static str, address: SocketAddr) -> Result<(), StartError> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    Err(StartError::NotLoopback { listener, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_in_one_sentence() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = taken.local_addr().expect("its address");
        let error = namesrv_address(address).expect_err("the port is taken");
        let sentence =
            format!("the name server cannot listen on {address}: Address already in use");
        assert!(error.to_string().starts_with(&sentence), "{error}");
    }

    #[test]
    fn a_free_port_has_room_for_the_fast_listener() {
        let address = broker_address(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free pair");
        assert_eq!(broker_address(address).expect("still free"), address);
    }

    #[test]
    fn only_loopback_is_served() {
        let error =
            broker_address(SocketAddr::from(([0, 0, 0, 0], 10_911))).expect_err("not loopback");
        assert!(matches!(error, StartError::NotLoopback { listener: "broker", .. }));
    }
}
