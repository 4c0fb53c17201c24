//! Strategies' order-entry sessions: authenticate, sequence, decode orders in, encode reports out.
