//! The table in `SECURITY.md` tells the truth.
