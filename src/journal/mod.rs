//! What risk did, recorded before it takes effect: format, segments, reader, recovery.
