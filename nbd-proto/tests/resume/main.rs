//! What is sent again after a lost connection, rule by rule.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests and their helpers")]

mod keeping;
mod order;
mod same;
mod support;
