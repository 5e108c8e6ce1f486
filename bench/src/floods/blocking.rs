//! HTTP/1.1 over a socket that blocks, with TLS or without.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};
use socket2::{Domain, Socket, Type};

use crate::{Result, load::parse_head};

/// The longest time to wait for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

pub(super) trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

pub(super) fn connect(
    address: SocketAddr,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<Box<dyn Stream>> {
    speak(TcpStream::connect(address)?, tls)
}

/// The same from one of this machine's own addresses.
pub(super) fn connect_from(
    source: Ipv4Addr,
    address: SocketAddr,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<Box<dyn Stream>> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    socket.connect(&address.into())?;
    speak(socket.into(), tls)
}

fn speak(stream: TcpStream, tls: Option<&Arc<ClientConfig>>) -> Result<Box<dyn Stream>> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let Some(config) = tls else { return Ok(Box::new(stream)) };
    let client = ClientConnection::new(config.clone(), ServerName::try_from("localhost")?)?;
    Ok(Box::new(StreamOwned::new(client, stream)))
}

/// Bytes that were read, and belong to the next answers.
#[derive(Default)]
pub(super) struct Buffer(Vec<u8>);

impl Buffer {
    /// Reads one answer to its last byte, and gives its status.
    pub(super) fn read_answer(&mut self, stream: &mut dyn Stream) -> Result<u16> {
        self.0.clear();
        let mut some = [0; 1 << 14];
        loop {
            if let Some(head) = parse_head(&self.0)?
                && self.0.len() >= head.length + head.body_length
            {
                return Ok(head.status);
            }
            match stream.read(&mut some)? {
                0 => return Err("the server closed a connection".into()),
                read => self.0.extend_from_slice(&some[..read]),
            }
        }
    }
}
