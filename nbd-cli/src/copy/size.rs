//! Bounds of the sizes that `copy` takes.

use super::MAX_REQUEST;
use crate::size::bytes;

pub(crate) fn positive(text: &str) -> Result<u64, String> {
    match bytes(text)? {
        0 => Err("expected more than 0".to_owned()),
        size => Ok(size),
    }
}

pub(crate) fn request(text: &str) -> Result<u64, String> {
    match bytes(text)? {
        size if size.is_power_of_two() && (4096..=MAX_REQUEST).contains(&size) => Ok(size),
        _ => Err("expected a power of two from 4096 to 32M".to_owned()),
    }
}

pub(crate) fn sparse(text: &str) -> Result<u64, String> {
    match bytes(text)? {
        0 => Ok(0),
        size if size.is_power_of_two() && size >= 512 => Ok(size),
        _ => Err("expected 0, or a power of two from 512".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{positive, request, sparse};

    #[test]
    fn bounds_are_kept() {
        assert!(positive("1").is_ok() && positive("0").is_err());
        assert!(request("4k").is_ok() && request("32M").is_ok());
        assert!(request("2k").is_err() && request("64M").is_err() && request("96k").is_err());
        assert!(sparse("0").is_ok() && sparse("512").is_ok());
        assert!(sparse("256").is_err() && sparse("1000").is_err());
    }
}
