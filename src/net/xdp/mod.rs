//! AF_XDP: datagrams past the kernel's network stack.

pub mod frame;
pub mod kernel;
