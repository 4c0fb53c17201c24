//! People and scripts: commands, metrics and health over HTTP and a unix socket. Off the hot path.
