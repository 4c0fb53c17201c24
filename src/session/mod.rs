//! The session layer (FIXP) as two pure state machines, client and server. No input or output here.
