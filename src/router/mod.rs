//! Approved orders to venue sessions, executions back.
