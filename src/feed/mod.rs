//! Market data: arbitrate, decode, keep books, tell risk and strategies.
