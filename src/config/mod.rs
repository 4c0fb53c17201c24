//! Configuration: text, then raw values, then checked ones; all errors at once.
