//! HTTP: metrics and health for anyone who reaches the port; commands only where configured, and only from this machine.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

use crate::control::command::{self, Answer, Code, REQUEST_BYTES_MAX};
use crate::control::desk::Desk;
use crate::telemetry::prometheus;

/// Most connections at a time; more wait unaccepted.
const CONNECTIONS_MAX: usize = 32;
/// How long a connection may last, whatever it does: nobody holds a place for ever.
const CONNECTION_LIFE: Duration = Duration::from_secs(120);

#[derive(Clone, Debug)]
struct Shared {
    desk: Arc<Desk>,
    takes_commands: bool,
}

/// Serves for ever.
pub(super) async fn serve(
    listener: TcpListener,
    desk: Arc<Desk>,
    takes_commands: bool,
) -> io::Result<()> {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .route("/counters", get(async |State(shared): State<Shared>| Json(shared.desk.counters())))
        .route(
            "/histograms",
            get(async |State(shared): State<Shared>| Json(shared.desk.histograms())),
        )
        .route("/command", post(run_command))
        .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
        .with_state(Shared { desk, takes_commands });
    let bounded = Bounded { listener, permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)) };
    axum::serve(bounded, router.into_make_service_with_connect_info::<Peer>()).await
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let text = prometheus::render(&shared.desk.registry.snapshot());
    ([(header::CONTENT_TYPE, prometheus::CONTENT_TYPE)], text).into_response()
}

async fn health(State(shared): State<Shared>) -> Response {
    let (is_healthy, report) = shared.desk.health();
    let status = if is_healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}

async fn run_command(
    State(shared): State<Shared>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = match may_command(shared.takes_commands, peer, &headers) {
        Err(why) => Answer::refused(Code::NotAllowed, why),
        Ok(()) => match command::parse(&body) {
            Ok(request) => shared.desk.execute(&request, &format!("http {peer}")).await,
            Err(refusal) => refusal,
        },
    };
    let status = match answer.code {
        None => StatusCode::OK,
        Some(Code::BadRequest) => StatusCode::BAD_REQUEST,
        Some(Code::TooLong) => StatusCode::PAYLOAD_TOO_LARGE,
        Some(Code::NotAllowed) => StatusCode::FORBIDDEN,
        Some(Code::NotConfigured) => StatusCode::UNPROCESSABLE_ENTITY,
        Some(Code::Unavailable) => StatusCode::SERVICE_UNAVAILABLE,
        Some(Code::NotConfirmed) => StatusCode::GATEWAY_TIMEOUT,
    };
    (status, Json(answer)).into_response()
}

/// Whether this peer may command. A web page open in a browser on this machine is a loopback peer too: what it can send
/// without asking first has another content type, and what it reaches by a name of its own has another host.
fn may_command(
    takes_commands: bool,
    peer: SocketAddr,
    headers: &HeaderMap,
) -> Result<(), &'static str> {
    if !takes_commands {
        return Err("commands over HTTP are switched off; use the unix socket");
    }
    if !peer.ip().to_canonical().is_loopback() {
        return Err("commands are taken from this machine only");
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !is_loopback_host(text(header::HOST)) {
        return Err("the Host header must name this machine's loopback address");
    }
    if text(header::CONTENT_TYPE).split(';').next().map(str::trim) != Some("application/json") {
        return Err("the content type must be application/json");
    }
    Ok(())
}

fn is_loopback_host(host: &str) -> bool {
    if let Ok(with_port) = host.parse::<SocketAddr>() {
        return with_port.ip().is_loopback();
    }
    let name =
        host.rsplit_once(':').filter(|_| !host.ends_with(']')).map_or(host, |(name, _)| name);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The address of the other end.
#[derive(Clone, Copy, Debug)]
struct Peer(SocketAddr);

impl Connected<IncomingStream<'_, Bounded>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Bounded>) -> Peer {
        Peer(*stream.remote_addr())
    }
}

/// A listener that holds a bounded number of connections, each for a bounded time.
#[derive(Debug)]
struct Bounded {
    listener: TcpListener,
    permits: Arc<Semaphore>,
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let permits = Arc::clone(&self.permits);
        let permit = permits.acquire_owned().await.expect("the semaphore is never closed");
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let end = Box::pin(tokio::time::sleep(CONNECTION_LIFE));
                    return (Connection { stream, end, _permit: permit }, peer);
                }
                Err(error) => {
                    tracing::warn!(%error, "HTTP accepts nothing");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    /// The stream, unless the connection has lasted long enough.
    fn stream(&mut self, context: &mut Context<'_>) -> io::Result<Pin<&mut TcpStream>> {
        match self.end.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(Pin::new(&mut self.stream)),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream(context)?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream(context)?.poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream(context)?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream(context)?.poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_may_command_and_only_by_its_own_name() {
        let headers = |host: &str, kind: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().expect("a header"));
            headers.insert(header::CONTENT_TYPE, kind.parse().expect("a header"));
            headers
        };
        let local: SocketAddr = "127.0.0.1:9".parse().expect("an address");
        let mapped: SocketAddr = "[::ffff:127.0.0.1]:9".parse().expect("an address");
        let remote: SocketAddr = "192.0.2.1:9".parse().expect("an address");
        let json = "application/json; charset=utf-8";
        for host in ["localhost", "localhost:80", "127.0.0.1:80", "[::1]:80", "[::1]", "127.0.0.1"]
        {
            assert_eq!(may_command(true, local, &headers(host, json)), Ok(()), "{host}");
        }
        assert!(may_command(true, mapped, &headers("localhost", json)).is_ok());
        assert!(may_command(false, local, &headers("localhost", json)).is_err());
        assert!(may_command(true, remote, &headers("localhost", json)).is_err());
        assert!(may_command(true, local, &headers("localhost", "text/plain")).is_err());
        assert!(may_command(true, local, &HeaderMap::new()).is_err());
        for host in ["evil.example", "localhost.evil.example", "192.0.2.1:80", "", ":", "[", "]:1"]
        {
            assert!(may_command(true, local, &headers(host, json)).is_err(), "{host}");
        }
    }
}
