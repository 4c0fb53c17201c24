//! The unix socket: requests and answers as lines of JSON, for the user who runs the process and for root.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::Semaphore;

use crate::control::command::{self, REQUEST_BYTES_MAX};
use crate::control::desk::Desk;

/// Most connections at a time; more wait unaccepted.
const CONNECTIONS_MAX: usize = 16;
/// How long a connection may say nothing, or not read its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A socket in the file system, removed when this is dropped unless another has taken its place.
#[derive(Debug)]
pub(super) struct BoundSocket {
    path: PathBuf,
    inode: u64,
    listener: UnixListener,
}

impl BoundSocket {
    /// Binds `path` with mode 0600, in the place of a socket that a dead process left there.
    pub(super) fn bind(path: &Path) -> io::Result<BoundSocket> {
        if let Ok(there) = fs::symlink_metadata(path) {
            if !there.file_type().is_socket() {
                let error = "something that is not a socket is there";
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, error));
            }
            if UnixStream::connect(path).is_ok() {
                let error = "another process answers there; is postern running already?";
                return Err(io::Error::new(io::ErrorKind::AddrInUse, error));
            }
        }
        // Bound under another name first: at no moment can anyone else open the socket under its own name.
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}", std::process::id()));
        let temporary = PathBuf::from(temporary);
        if fs::symlink_metadata(&temporary).is_ok() {
            fs::remove_file(&temporary)?;
        }
        let listener = UnixListener::bind(&temporary)?;
        let moved = fs::set_permissions(&temporary, fs::Permissions::from_mode(0o600))
            .and_then(|()| fs::rename(&temporary, path));
        if let Err(error) = moved {
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        listener.set_nonblocking(true)?;
        let inode = fs::symlink_metadata(path)?.ino();
        Ok(BoundSocket { path: path.to_owned(), inode, listener })
    }
}

impl Drop for BoundSocket {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|there| there.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Takes connections for ever.
pub(super) async fn serve(socket: &BoundSocket, desk: Arc<Desk>) -> io::Result<()> {
    let listener = tokio::net::UnixListener::from_std(socket.listener.try_clone()?)?;
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = Arc::clone(&permits).acquire_owned().await.map_err(io::Error::other)?;
        match listener.accept().await {
            Ok((stream, _)) => {
                let desk = Arc::clone(&desk);
                tokio::spawn(async move {
                    if let Err(error) = converse(stream, &desk).await {
                        tracing::debug!(%error, "control connection ended");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "control socket accepts nothing");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Answers line after line until the peer ends, falls silent, or sends too much.
async fn converse(mut stream: tokio::net::UnixStream, desk: &Desk) -> io::Result<()> {
    let peer = stream.peer_cred()?;
    let from = format!("socket uid={} pid={}", peer.uid(), peer.pid().unwrap_or(0));
    let (read, mut write) = stream.split();
    let mut read = BufReader::new(read);
    let mut line = Vec::with_capacity(REQUEST_BYTES_MAX);
    let limit = u64::try_from(REQUEST_BYTES_MAX).unwrap_or(u64::MAX);
    loop {
        line.clear();
        let mut bounded = (&mut read).take(limit + 1);
        let next = bounded.read_until(b'\n', &mut line);
        let count = tokio::time::timeout(PATIENCE, next).await??;
        if count == 0 {
            return Ok(());
        }
        let is_too_long = line.len() > REQUEST_BYTES_MAX;
        let answer = match command::parse(&line) {
            Ok(request) => desk.execute(&request, &from).await,
            Err(refusal) => refusal,
        };
        tokio::time::timeout(PATIENCE, write.write_all(answer.line().as_bytes())).await??;
        if is_too_long {
            // Where the next request begins is anybody's guess.
            return Ok(());
        }
    }
}
