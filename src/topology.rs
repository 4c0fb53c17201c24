//! The wiring: every agent, ring and thread of the gateway in one file.
