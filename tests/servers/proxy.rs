//! Stands before a server on a port of its own: passes everything on, or late, or not now, or not at all.
//!
//! Threads, not tasks: it must go on while the test's own runtime is busy.

use super::port::free_port;
use super::resp::{Cutter, Frame, Said};
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub struct Proxy {
    pub port: u16,
    street: Arc<Street>,
}

/// What all connections share.
struct Street {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    target: u16,
    /// Before each piece is passed on, in each direction.
    delay: Duration,
    /// Pieces wait.
    stalled: bool,
    /// Nobody is let in.
    cut: bool,
    over: bool,
    made: u64,
    /// Both ends of each connection.
    open: HashMap<u64, [TcpStream; 2]>,
    frames: Option<Vec<Frame>>,
}

impl Proxy {
    /// Before the server at this port of the loopback.
    pub fn start(target: u16) -> Self {
        let port = free_port();
        let listener = TcpListener::bind(local(port)).expect("the port is free");
        let state = State {
            target,
            delay: Duration::ZERO,
            stalled: false,
            cut: false,
            over: false,
            made: 0,
            open: HashMap::new(),
            frames: None,
        };
        let street = Arc::new(Street { state: Mutex::new(state), changed: Condvar::new() });
        let shared = street.clone();
        std::thread::spawn(move || shared.accept(&listener));
        Self { port, street }
    }

    /// New connections go there.
    pub fn aim(&self, target: u16) {
        self.street.state.lock().target = target;
    }

    /// A slow network: this much for each way.
    pub fn delay(&self, each_way: Duration) {
        self.street.state.lock().delay = each_way;
    }

    /// Connections stand and nothing passes, until [`Self::flow`].
    pub fn stall(&self) {
        self.street.state.lock().stalled = true;
    }

    pub fn flow(&self) {
        self.street.state.lock().stalled = false;
        self.street.changed.notify_all();
    }

    /// Ends every connection and lets nobody in, until [`Self::mend`].
    pub fn cut(&self) {
        self.street.state.lock().cut = true;
        self.hang_up();
    }

    pub fn mend(&self) {
        self.street.state.lock().cut = false;
    }

    /// Ends every connection; new ones are welcome.
    pub fn hang_up(&self) {
        let open = std::mem::take(&mut self.street.state.lock().open);
        for end in open.values().flatten() {
            let _ = end.shutdown(Shutdown::Both);
        }
        self.street.changed.notify_all();
    }

    /// Connections that there were, those that are over included.
    pub fn connections(&self) -> u64 {
        self.street.state.lock().made
    }

    /// Begins to note what is said, as a Redis client and its server say it.
    pub fn record(&self) {
        self.street.state.lock().frames = Some(Vec::new());
    }

    /// What was said since [`Self::record`], in order.
    pub fn recorded(&self) -> Vec<Frame> {
        self.street.state.lock().frames.clone().expect("recording")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.street.state.lock().over = true;
        self.hang_up();
        // Wakes the listener.
        let _ = TcpStream::connect(local(self.port));
    }
}

impl Street {
    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for client in listener.incoming() {
            let (over, cut) = {
                let state = self.state.lock();
                (state.over, state.cut)
            };
            if over {
                return;
            }
            let (Ok(client), false) = (client, cut) else { continue };
            let street = self.clone();
            std::thread::spawn(move || street.join(&client));
        }
    }

    fn join(self: &Arc<Self>, client: &TcpStream) {
        let target = self.state.lock().target;
        let Ok(server) = TcpStream::connect(local(target)) else { return };
        // What is small must not wait for what follows: that would be a delay that nobody asked for.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let ends = || Some([client.try_clone().ok()?, server.try_clone().ok()?]);
        let (Some(kept), Some([reader, writer])) = (ends(), ends()) else { return };
        let number = {
            let mut state = self.state.lock();
            if state.cut || state.over {
                return;
            }
            state.made += 1;
            let number = state.made - 1;
            state.open.insert(number, kept);
            number
        };
        let street = self.clone();
        let back = std::thread::spawn(move || street.pump(writer, reader, number, |_| Said::Reply));
        if let Some([reader, writer]) = ends() {
            self.pump(reader, writer, number, Said::Request);
        }
        let _ = back.join();
        self.state.lock().open.remove(&number);
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream, connection: u64, said: fn(String) -> Said) {
        let mut cutter = Cutter::default();
        let mut piece = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut piece) {
            let delay = self.pass();
            std::thread::sleep(delay);
            self.note(&mut cutter, &piece[..read], connection, said);
            if to.write_all(&piece[..read]).is_err() {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }

    /// Waits while nothing passes.
    fn pass(&self) -> Duration {
        let mut state = self.state.lock();
        while state.stalled && !state.over && !state.cut {
            self.changed.wait(&mut state);
        }
        state.delay
    }

    fn note(&self, cutter: &mut Cutter, bytes: &[u8], connection: u64, said: fn(String) -> Said) {
        let mut state = self.state.lock();
        let Some(frames) = state.frames.as_mut() else { return };
        let at = Instant::now();
        frames.extend(cutter.feed(bytes).into_iter().map(|command| Frame { at, connection, said: said(command) }));
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
