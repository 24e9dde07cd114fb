//! A server with many connections and many requests in flight on each.
