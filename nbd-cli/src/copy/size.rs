//! Sizes on the command line.

use super::MAX_REQUEST;

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

/// `4096`, `256k`, `16M`.
fn bytes(text: &str) -> Result<u64, String> {
    let unit = match text.bytes().last() {
        Some(b'k' | b'K') => 10,
        Some(b'm' | b'M') => 20,
        Some(b'g' | b'G') => 30,
        Some(b't' | b'T') => 40,
        _ => 0,
    };
    let digits = if unit == 0 { text } else { &text[..text.len() - 1] };
    let number = if digits.bytes().all(|digit| digit.is_ascii_digit()) { digits.parse::<u64>().ok() } else { None };
    number
        .and_then(|number| number.checked_mul(1 << unit))
        .ok_or_else(|| "expected a number of bytes, such as 65536, 64k, or 16M".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{bytes, request, sparse};

    #[test]
    fn suffixes_multiply() {
        assert_eq!(bytes("65536"), Ok(65536));
        assert_eq!(bytes("64k"), Ok(65536));
        assert_eq!(bytes("16M"), Ok(16 << 20));
        assert_eq!(bytes("3G"), Ok(3 << 30));
        for wrong in ["", "k", "-1", "+1", "1x", "1 k", "0x10", "99999999999T", "1é"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bounds_are_kept() {
        assert!(request("4k").is_ok() && request("32M").is_ok());
        assert!(request("2k").is_err() && request("64M").is_err() && request("96k").is_err());
        assert!(sparse("0").is_ok() && sparse("512").is_ok());
        assert!(sparse("256").is_err() && sparse("1000").is_err());
    }
}
