//! Ports that stay a test's own, also while the server behind one is down.

use parking_lot::Mutex;
use std::net::{SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as Name, UnixListener};

/// Below those that the system gives to outgoing connections: none of these can sit on the port of a server that is
/// about to come back.
const FIRST: u16 = 20_000;
const LAST: u16 = 31_999;

/// What is given away until the process ends. A name in the system's own name space is a lock between test processes
/// that leaves nothing behind.
static TAKEN: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

/// A port on the loopback that nobody uses now and no other test will be given.
pub fn free_port() -> u16 {
    let mut taken = TAKEN.lock();
    // Processes start at different places, so that they seldom meet.
    let start = std::process::id().wrapping_mul(7_919) % u32::from(LAST - FIRST);
    let start = FIRST + u16::try_from(start).expect("below the last");
    for port in (start..=LAST).chain(FIRST..start) {
        let name = Name::from_abstract_name(format!("tollgate-test-port-{port}")).expect("a short name");
        let Ok(lock) = UnixListener::bind_addr(&name) else { continue };
        if TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).is_ok() {
            taken.push(lock);
            return port;
        }
    }
    panic!("no port between {FIRST} and {LAST} is free");
}
